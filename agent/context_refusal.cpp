#include "agent/context_refusal.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

namespace gauntlet {
namespace {

constexpr int kFewestTokens = 16;  ///< that are asked for without knowing what fits
constexpr std::size_t kMostDigits = 12;

constexpr std::string_view kSigns[] = {"context length", "context window",    "context_length", "context size",        "context limit",
                                       "prompt is too long", "input is too long", "exceed_context", "maximum model length"};
/// The context's tokens stand after one of these; the last is of "199064 + 8192 > 200000".
constexpr std::string_view kBeforeContext[] = {"context length is ", "context length of ", "context length (", "context size (",
                                               "model length of ",   "\"n_ctx\":",         " > "};
/// Those of the prompt stand before some of these, which are parts of one sum …
constexpr std::string_view kAfterPrompt[] = {" input tokens",  " in the messages", " in the functions", " in your prompt",
                                             " in the prompt", " of text input",   " of tool input",    " tokens from the input"};
/// … or after one of these.
constexpr std::string_view kBeforePrompt[] = {"messages resulted in ", "the prompt has ", "the input (",     "request (",
                                              "(length ",              "too long: ",      "context limit: ", "\"n_prompt_tokens\":"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// In small letters, and without the commas of numbers such as 131,072.
std::string simplified(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' && i > 0 && is_digit(text[i - 1]) && i + 1 < text.size() && is_digit(text[i + 1])) continue;
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
  }
  return out;
}

std::optional<std::int64_t> number(std::string_view digits) {
  std::int64_t value = 0;
  if (digits.empty() || digits.size() > kMostDigits) return std::nullopt;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

std::optional<std::int64_t> number_after(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + words.size());
  return number(rest.substr(0, static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_digit) - rest.begin())));
}

std::optional<std::int64_t> number_before(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t start = at;
  while (start > 0 && is_digit(text[start - 1])) --start;
  return number(text.substr(start, at - start));
}

}  // namespace

bool says_context_length(const std::string& words) {
  const std::string text = simplified(words);
  return std::any_of(std::begin(kSigns), std::end(kSigns), [&](auto sign) { return text.find(sign) != std::string::npos; });
}

ContextRefusal read_context_refusal(const std::string& words) {
  const std::string text = simplified(words);
  ContextRefusal found;
  for (const auto before : kBeforeContext) {
    if (!found.context) found.context = number_after(text, before);
  }
  for (const auto after : kAfterPrompt) {
    if (const auto part = number_before(text, after)) found.prompt = found.prompt.value_or(0) + *part;
  }
  for (const auto before : kBeforePrompt) {
    if (!found.prompt) found.prompt = number_after(text, before);
  }
  return found;
}

std::optional<int> fewer_tokens(const std::string& words, int asked) {
  const ContextRefusal refusal = read_context_refusal(words);
  if (refusal.context && refusal.prompt) {
    const std::int64_t room = *refusal.context - *refusal.prompt;
    if (room < 1) return std::nullopt;
    if (room < asked) return static_cast<int>(room);
  }
  return asked / 2 >= kFewestTokens ? std::optional(asked / 2) : std::nullopt;
}

}  // namespace gauntlet
