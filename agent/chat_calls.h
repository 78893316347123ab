#pragma once

// The forgiving reader of one block of tool calls, fed in pieces of any size. Used by ChatStream.

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/message.h"

namespace gauntlet {

/// The first place in a text where one of some words stands or may still come to stand.
struct MarkerSearch {
  std::size_t at = std::string_view::npos;
  std::string_view word;  ///< empty: the text ends in the beginning of a word at `at`, or nothing was found
};

/// Each word begins with "<".
MarkerSearch find_marker(std::string_view text, std::size_t from, std::initializer_list<std::string_view> words);

/// What a request declares. Without a declaration every tool name is accepted.
struct DeclaredTools {
  Json tools;  ///< null or an array

  bool known() const { return tools.is_array(); }
  /// The declared function, or null.
  const Json* find(std::string_view name) const;
};

struct CallParameter {
  std::string key;
  std::string value;
  bool is_string = false;
};

enum class CallForm { DsmlBlock, BareInvoke, V31Block };

class CallReader {
 public:
  enum class State {
    Reading,  ///< wants more text
    Closed,   ///< the block has ended
    Broken,   ///< it turned out to be no readable calls: text() is content, rest() is to be read again
  };

  /// `opener` is the marker that was found, with which text() begins. `tools` must outlive the reader.
  CallReader(CallForm form, std::string_view opener, const DeclaredTools& tools);

  State read(std::string_view bytes);
  /// The calls completed since the last time.
  std::vector<ToolCall> take_calls();

  bool has_calls() const { return good_ > 0; }
  /// Whether the end of the text, now, leaves a block that was closed but could not be read: such a block is content.
  bool is_content_at_end() const;
  std::string_view text() const { return std::string_view(text_).substr(0, at_); }
  std::string_view rest() const { return std::string_view(text_).substr(at_); }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  enum class Phase { BlockTag, Between, InvokeTag, Inside, ParameterTag, Value, InvokeEnd, V31Between, V31Call };
  enum class Match { No, Partly, Yes };

  bool step();
  bool step_block_tag();
  bool step_between();
  bool step_invoke_tag();
  bool step_inside();
  bool step_parameter_tag();
  bool step_value();
  bool step_invoke_end();
  bool step_v31_between();
  bool step_v31_call();

  bool skip_space();
  void advance(std::size_t to, Phase next);
  bool close();
  bool skip_junk(std::initializer_list<std::string_view> words);
  MarkerSearch at_marker(std::initializer_list<std::string_view> words) const;
  void spoil(std::string_view reason);
  /// Without `arguments` they are made of the parameters read.
  void complete_call(std::optional<std::string> arguments = std::nullopt);

  CallForm form_;
  const DeclaredTools& tools_;
  std::string text_;
  std::size_t at_ = 0;      ///< all before is understood
  std::size_t search_ = 0;  ///< where a search that found nothing goes on; never before at_
  Phase phase_ = Phase::BlockTag;
  State state_ = State::Reading;
  std::string name_;
  std::vector<CallParameter> parameters_;
  std::string spoiled_;  ///< why the call being read cannot be used; empty if it can
  bool junk_ = false;
  std::size_t good_ = 0;
  std::size_t bad_ = 0;
  std::vector<ToolCall> calls_;
  std::vector<std::string> problems_;
};

}  // namespace gauntlet
