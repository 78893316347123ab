// AnswerReader of verify.h: from text to slot values. simdjson because bulk verification spends most of its time in parsing.

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <map>

#include "verifiers/verify.h"

namespace gauntlet {
namespace {

/// The answer's form, from the slots' JSON pointers: members of objects and elements of arrays down to slots.
struct Member;
struct Shape {
  bool is_array = false;
  int slot = -1;  ///< a leaf
  std::vector<Member> children;
};
struct Member {
  std::string first;  ///< the name, or the number of an element
  Shape second;
};

bool is_index(std::string_view token) { return !token.empty() && token.find_first_not_of("0123456789") == std::string_view::npos; }

void add_path(Shape& root, std::string_view pointer, int slot) {
  Shape* at = &root;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::size_t end = std::min(pointer.find('/'), pointer.size());
    const std::string token(pointer.substr(0, end));
    pointer.remove_prefix(end);
    at->is_array = is_index(token);
    Shape* next = nullptr;
    for (auto& [name, child] : at->children) {
      if (name == token) next = &child;
    }
    if (next == nullptr) {
      at->children.push_back({.first = token, .second = {}});
      next = &at->children.back().second;
    }
    at = next;
  }
  at->slot = slot;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// The inside of a Markdown code fence if the whole text is one.
std::string_view without_fence(std::string_view text) {
  text = trimmed(text);
  if (text.size() < 6 || text.substr(0, 3) != "```" || text.substr(text.size() - 3) != "```") return text;
  const auto line_end = text.find('\n');
  if (line_end == std::string_view::npos || line_end + 3 > text.size()) return text;
  return trimmed(text.substr(line_end + 1, text.size() - 3 - line_end - 1));
}

std::string_view type_name(simdjson::dom::element_type type) {
  switch (type) {
    case simdjson::dom::element_type::ARRAY: return "an array";
    case simdjson::dom::element_type::OBJECT: return "an object";
    case simdjson::dom::element_type::STRING: return "a string";
    case simdjson::dom::element_type::BOOL: return "a boolean";
    case simdjson::dom::element_type::NULL_VALUE: return "null";
    default: return "a number";
  }
}

}  // namespace

struct AnswerReader::Impl {
  const CompiledProblem* problem;
  Shape shape;
  simdjson::dom::parser parser;
  std::vector<SlotValue>* values = nullptr;
  std::vector<AnswerProblem>* problems = nullptr;
  bool complete = true;

  void wrong(const std::string& path, const std::string& what) {
    complete = false;
    if (problems != nullptr) problems->push_back({path.empty() ? "/" : path, what});
  }

  // Paths are only built for messages; the fast caller passes none.
  std::string child_path(const std::string& path, std::string_view token) const {
    return problems == nullptr ? std::string() : fmt::format("{}/{}", path, token);
  }

  void read_any(const Shape& at, simdjson::dom::element element, const std::string& path) {
    if (at.slot >= 0) {
      read_slot(at.slot, element, path);
    } else if (at.is_array) {
      read_array(at, element, path);
    } else {
      read_object(at, element, path);
    }
  }

  void read_array(const Shape& at, simdjson::dom::element element, const std::string& path) {
    simdjson::dom::array array;
    if (element.get(array) != simdjson::SUCCESS) {
      return wrong(path, fmt::format("expected an array of {}, found {}", at.children.size(), type_name(element.type())));
    }
    if (array.size() != at.children.size()) {
      return wrong(path, fmt::format("expected an array of {}, found one of {}", at.children.size(), array.size()));
    }
    std::size_t i = 0;
    for (const auto item : array) {
      const auto& token = at.children[i].first;
      // Children are in order of first mention; slots of an array are declared in index order (parse_problem's rule for paths).
      read_any(at.children[i].second, item, child_path(path, token));
      ++i;
    }
  }

  void read_object(const Shape& at, simdjson::dom::element element, const std::string& path) {
    simdjson::dom::object object;
    if (element.get(object) != simdjson::SUCCESS) {
      return wrong(path, fmt::format("expected an object, found {}", type_name(element.type())));
    }
    std::bitset<kMaxSlots> seen;
    std::size_t next = 0;  // members usually come in the asked order
    for (const auto member : object) {
      for (std::size_t k = 0; k < at.children.size(); ++k) {
        const std::size_t i = next + k < at.children.size() ? next + k : next + k - at.children.size();
        if (member.key != at.children[i].first) continue;
        const std::string where = child_path(path, at.children[i].first);
        if (seen[i]) wrong(where, "appears twice");
        seen.set(i);
        read_any(at.children[i].second, member.value, where);
        next = i + 1 < at.children.size() ? i + 1 : 0;
        break;
      }
    }
    for (std::size_t i = 0; i < at.children.size(); ++i) {
      if (!seen[i]) wrong(child_path(path, at.children[i].first), "is missing");
    }
  }

  void read_slot(int slot, simdjson::dom::element element, const std::string& path) {
    const SlotSpec& spec = problem->problem().slots[static_cast<std::size_t>(slot)];
    SlotValue value = -1;
    if (spec.domain == SlotDomain::Integers) {
      double number = 0;
      if (element.get(number) != simdjson::SUCCESS) {
        return wrong(path, fmt::format("expected an integer, found {}", type_name(element.type())));
      }
      if (std::floor(number) == number && std::abs(number) < 1e12) {
        value = problem->find_cell(slot, static_cast<Cell>(number) * kCellScale);
      }
      if (value < 0) return wrong(path, fmt::format("{} is not an integer from {} to {}", number, spec.from, spec.to));
    } else {
      std::string_view text;
      if (element.get(text) != simdjson::SUCCESS) {
        return wrong(path, fmt::format("expected a string, found {}", type_name(element.type())));
      }
      if (spec.domain == SlotDomain::Dates) {
        text = trimmed(text);
        const auto days = parse_date(text);
        if (days) value = problem->find_cell(slot, *days * kCellScale);
        if (value < 0) {
          return wrong(path, fmt::format("\"{}\" is not a date (YYYY-MM-DD) from {} to {}", text, format_date(spec.from), format_date(spec.to)));
        }
      } else {
        value = problem->find_text(slot, text);
        if (value < 0) value = problem->find_text(slot, trimmed(text));
        if (value < 0) {
          return wrong(path, spec.domain == SlotDomain::Entity ? fmt::format("no {} is named \"{}\"", spec.entity, text)
                                                               : fmt::format("\"{}\" is not one of the accepted texts", text));
        }
      }
    }
    (*values)[static_cast<std::size_t>(slot)] = value;
  }
};

AnswerReader::AnswerReader(const CompiledProblem& problem) : impl_(std::make_unique<Impl>()) {
  impl_->problem = &problem;
  for (std::size_t i = 0; i < problem.problem().slots.size(); ++i) {
    add_path(impl_->shape, problem.problem().slots[i].path, static_cast<int>(i));
  }
}

AnswerReader::~AnswerReader() = default;

bool AnswerReader::read(std::string_view text, std::vector<SlotValue>& values, std::vector<AnswerProblem>* problems) {
  values.assign(impl_->problem->slots().size(), -1);
  impl_->values = &values;
  impl_->problems = problems;
  impl_->complete = true;
  simdjson::dom::element root;
  const std::string_view inside = without_fence(text);
  // No text has no address, and the parser copies from the one it is given.
  const auto error = impl_->parser.parse(inside.empty() ? "" : inside.data(), inside.size()).get(root);
  if (error != simdjson::SUCCESS) {
    impl_->wrong("", fmt::format("the answer is not JSON: {}", simdjson::error_message(error)));
    return false;
  }
  impl_->read_any(impl_->shape, root, "");
  return impl_->complete;
}

}  // namespace gauntlet
