#include "inference/cuda/term_product.h"

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

enum class Input { Float, Normed, FloatInOne, Terms, OneTerm };

struct Shape {
  int rows = 0, outputs = 0, inner = 0, batches = 1;
  int gap = 0;  ///< elements between rows and between problems, which nobody may read or write
};

// Remainders of tiles and of steps of the inner dimension, rows that are not aligned to 16 bytes, slices of two, three and four steps; then small models'.
constexpr Shape kShapes[] = {{1, 1, 1},       {3, 7, 6, 2, 1},     {2, 16, 16},    {9, 17, 64},   {33, 130, 50},   {17, 24, 72, 3, 8},
                             {8, 40, 65},     {40, 33, 520},       {3, 20, 1000, 1, 8}, {19, 48, 1536}, {5, 18, 2043}, {10, 31, 2048},
                             {300, 70, 384},  {1, 1024, 256},      {65, 128, 32, 8},    {130, 64, 128, 8}, {16, 384, 512}, {129, 96, 384}};

std::vector<float> magnitudes(std::vector<float> values) {
  for (auto& v : values) v = std::fabs(v);
  return values;
}

/// What a call writes.
struct Written {
  std::vector<float> y, normed;
  std::vector<Bf16> high, low, normed_high;
};

Written part_of(const Written& whole, const TermProductArgs& args, std::size_t first, std::size_t rows) {
  const auto stride = static_cast<std::size_t>(args.y_stride), inner = static_cast<std::size_t>(args.inner);
  Written out = whole;
  if (!out.y.empty()) out.y = rows_of(whole.y, stride, first, rows);
  if (!out.high.empty()) out.high = rows_of(whole.high, stride, first, rows);
  if (!out.low.empty()) out.low = rows_of(whole.low, stride, first, rows);
  if (!out.normed.empty()) out.normed = rows_of(whole.normed, inner, first, rows);
  if (!out.normed_high.empty()) out.normed_high = rows_of(whole.normed_high, inner, first, rows);
  return out;
}

bool same(const Written& a, const Written& b) {
  return same_bits(a.y, b.y) && same_bits(a.high, b.high) && same_bits(a.low, b.low) && same_bits(a.normed, b.normed) && same_bits(a.normed_high, b.normed_high);
}

/// One case: its data on both sides, and its sizes in `sizes`, without pointers.
struct Case {
  Input input;
  TermProductArgs sizes;
  std::vector<float> x, norm;
  std::vector<Bf16> weights, high, low;
  Written before;
  OnDevice<float> device_x, device_norm;
  OnDevice<Bf16> device_weights, device_high, device_low;

  Case(Rng& rng, const Shape& shape, Input in, TermOutput output) : input(in) {
    const int weight_rows = output == TermOutput::GateTerms ? 2 * shape.outputs : shape.outputs;
    sizes = {.rows = shape.rows, .outputs = shape.outputs, .inner = shape.inner, .eps = 1e-5f, .output = output, .batches = shape.batches};
    if (input == Input::FloatInOne) sizes.terms = ActivationTerms::One;
    sizes.x_distance = shape.inner + shape.gap;
    sizes.x_stride = shape.batches * sizes.x_distance + shape.gap;
    sizes.y_distance = shape.outputs + shape.gap;
    sizes.y_stride = shape.batches * sizes.y_distance + shape.gap;
    sizes.weights_distance = std::int64_t{weight_rows} * shape.inner + shape.gap;

    weights = random_bf16s(rng, static_cast<std::size_t>(shape.batches * sizes.weights_distance));
    x = random_floats(rng, static_cast<std::size_t>(shape.rows * sizes.x_stride), -2, 2);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i) % sizes.x_stride;
      if (at / sizes.x_distance >= shape.batches || at % sizes.x_distance >= shape.inner) x[i] = std::numeric_limits<float>::quiet_NaN();
    }
    if (input == Input::Normed) norm = random_floats(rng, static_cast<std::size_t>(shape.inner), 0.5f, 1.5f);
    high = to_bf16s(x);
    low = high;
    for (std::size_t i = 0; i < x.size(); ++i) low[i] = to_bf16(x[i] - to_float(high[i]));

    const auto out = static_cast<std::size_t>(shape.rows * sizes.y_stride), rows = static_cast<std::size_t>(shape.rows * shape.inner);
    if (output == TermOutput::Float) before.y = poisoned<float>(out);
    if (output == TermOutput::AddFloat) before.y = random_floats(rng, out);
    if (output == TermOutput::Terms || output == TermOutput::GateTerms) {
      before.high = poisoned<Bf16>(out);
      if (input != Input::OneTerm) before.low = before.high;
    }
    if (input == Input::Normed && shape.batches == 1) {
      before.normed = poisoned<float>(rows);
      before.normed_high = poisoned<Bf16>(rows);
    }
    device_x = OnDevice<float>(x);
    device_norm = OnDevice<float>(norm);
    device_weights = OnDevice<Bf16>(weights);
    device_high = OnDevice<Bf16>(high);
    device_low = OnDevice<Bf16>(low);
  }

  void set_input(TermProductArgs& args, const Bf16* w, const float* n, const float* floats, const Bf16* first, const Bf16* second) const {
    const bool terms = input == Input::Terms || input == Input::OneTerm;
    args.weights = w;
    if (input == Input::Normed) args.norm_weight = n;
    if (!terms) args.x = floats;
    if (terms) args.x_high = first;
    if (input == Input::Terms) args.x_low = second;
  }

  Written run(const Stream& stream, std::size_t first, std::size_t rows, TermTile tile) const {
    TermProductArgs args = sizes;
    args.rows = static_cast<int>(rows);
    args.tile = tile;
    const auto from = first * static_cast<std::size_t>(sizes.x_stride);
    set_input(args, device_weights.data(), device_norm.data(), device_x.data() + from, device_high.data() + from, device_low.data() + from);
    const Written start = part_of(before, sizes, first, rows);
    const OnDevice<float> y(start.y), normed(start.normed);
    const OnDevice<Bf16> y_high(start.high), y_low(start.low), normed_high(start.normed_high);
    args.y = y.data();
    args.y_high = y_high.data();
    args.y_low = y_low.data();
    args.normed = normed.data();
    args.normed_high = normed_high.data();
    term_product(args, stream.get());
    return {.y = y.get(), .normed = normed.get(), .high = y_high.get(), .low = y_low.get(), .normed_high = normed_high.get()};
  }

  /// What the reference writes over `start`.
  Written reference(TermProductArgs args, Written start, bool of_magnitudes = false) const {
    const auto x_size = of_magnitudes ? magnitudes(x) : x;
    const auto weights_size = of_magnitudes ? to_bf16s(magnitudes(to_floats(weights))) : weights;
    set_input(args, weights_size.data(), norm.data(), x_size.data(), high.data(), low.data());
    if (of_magnitudes) {  // terms' magnitudes are those of the row, within the bound's own margin
      args.x = x_size.data();
      args.x_high = args.x_low = nullptr;
    }
    const auto pointer = [](auto& values) { return values.empty() ? nullptr : values.data(); };
    args.y = pointer(start.y);
    args.y_high = pointer(start.high);
    args.y_low = pointer(start.low);
    args.normed = pointer(start.normed);
    args.normed_high = pointer(start.normed_high);
    term_product_ref(args);
    return start;
  }

  /// A product's float32 sum passes through fewer than inner + 16 additions, each off by at most 2^-23 of the terms' absolute sum (matrix units cut off
  /// rather than round). Splitting leaves 2^-17 of a float32, 2^-9 in one term; a norm's factor is off by a few roundings.
  double relative_bound() const {
    const double split = input == Input::FloatInOne ? 0x1p-8 : input == Input::Float || input == Input::Normed ? 0x1p-16 : 0;
    return (sizes.inner + 16) * 0x1p-23 + split + (input == Input::Normed ? (sizes.inner + 64) * 0x1p-24 : 0);
  }

  void check(const Written& found) const {
    const Written expected = reference(sizes, before);
    const int columns = sizes.output == TermOutput::GateTerms ? 2 * sizes.outputs : sizes.outputs;
    // Products alone: their values and the sums of their terms' magnitudes; with the gate, gates lie before ups.
    TermProductArgs plain = sizes;
    plain.output = TermOutput::Float;
    plain.outputs = columns;
    plain.y_distance = columns;
    plain.y_stride = std::int64_t{sizes.batches} * columns;
    const Written start{.y = poisoned<float>(static_cast<std::size_t>(sizes.rows * plain.y_stride))};
    const Written value = reference(plain, start), size = reference(plain, start, true);
    const bool terms = !expected.high.empty(), one_term = expected.low.empty();
    const auto sum = [&](const Written& from, std::size_t i) {
      return terms ? static_cast<double>(to_float(from.high[i])) + (one_term ? 0.0 : static_cast<double>(to_float(from.low[i]))) : static_cast<double>(from.y[i]);
    };
    double worst = 0;
    bool untouched = true;
    const std::size_t total = terms ? found.high.size() : found.y.size();
    for (std::size_t i = 0; i < total; ++i) {
      const auto row = static_cast<std::int64_t>(i) / sizes.y_stride, at = static_cast<std::int64_t>(i) % sizes.y_stride;
      const std::int64_t problem = at / sizes.y_distance, output = at % sizes.y_distance;
      if (problem >= sizes.batches || output >= sizes.outputs) {
        untouched = untouched && (terms ? found.high[i].bits == before.high[i].bits && (one_term || found.low[i].bits == before.low[i].bits)
                                        : std::memcmp(&found.y[i], &before.y[i], sizeof(float)) == 0);
        continue;
      }
      const auto from = static_cast<std::size_t>(row * plain.y_stride + problem * columns + output), up = from + static_cast<std::size_t>(sizes.outputs);
      const double relative = relative_bound(), off = relative * static_cast<double>(size.y[from]);
      const double want = sum(expected, i), got = sum(found, i);
      double bound = off + 0x1p-22 * std::fabs(want) + 1e-30;
      if (sizes.output == TermOutput::GateTerms) {  // the activation's slope is at most 1.1, and it is no larger than its argument
        const double up_off = relative * static_cast<double>(size.y[up]);
        bound = 1.1 * off * (std::fabs(static_cast<double>(value.y[up])) + up_off) + std::fabs(static_cast<double>(value.y[from])) * up_off + 0x1p-20 * std::fabs(want) + 1e-30;
      }
      if (terms) bound += (one_term ? 0x1p-7 : 0x1p-15) * std::fabs(want);
      worst = std::isfinite(got) ? std::max(worst, std::fabs(got - want) / bound) : std::numeric_limits<double>::infinity();
    }
    CHECK(worst <= 1);
    CHECK(untouched);
    if (expected.normed.empty()) return;
    std::vector<double> bound(expected.normed.size()), rounded(bound.size());
    for (std::size_t i = 0; i < bound.size(); ++i) {
      bound[i] = (sizes.inner + 64) * 0x1p-24 * std::fabs(static_cast<double>(expected.normed[i])) + 1e-30;
      rounded[i] = bound[i] + 0x1p-7 * std::fabs(static_cast<double>(expected.normed[i]));
    }
    CHECK(error_over_bound(found.normed, expected.normed, bound) <= 1);
    CHECK(error_over_bound(to_floats(found.normed_high), to_floats(expected.normed_high), rounded) <= 1);
  }
};

TEST_CASE("term products are what the reference says, always to the same bits, alone or among others, whatever the tile") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  for (const Shape& shape : kShapes) {
    for (const Input input : {Input::Float, Input::Normed, Input::FloatInOne, Input::Terms, Input::OneTerm}) {
      for (const TermOutput output : {TermOutput::Float, TermOutput::AddFloat, TermOutput::Terms, TermOutput::GateTerms}) {
        CAPTURE(shape.rows);
        CAPTURE(shape.outputs);
        CAPTURE(shape.inner);
        CAPTURE(static_cast<int>(input));
        CAPTURE(static_cast<int>(output));
        const Case data(rng, shape, input, output);
        const auto rows = static_cast<std::size_t>(shape.rows);
        const Written whole = data.run(stream, 0, rows, TermTile::Auto);
        data.check(whole);
        bool equal = true;
        for (int repeat = 0; repeat < 20; ++repeat) equal = equal && same(data.run(stream, 0, rows, TermTile::Auto), whole);
        CHECK(equal);
        for (const TermTile tile : {TermTile::Few, TermTile::Many}) CHECK(same(data.run(stream, 0, rows, tile), whole));
        for (const std::size_t together : {std::size_t{1}, std::size_t{8}, std::size_t{15}, std::size_t{40}}) {
          if (together > rows) continue;
          const auto first = static_cast<std::size_t>(rng.below(rows - together + 1));
          CHECK(same(data.run(stream, first, together, TermTile::Auto), part_of(whole, data.sizes, first, together)));
        }
      }
    }
  }
}

TEST_CASE("term products of chosen rows are those of the rows themselves, and a row's NaN stays in it") {
  if (skip_without_device()) return;
  Rng rng(2);
  const Stream stream;
  constexpr int kRows = 21, kOutputs = 50, kInner = 136;
  const auto weights = random_bf16s(rng, kOutputs * kInner);
  auto x = random_floats(rng, kRows * kInner);
  const auto norm = random_floats(rng, kInner);
  const OnDevice<Bf16> device_weights(weights);
  const OnDevice<float> device_norm(norm);
  const auto run = [&](const std::vector<float>& values, const std::int32_t* source_rows, int rows) {
    const OnDevice<float> device_x(values);
    const auto y = poisoned_on_device<float>(static_cast<std::size_t>(rows) * kOutputs);
    term_product({.rows = rows, .outputs = kOutputs, .inner = kInner, .weights = device_weights.data(), .norm_weight = device_norm.data(), .x = device_x.data(), .x_stride = kInner,
                  .source_rows = source_rows, .y = y.data(), .y_stride = kOutputs},
                 stream.get());
    return y.get();
  };
  const auto whole = run(x, nullptr, kRows);
  const std::vector<std::int32_t> chosen = {20, 3, 3, 0, 11, 7, 19, 1, 2, 20};
  const OnDevice<std::int32_t> device_chosen(chosen);
  const auto some = run(x, device_chosen.data(), static_cast<int>(chosen.size()));
  for (std::size_t r = 0; r < chosen.size(); ++r) CHECK(same_bits(rows_of(some, kOutputs, r, 1), rows_of(whole, kOutputs, static_cast<std::size_t>(chosen[r]), 1)));

  x[5 * kInner + 77] = std::numeric_limits<float>::quiet_NaN();
  const auto with_nan = run(x, nullptr, kRows);
  for (std::size_t r = 0; r < kRows; ++r) {
    if (r == 5) {
      CHECK(std::isnan(with_nan[r * kOutputs]));
    } else {
      CHECK(same_bits(rows_of(with_nan, kOutputs, r, 1), rows_of(whole, kOutputs, r, 1)));
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
