#include "inference/backend.h"

#include "core/error.h"

namespace gauntlet {

DrawnRows Backend::forward_and_draw(std::span<const SequenceStep> /*steps*/, std::span<const RowWish> /*wishes*/) {
  fail(ErrorKind::Internal, "this backend cannot draw; its can_draw() says so");
}

}  // namespace gauntlet
