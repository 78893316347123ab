// Which schemas exclude each other, as the alternatives of an oneOf must. Declared in schema_shape.h, tested through schema_grammar_test.cpp.

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "inference/constraint/schema_shape.h"

namespace gauntlet {
namespace {

/// Schemas inside schemas that are looked into; a deeper difference counts as none.
constexpr int kMostDepth = 6;

}  // namespace

/// After the shapes are known and not while they are made: what an alternative says of its properties can lead back to the same oneOf.
void SchemaReader::check_exclusions() {
  if (checking_) return;
  checking_ = true;
  while (!exclusions_.empty()) {
    const Exclusion next = std::move(exclusions_.back());
    exclusions_.pop_back();
    require_disjoint(next);
  }
  checking_ = false;
}

void SchemaReader::require_disjoint(const Exclusion& exclusion) {
  constexpr std::size_t kMost = 200;
  const std::size_t alternatives = exclusion.first.size() - 1;
  require(alternatives <= kMost, ErrorKind::Usage, fmt::format("{}: found {} alternatives; accepted: {}", at(exclusion.path), alternatives, kMost));
  const auto& first = exclusion.first;
  for (std::size_t i = 0; i < alternatives; ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      for (std::size_t a = first[i]; a < first[i + 1]; ++a) {
        for (std::size_t b = first[k]; b < first[k + 1]; ++b) {
          require(disjoint((*exclusion.shapes)[a], (*exclusion.shapes)[b], 0), ErrorKind::Usage,
                  fmt::format("{}: alternatives {} and {} may both hold for one value, which oneOf forbids; accepted: alternatives told apart by type, by number range, or by a required property with different "
                              "constants; or anyOf",
                              at(exclusion.path), k, i));
        }
      }
    }
  }
}

bool SchemaReader::disjoint(const Shapes& xs, const Shapes& ys, int depth) {
  if (&xs == &ys) return xs.empty();
  budget_.spend(1);
  const auto [it, fresh] = disjoint_.try_emplace({&xs, &ys, depth}, false);
  if (!fresh) return it->second;
  budget_.hold(64);
  const bool out = std::all_of(xs.begin(), xs.end(), [&](const SchemaShape& x) { return std::all_of(ys.begin(), ys.end(), [&](const SchemaShape& y) { return disjoint(x, y, depth); }); });
  return it->second = out;
}

bool SchemaReader::disjoint(const SchemaShape& a, const SchemaShape& b, int depth) {
  budget_.spend(3);
  unsigned common = a.types & b.types;
  if (common == 0) return true;
  if (a.values) return std::none_of(a.values->list.begin(), a.values->list.end(), [&](const Json* value) { return fits(a, a.types, *value) && allows(b, *value); });
  if (b.values) return disjoint(b, a, depth);
  if ((common & kNumberType) != 0) {
    // Bounds that leave nothing between them.
    NumberBounds both = a.numbers;
    if (b.numbers.least) both.raise(*b.numbers.least);
    if (b.numbers.most) both.lower(*b.numbers.most);
    if (both.least && both.most) {
      const int order = compare(both.least->value, both.most->value);
      if (order > 0 || (order == 0 && !(both.least->included && both.most->included))) common &= ~static_cast<unsigned>(kNumberType);
    }
  }
  if ((common & kStringType) != 0 && (a.min_length > b.max_length || b.min_length > a.max_length)) common &= ~static_cast<unsigned>(kStringType);
  if ((common & kArrayType) != 0 && (a.min_items > b.max_items || b.min_items > a.max_items)) common &= ~static_cast<unsigned>(kArrayType);
  if ((common & kObjectType) != 0 && depth < kMostDepth) {
    const auto apart = [&](const SchemaShape& x, const SchemaShape& y) {
      return std::any_of(x.required.begin(), x.required.end(), [&](std::string_view name) {
        const Shapes &xs = shapes(property(x, name)), &ys = shapes(property(y, name));  // none: never there, while the other requires it
        return disjoint(xs, ys, depth + 1) && (ys.empty() || xs.empty() || y.requires_property(name));
      });
    };
    if (apart(a, b) || apart(b, a)) common &= ~static_cast<unsigned>(kObjectType);
  }
  return common == 0;
}

}  // namespace gauntlet
