#include "inference/server/reply_constraints.h"

#include "inference/constraint/constraint.h"

namespace gauntlet {

ReplyRules reply_rules(const ConstraintWish& wish) {
  ReplyRules rules{.tool = wish.tool};
  if (!wish.parallel || !wish.tool.empty()) rules.most_calls = 1;
  if (wish.kind == ConstraintWish::Kind::ToolCalls) rules.choice = ToolChoice::Required;
  if (wish.kind == ConstraintWish::Kind::JsonObject) rules.answer = Json{{"type", "object"}};
  if (wish.kind == ConstraintWish::Kind::JsonSchema) rules.answer = wish.schema;
  return rules;
}

ConstraintMaker make_reply_constraints(std::shared_ptr<const ChatCodec> codec) {
  const auto factory = std::make_shared<ConstraintFactory>(std::shared_ptr<const Tokenizer>(codec, &codec->tokenizer()));
  return [factory, codec = std::move(codec)](const ConstraintWish& wish) {
    ChatRequest request;
    request.tools = wish.tools;
    request.mode = wish.mode;
    return factory->make_reply_constraint(codec->format().reply_grammar(request, reply_rules(wish)));
  };
}

}  // namespace gauntlet
