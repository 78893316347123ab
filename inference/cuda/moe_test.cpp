#include "inference/cuda/moe.h"

#include <functional>

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

struct RouteShape {
  int tokens = 0;
  int experts = 0;
  int groups = 1;
  int kept = 1;
  int per_token = 0;
  bool normalise = true;
};

constexpr RouteShape kRoutes[] = {{1, 1, 1, 1, 1},  {3, 2, 1, 1, 2, false}, {5, 16, 4, 2, 4},   {33, 65, 1, 1, 3},    {17, 96, 3, 2, 5, false}, {64, 64, 1, 1, 6},
                                  {7, 40, 20, 7, 9}, {257, 256, 8, 4, 8},    {1000, 256, 8, 4, 8}, {9, 512, 64, 64, 10}, {5, 512, 1, 1, 512}};

/// The distance in float64 between the last that is chosen of `count` and the first that is not.
double gap(std::vector<double> values, int count) {
  std::sort(values.begin(), values.end(), std::greater<>());
  const auto at = static_cast<std::size_t>(count);
  return at < values.size() ? values[at - 1] - values[at] : std::numeric_limits<double>::infinity();
}

/// False where a last bit of a sigmoid may change the choice.
bool decided(const RouteShape& shape, const float* logits, const std::vector<float>& correction) {
  constexpr double kNear = 1e-6;  // eight units in the last place of a group's score
  std::vector<double> ranked;
  for (std::size_t e = 0; e < correction.size(); ++e) ranked.push_back(1 / (1 + std::exp(-static_cast<double>(logits[e]))) + static_cast<double>(correction[e]));
  if (shape.groups == 1) return gap(ranked, shape.per_token) > kNear;
  const std::size_t size = ranked.size() / static_cast<std::size_t>(shape.groups);
  std::vector<double> totals;
  for (std::size_t g = 0; g < ranked.size(); g += size) {
    std::vector<double> group(ranked.begin() + static_cast<std::ptrdiff_t>(g), ranked.begin() + static_cast<std::ptrdiff_t>(g + size));
    std::sort(group.begin(), group.end(), std::greater<>());
    totals.push_back(group[0] + group[1]);
  }
  std::vector<double> sorted = totals;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  std::vector<double> left;
  for (std::size_t e = 0; e < ranked.size(); ++e) {
    if (totals[e / size] >= sorted[static_cast<std::size_t>(shape.kept) - 1]) left.push_back(ranked[e]);
  }
  return gap(totals, shape.kept) > kNear && gap(left, shape.per_token) > kNear;
}

TEST_CASE("tokens are routed as the reference says, equal experts by lower index, always to the same bits") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  for (const auto& shape : kRoutes) {
    for (const bool ties : {false, true}) {
      CAPTURE(shape.tokens);
      CAPTURE(shape.experts);
      CAPTURE(ties);
      const auto tokens = static_cast<std::size_t>(shape.tokens), experts = static_cast<std::size_t>(shape.experts), per_token = static_cast<std::size_t>(shape.per_token);
      auto logits = random_floats(rng, tokens * experts, -4, 4);
      auto correction = random_floats(rng, experts, -0.1f, 0.1f);
      if (ties) {  // three values, so that choices and groups are full of equals
        constexpr float kValues[] = {-1.0f, 0.5f, 2.0f};
        for (auto& v : logits) v = kValues[rng.below(3)];
        std::fill(correction.begin(), correction.end(), 0.25f);
      }
      auto expected = poisoned<std::int32_t>(tokens * per_token);
      auto expected_weights = poisoned<float>(tokens * per_token);
      RouteArgs args{.tokens = shape.tokens, .experts = shape.experts, .groups = shape.groups, .groups_kept = shape.kept, .per_token = shape.per_token, .normalise = shape.normalise,
                     .routed_scale = 2.5f, .logits = logits.data(), .correction = correction.data(), .chosen = expected.data(), .weights = expected_weights.data()};
      route_ref(args);

      const OnDevice<float> device_logits(logits), device_correction(correction);
      args.logits = device_logits.data();
      args.correction = device_correction.data();
      std::vector<std::int32_t> chosen;
      std::vector<float> weights;
      for (int repeat = 0; repeat < 20; ++repeat) {
        const auto out = poisoned_on_device<std::int32_t>(tokens * per_token);
        const auto out_weights = poisoned_on_device<float>(tokens * per_token);
        args.chosen = out.data();
        args.weights = out_weights.data();
        route(args, stream.get());
        if (repeat == 0) {
          chosen = out.get();
          weights = out_weights.get();
        }
        CHECK(same_bits(out.get(), chosen));
        CHECK(same_bits(out_weights.get(), weights));
      }
      std::size_t undecided = 0;
      for (std::size_t t = 0; t < tokens; ++t) {
        // With ties nothing is left to rounding: equal inputs give equal scores on either side, and different ones differ by more than 0.1.
        if (!ties && !decided(shape, logits.data() + t * experts, correction)) {
          ++undecided;
          continue;
        }
        const bool same = same_bits(rows_of(chosen, per_token, t, 1), rows_of(expected, per_token, t, 1));
        CHECK_MESSAGE(same, "token " << t);
        // A sigmoid to a few units in the last place, a sum of per_token of them, a quotient and a product.
        std::vector<double> bound(per_token);
        for (std::size_t i = 0; i < per_token; ++i) bound[i] = (shape.per_token + 16) * 0x1p-23 * static_cast<double>(expected_weights[t * per_token + i]);
        if (same) CHECK(error_over_bound(rows_of(weights, per_token, t, 1), rows_of(expected_weights, per_token, t, 1), bound) <= 1);
      }
      CHECK(undecided <= 1 + tokens / 50);
      const std::size_t one = tokens / 2;
      const auto alone = poisoned_on_device<std::int32_t>(per_token);
      const auto alone_weights = poisoned_on_device<float>(per_token);
      args.tokens = 1;
      args.logits = device_logits.data() + one * experts;
      args.chosen = alone.data();
      args.weights = alone_weights.data();
      route(args, stream.get());
      CHECK(same_bits(alone.get(), rows_of(chosen, per_token, one, 1)));
      CHECK(same_bits(alone_weights.get(), rows_of(weights, per_token, one, 1)));
    }
  }
}

/// per_token different experts a token, ascending; the lowest ones for everybody where `crowded`.
std::vector<std::int32_t> random_choices(Rng& rng, int tokens, int experts, int per_token, bool crowded) {
  std::vector<std::int32_t> out;
  std::vector<std::int32_t> all(static_cast<std::size_t>(experts));
  for (int t = 0; t < tokens; ++t) {
    for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int32_t>(e);
    if (!crowded) rng.shuffle(all);
    std::sort(all.begin(), all.begin() + per_token);
    out.insert(out.end(), all.begin(), all.begin() + per_token);
  }
  return out;
}

struct DispatchShape {
  int tokens = 0;
  int experts = 0;
  int per_token = 0;
  bool crowded = false;
};

constexpr DispatchShape kDispatches[] = {{0, 4, 2},    {1, 1, 1},     {1, 256, 8},   {2, 3, 3},     {31, 4, 1},    {32, 1, 1},         {33, 1, 1},        {64, 16, 4},  {65, 2, 2},
                                         {1000, 64, 6}, {1024, 256, 8}, {513, 512, 10}, {8192, 256, 8}, {8192, 16, 8}, {256, 256, 8, true}, {777, 512, 1, true}};

TEST_CASE("slots are sorted by expert and then by token, and tiles cover them") {
  if (skip_without_device()) return;
  Rng rng(2);
  const Stream stream;
  for (const auto& shape : kDispatches) {
    CAPTURE(shape.tokens);
    CAPTURE(shape.experts);
    CAPTURE(shape.per_token);
    const auto chosen = random_choices(rng, shape.tokens, shape.experts, shape.per_token, shape.crowded);
    DispatchArgs args{.tokens = shape.tokens, .experts = shape.experts, .per_token = shape.per_token};
    const auto tiles = static_cast<std::size_t>(args.max_tiles());
    auto slot_of = poisoned<std::int32_t>(chosen.size()), token_of = slot_of, tile_expert = poisoned<std::int32_t>(tiles), tile_first = tile_expert, tile_rows = tile_expert;
    args.chosen = chosen.data();
    args.slot_of = slot_of.data();
    args.token_of = token_of.data();
    args.tile_expert = tile_expert.data();
    args.tile_first = tile_first.data();
    args.tile_rows = tile_rows.data();
    dispatch_ref(args);
    for (std::size_t i = 1; i < token_of.size(); ++i) {
      const auto expert_at = [&](std::size_t slot) { return chosen[static_cast<std::size_t>(std::find(slot_of.begin(), slot_of.end(), static_cast<std::int32_t>(slot)) - slot_of.begin())]; };
      if (i < 500) CHECK((expert_at(i - 1) < expert_at(i) || (expert_at(i - 1) == expert_at(i) && token_of[i - 1] < token_of[i])));
    }

    const OnDevice<std::int32_t> device_chosen(chosen);
    args.chosen = device_chosen.data();
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto slots = poisoned_on_device<std::int32_t>(chosen.size()), tokens = poisoned_on_device<std::int32_t>(chosen.size());
      const auto experts = poisoned_on_device<std::int32_t>(tiles), first = poisoned_on_device<std::int32_t>(tiles), rows = poisoned_on_device<std::int32_t>(tiles);
      args.slot_of = slots.data();
      args.token_of = tokens.data();
      args.tile_expert = experts.data();
      args.tile_first = first.data();
      args.tile_rows = rows.data();
      dispatch(args, stream.get());
      CHECK(same_bits(slots.get(), slot_of));
      CHECK(same_bits(tokens.get(), token_of));
      CHECK(same_bits(experts.get(), tile_expert));
      const auto found_first = first.get(), found_rows = rows.get();
      bool same = true;
      for (std::size_t i = 0; i < tiles; ++i) same = same && (tile_expert[i] < 0 || (found_first[i] == tile_first[i] && found_rows[i] == tile_rows[i]));
      CHECK(same);
    }
  }
}

struct CombineShape {
  int tokens = 0;
  int per_token = 0;
  int dim = 0;
};

constexpr CombineShape kCombines[] = {{1, 1, 1}, {3, 2, 5}, {2, 8, 63}, {17, 4, 64}, {33, 6, 130}, {5, 8, 516}, {64, 8, 7168}};

TEST_CASE("experts' parts are added with their weights, always to the same bits, alone or among others") {
  if (skip_without_device()) return;
  Rng rng(3);
  const Stream stream;
  for (const auto [tokens, per_token, dim] : kCombines) {
    CAPTURE(tokens);
    CAPTURE(dim);
    const auto count = static_cast<std::size_t>(tokens), each = static_cast<std::size_t>(per_token), columns = static_cast<std::size_t>(dim), slots = count * each;
    std::vector<std::int32_t> slot_of(slots);
    for (std::size_t i = 0; i < slots; ++i) slot_of[i] = static_cast<std::int32_t>(i);
    rng.shuffle(slot_of);
    const auto weights = random_floats(rng, slots), parts = random_floats(rng, slots * columns), before = random_floats(rng, count * columns);
    auto expected = before;
    combine_ref({.tokens = tokens, .per_token = per_token, .dim = dim, .slot_of = slot_of.data(), .weights = weights.data(), .parts = parts.data(), .stream = expected.data()});
    // Inputs are at most 1, so a partial sum is at most per_token + 1, and per_token + 1 roundings of it are met.
    const std::vector<double> bound(expected.size(), (per_token + 1.0) * (per_token + 1.0) * 0x1p-24);
    const OnDevice<std::int32_t> device_slots(slot_of);
    const OnDevice<float> device_weights(weights), device_parts(parts);
    std::vector<float> first;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const OnDevice<float> out(before);
      combine({.tokens = tokens, .per_token = per_token, .dim = dim, .slot_of = device_slots.data(), .weights = device_weights.data(), .parts = device_parts.data(), .stream = out.data()}, stream.get());
      if (repeat == 0) first = out.get();
      CHECK(same_bits(out.get(), first));
    }
    CHECK(error_over_bound(first, expected, bound) <= 1);
    const std::size_t one = count / 2;
    const OnDevice<float> alone(rows_of(before, columns, one, 1));
    combine({.tokens = 1, .per_token = per_token, .dim = dim, .slot_of = device_slots.data() + one * each, .weights = device_weights.data() + one * each, .parts = device_parts.data(), .stream = alone.data()},
            stream.get());
    CHECK(same_bits(alone.get(), rows_of(first, columns, one, 1)));
  }
}

}  // namespace
}  // namespace gauntlet::kernels
