#include "inference/text_matcher.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

#include "core/error.h"

namespace gauntlet {
namespace {

/// A search that finds nothing returns after so many starting places, so that the budget is looked at in between.
constexpr std::size_t kStartsPerCall = 256;
constexpr std::uint32_t kDeepestGroups = 50;
constexpr std::uint32_t kMostHeapKib = 64 * 1024;

std::string message_of(int code) {
  PCRE2_UCHAR text[160] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::chrono::nanoseconds thread_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

MatchBudget::MatchBudget(std::size_t text_bytes)
    : limit_(std::chrono::seconds(2) + std::chrono::microseconds(2) * static_cast<std::int64_t>(text_bytes)),
      started_(thread_time()),
      checked_(std::chrono::steady_clock::now()) {}

void MatchBudget::check() {
  const auto now = std::chrono::steady_clock::now();
  if (now - checked_ < std::chrono::milliseconds(20)) return;
  checked_ = now;
  if (thread_time() - started_ > limit_) fail(ErrorKind::Input, "splitting the text into words takes too long with this tokenizer's patterns");
}

void TextMatcher::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void TextMatcher::Search::Free::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }
void TextMatcher::Search::Free::operator()(pcre2_real_match_context_8* context) const { pcre2_match_context_free(context); }

TextMatcher::TextMatcher(TextMatcher&&) noexcept = default;
TextMatcher& TextMatcher::operator=(TextMatcher&&) noexcept = default;
TextMatcher::~TextMatcher() = default;

TextMatcher::TextMatcher(const std::string& pattern, std::string_view where) {
  struct FreeContext {
    void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  };
  const std::unique_ptr<pcre2_compile_context, FreeContext> context(pcre2_compile_context_create(nullptr));
  require(context != nullptr, ErrorKind::Infrastructure, "out of memory for a pattern");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), kDeepestGroups);
  int error = 0;
  PCRE2_SIZE place = 0;
  const std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE | PCRE2_USE_OFFSET_LIMIT;
  code_.reset(pcre2_compile(units(pattern), pattern.size(), options, &error, &place, context.get()));
  if (code_ == nullptr) {
    fail(ErrorKind::Input, fmt::format("{}: the pattern \"{}\" is wrong at byte {}: {}", where, pattern.substr(0, 200), place, message_of(error)));
  }
  std::uint32_t empty = 0;
  pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &empty);
  if (empty != 0) {
    fail(ErrorKind::Input, fmt::format("{}: the pattern \"{}\" can match the empty string, which is not supported", where, pattern.substr(0, 200)));
  }
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter runs
}

TextMatcher::Search::Search(const TextMatcher& matcher, MatchBudget& budget)
    : matcher_(&matcher),
      budget_(&budget),
      data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)) {
  require(data_ != nullptr && context_ != nullptr, ErrorKind::Infrastructure, "out of memory for matching");
  pcre2_set_heap_limit(context_.get(), kMostHeapKib);
}

std::optional<TextSpan> TextMatcher::Search::find(std::string_view text, std::size_t from) {
  // For each starting place; linear in the text, because a run of spaces is walked back over character by character.
  pcre2_set_match_limit(context_.get(), static_cast<std::uint32_t>(std::min<std::size_t>(100'000 + 8 * text.size(), UINT32_MAX)));
  while (from < text.size()) {
    budget_->check();
    const std::size_t last_start = std::min(from + kStartsPerCall, text.size());
    pcre2_set_offset_limit(context_.get(), last_start);
    std::uint32_t options = PCRE2_NO_UTF_CHECK;
    int found = pcre2_match(matcher_->code_.get(), units(text), text.size(), from, options, data_.get(), context_.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      options |= PCRE2_NO_JIT;
      found = pcre2_match(matcher_->code_.get(), units(text), text.size(), from, options, data_.get(), context_.get());
    }
    if (found >= 0) {
      const PCRE2_SIZE* place = pcre2_get_ovector_pointer(data_.get());
      return TextSpan{place[0], place[1]};
    }
    if (found != PCRE2_ERROR_NOMATCH) {
      fail(ErrorKind::Input, fmt::format("splitting the text into words failed: {}", message_of(found)));
    }
    from = last_start;
    while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
    if (last_start == text.size()) break;
  }
  return std::nullopt;
}

}  // namespace gauntlet
