#pragma once

// A compiled regular expression that is searched for in one text after the other. The only user of PCRE2.

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace gauntlet {

struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const TextSpan&) const = default;
};

/// What matching may still cost: processor time of the calling thread, so that neither a pattern nor a text made to be slow holds
/// it for long, and a busy machine does not matter.
class MatchBudget {
 public:
  /// Two seconds, and two microseconds for each byte: hundreds of times what known tokenizers need.
  explicit MatchBudget(std::size_t text_bytes);
  /// Throws Error(Input) once it is spent. Cheap: asks for the processor time only after some real time has passed.
  void check();

 private:
  std::chrono::nanoseconds limit_;
  std::chrono::nanoseconds started_;
  std::chrono::steady_clock::time_point checked_;
};

class TextMatcher {
 public:
  /// `pattern` is in PCRE2's syntax; UTF-8 with Unicode properties. `where` names it in errors. Throws Error(Input) if it is wrong, too large, or can match
  /// the empty string.
  TextMatcher(const std::string& pattern, std::string_view where);
  TextMatcher(TextMatcher&&) noexcept;
  TextMatcher& operator=(TextMatcher&&) noexcept;
  ~TextMatcher();

  /// One search at a time for each thread: holds what a search writes to.
  class Search {
   public:
    Search(const TextMatcher& matcher, MatchBudget& budget);
    /// The first match in `text` (valid UTF-8) that begins at `from` or later. Throws Error(Input) when it takes too many steps.
    std::optional<TextSpan> find(std::string_view text, std::size_t from);

   private:
    struct Free {
      void operator()(pcre2_real_match_data_8* data) const;
      void operator()(pcre2_real_match_context_8* context) const;
    };
    const TextMatcher* matcher_;
    MatchBudget* budget_;
    std::unique_ptr<pcre2_real_match_data_8, Free> data_;
    std::unique_ptr<pcre2_real_match_context_8, Free> context_;
  };

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace gauntlet
