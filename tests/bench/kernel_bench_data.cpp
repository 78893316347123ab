#include "tests/bench/kernel_bench_data.h"

#include <numeric>

#include "inference/cuda/cache_rows.h"
#include "inference/cuda/paged_case.h"

namespace gauntlet::bench {

using kernels::CacheLayout;

DeviceBuffer<std::byte> repeated(std::span<const std::byte> unit, std::size_t bytes) {
  DeviceBuffer<std::byte> out(bytes);
  std::size_t filled = std::min(bytes, unit.size());
  cuda_check(cudaMemcpy(out.data(), unit.data(), filled, cudaMemcpyHostToDevice));
  while (filled < bytes) {
    const std::size_t size = std::min(filled, bytes - filled);
    cuda_check(cudaMemcpy(out.data() + filled, out.data(), size, cudaMemcpyDeviceToDevice));
    filled += size;
  }
  cuda_check(cudaDeviceSynchronize());
  return out;
}

DeviceBuffer<std::byte> latent_rows(const CacheLayout& layout, int pages) {
  Rng rng(1);
  constexpr int kUnit = 1021;  // rows; a prime, so that pages differ
  std::vector<std::byte> unit(static_cast<std::size_t>(kUnit * layout.row_bytes()));
  for (int r = 0; r < kUnit; ++r) kernels::write_latent_row(layout, kernels::uniforms(rng, layout.latent), kernels::uniforms(rng, layout.rope), unit.data() + r * layout.row_bytes());
  return repeated(unit, static_cast<std::size_t>(pages) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()));
}

DeviceBuffer<std::byte> index_pages(const CacheLayout& layout, int pages) {
  Rng rng(2);
  constexpr int kUnit = 17;  // pages
  std::vector<std::byte> unit(static_cast<std::size_t>(kUnit * layout.index_page_bytes()));
  for (int p = 0; p < kUnit; ++p) {
    for (int slot = 0; slot < kPageTokens; ++slot) kernels::write_index_key(layout, kernels::uniforms(rng, layout.index), unit.data() + p * layout.index_page_bytes(), slot);
  }
  return repeated(unit, static_cast<std::size_t>(pages) * static_cast<std::size_t>(layout.index_page_bytes()));
}

namespace {

CopiedEntries entries(int count, std::size_t page_bytes) {
  CopiedEntries out{.bytes = {}, .ids = {0}, .positions = {count - 1}, .sequences = {0}, .pages = {}};
  out.pages.resize(static_cast<std::size_t>(pages_for(count)));
  std::iota(out.pages.begin(), out.pages.end(), 0);
  out.bytes.resize(out.pages.size() * page_bytes);
  return out;
}

}  // namespace

CopiedEntries copy_latents(const CacheLayout& layout, const DeviceBuffer<std::byte>& rows, const kernels::PagedBatch& batch, int token, std::span<const std::int32_t> chosen) {
  const auto bytes = static_cast<std::size_t>(layout.row_bytes());
  CopiedEntries out = entries(static_cast<int>(chosen.size()), kPageTokens * bytes);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto row = static_cast<std::size_t>(kernels::physical_row(batch.view(), batch.sequences[static_cast<std::size_t>(token)], chosen[i]));
    cuda_check(cudaMemcpy(out.bytes.data() + i * bytes, rows.data() + row * bytes, bytes, cudaMemcpyDeviceToHost));
  }
  return out;
}

CopiedEntries copy_index_keys(const CacheLayout& layout, const DeviceBuffer<std::byte>& pages, const kernels::PagedBatch& batch, int token, int count) {
  const auto bytes = static_cast<std::size_t>(layout.index_page_bytes());
  CopiedEntries out = entries(count, bytes);
  for (std::size_t p = 0; p < out.pages.size(); ++p) {
    const auto page = static_cast<std::size_t>(kernels::physical_row(batch.view(), batch.sequences[static_cast<std::size_t>(token)], static_cast<int>(p) * kPageTokens) / kPageTokens);
    cuda_check(cudaMemcpy(out.bytes.data() + p * bytes, pages.data() + page * bytes, bytes, cudaMemcpyDeviceToHost));
  }
  return out;
}

}  // namespace gauntlet::bench
