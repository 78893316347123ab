// Tested through schema_grammar_test.cpp and tests/constrained_calls_test.cpp.

#include "inference/constraint/reply_compiler.h"

#include "core/error.h"
#include "inference/constraint/schema_grammar.h"
#include "inference/constraint/text_rules.h"

namespace gauntlet {
namespace {

void add(GrammarBuilder& builder, StateId from, const ReplyGrammar& reply, StateId to) {
  using Kind = ReplyGrammar::Kind;
  switch (reply.kind) {
    case Kind::Literal: builder.template_text(from, reply.text, to); break;
    case Kind::Plain: builder.literal(from, reply.text, to); break;
    case Kind::Text: builder.call(from, free_text_rule(builder, reply.without), to); break;
    case Kind::Value: builder.call(from, SchemaGrammar(builder, reply.schema, reply.what, reply.without).json(), to); break;
    case Kind::Tags: builder.call(from, SchemaGrammar(builder, reply.schema, reply.what, reply.without).tags(reply.tags), to); break;
    case Kind::Sequence: {
      StateId at = from;
      for (const auto& part : reply.parts) {
        const StateId next = builder.add_state();
        add(builder, at, part, next);
        at = next;
      }
      builder.empty(at, to);
      break;
    }
    case Kind::Choice:
      for (const auto& part : reply.parts) add(builder, from, part, to);
      break;
    case Kind::Repeat: {
      require(reply.parts.size() == 1 && reply.least >= 0 && reply.most >= reply.least, ErrorKind::Internal, "a repeated part of a reply needs one part and counts in order");
      const RuleId rule = builder.add_rule();
      add(builder, builder.start(rule), reply.parts[0], builder.end(rule));
      builder.repeat(from, rule, static_cast<std::uint64_t>(reply.least), static_cast<std::uint64_t>(reply.most), to, "reply");
      break;
    }
  }
}

}  // namespace

Grammar compile_reply(const ReplyGrammar& reply, const GrammarTokens& tokens, const GrammarLimits& limits) {
  GrammarBuilder builder(limits, tokens.longest, tokens.markers);
  const RuleId root = builder.add_rule();
  add(builder, builder.start(root), reply, builder.end(root));
  return std::move(builder).finish(root);
}

Grammar compile_json(const Json& schema, std::span<const std::int32_t> end_tokens, const GrammarTokens& tokens, const std::string& what, const GrammarLimits& limits) {
  require(!end_tokens.empty(), ErrorKind::Usage, "constrained decoding needs a token that ends the text");
  GrammarBuilder builder(limits, tokens.longest, tokens.markers);
  const RuleId root = builder.add_rule();
  const StateId done = builder.add_state();
  builder.call(builder.start(root), SchemaGrammar(builder, schema, what).json(), done);
  for (const auto id : end_tokens) builder.token(done, id, builder.end(root));
  return std::move(builder).finish(root);
}

}  // namespace gauntlet
