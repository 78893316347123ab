#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <ctime>

#include "core/rng.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using sample::error_of;
using sample::safetensors_bytes;
using sample::ScratchFolder;
using sample::TensorBox;

/// Of this process: a busy machine must not look like a slow reader.
std::chrono::duration<double> cpu_time() { return std::chrono::duration<double>(static_cast<double>(std::clock()) / CLOCKS_PER_SEC); }

long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

std::string bytes_of_a_good_file() {
  const ScratchFolder folder;
  TensorBox box;
  box.put_floats("model.layers.0.a", {3, 5});
  box.put_floats("model.layers.0.b", {});
  box.put_floats("c", {0, 4});
  box.put<std::uint16_t>("d", DType::BF16, {7}, {1, 2, 3, 4, 5, 6, 7});
  write_safetensors(folder.file("m.safetensors"), box.tensors());
  std::ifstream file(folder.file("m.safetensors"), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Accepted files must also be sound: every view inside the bytes, every shape's product the view's size.
bool accepted_and_sound(const std::string& bytes) {
  try {
    for (const auto& [name, tensor] : parse_safetensors(std::as_bytes(std::span(bytes)), "f")) {
      const auto* begin = reinterpret_cast<const char*>(tensor.data.data());
      REQUIRE((tensor.data.empty() || (begin >= bytes.data() && begin + tensor.data.size() <= bytes.data() + bytes.size())));
      std::uint64_t elements = 1;
      for (const auto size : tensor.shape) elements *= static_cast<std::uint64_t>(size);
      REQUIRE(elements * dtype_bytes(tensor.dtype) == tensor.data.size());
    }
    return true;
  } catch (const Error& error) {
    REQUIRE(error.kind() == ErrorKind::Input);
    return false;
  }
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets, const std::string& data) {
  return safetensors_bytes("{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}", data);
}

std::string with_length(std::uint64_t length, const std::string& rest) { return std::string(reinterpret_cast<const char*>(&length), sizeof length) + rest; }

std::string repeated(std::size_t n, const std::string& text) {
  std::string out;
  out.reserve(n * text.size());
  for (std::size_t i = 0; i < n; ++i) out += text;
  return out;
}

TEST_CASE("malformed files of every kind are refused at once and without large allocation") {
  const std::string nul(1, '\0');
  const std::vector<std::pair<std::string, std::string>> table = {
      {"empty", ""},
      {"one byte", "x"},
      {"seven bytes", "1234567"},
      {"all zero", std::string(4096, '\0')},
      {"text", "this is not a checkpoint at all"},
      {"another format's magic", "GGUF" + std::string(60, '\3')},
      {"a zip archive", "PK\3\4" + std::string(60, '\0')},
      {"a git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"},
      {"an HTML page", "<!DOCTYPE html><html><body>404</body></html>"},
      {"length one too long", with_length(3, "{}")},
      {"length 2^63", with_length(1ULL << 63, "{}")},
      {"length 2^64 - 1", with_length(UINT64_MAX, "{}")},
      {"length 2^64 - 8, which wraps with the eight", with_length(UINT64_MAX - 7, "{}")},
      {"length over the limit", with_length(100'000'001, "{}")},
      {"no header", with_length(0, "")},
      {"only spaces", safetensors_bytes("        ", "")},
      {"leading space", safetensors_bytes(" {}", "")},
      {"byte order mark", safetensors_bytes("\xEF\xBB\xBF{}", "")},
      {"NUL padding", safetensors_bytes("{}" + nul + nul, "")},
      {"an array", safetensors_bytes("[]", "")},
      {"cut in a string", safetensors_bytes("{\"abc", "")},
      {"cut in a number", one("U8", "[4", "", "")},
      {"invalid UTF-8 name", safetensors_bytes("{\"\xC0\x80\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", "")},
      {"lone surrogate", safetensors_bytes(R"({"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", "")},
      {"trailing text", safetensors_bytes("{} x", "")},
      {"comment", safetensors_bytes("{/**/}", "")},
      {"nested without end", safetensors_bytes("{\"t\":" + std::string(1'000'000, '['), "")},
      {"nested objects without end", safetensors_bytes(repeated(300'000, "{\"a\":"), "")},
      {"nested metadata", safetensors_bytes("{\"__metadata__\":{\"a\":" + std::string(1'000'000, '['), "")},
      {"a shape of a million sizes", one("U8", "[1" + repeated(1'000'000, ",1") + "]", "[0,1]", "x")},
      {"a million offsets", one("U8", "[1]", "[0" + repeated(1'000'000, ",1") + "]", "x")},
      {"a number of a million digits", one("U8", "[" + std::string(1'000'000, '9') + "]", "[0,1]", "x")},
      {"a name of ten megabytes", safetensors_bytes("{\"" + std::string(10'000'000, 'n') + "\":1}", "")},
      {"a dtype of a megabyte", one(std::string(1'000'000, 'F'), "[1]", "[0,1]", "x")},
      {"a million non-tensors", safetensors_bytes("{\"a\":0" + repeated(1'000'000, ",\"a\":0") + "}", "")},
      {"the product wraps to the right size", one("U8", "[4194305,4194305,211106198978564]", "[0,4]", "1234")},
      {"the product wraps to zero", one("U8", "[4294967296,4294967296]", "[0,0]", "")},
      {"a huge tensor in a small file", one("F32", "[1000000000000]", "[0,4000000000000]", "1234")},
      {"offsets at the end of 64 bits", one("U8", "[4]", "[18446744073709551611,18446744073709551615]", "1234")},
      {"offsets that shrink", one("U8", "[4]", "[4,0]", "1234")},
      {"negative offset", one("U8", "[4]", "[-4,0]", "1234")},
      {"offset past the end", one("U8", "[4]", "[0,4]", "123")},
      {"unclaimed data", one("U8", "[4]", "[0,4]", "12345")},
      {"hole before the first", one("U8", "[4]", "[1,5]", "12345")},
      {"exponent as a size", one("U8", "[4e0]", "[0,4]", "1234")},
      {"infinite size", one("U8", "[1e999]", "[0,4]", "1234")},
      {"minus zero", one("U8", "[-0]", "[0,0]", "")},
      {"sub-byte type", one("F4", "[8]", "[0,4]", "1234")},
  };
  CHECK(table.size() >= 40);
  const long before = peak_kib();
  for (const auto& [what, bytes] : table) {
    CAPTURE(what);
    const auto start = cpu_time();
    CHECK_FALSE(accepted_and_sound(bytes));
    CHECK(cpu_time() - start < std::chrono::seconds(1));
  }
  // The largest file above has 10 MB; the bound leaves room for what sanitizers keep of freed memory.
  CHECK(peak_kib() - before < 160 * 1024);
}

TEST_CASE("messages about absurd files stay short") {
  const std::string bytes = safetensors_bytes("{\"" + std::string(1'000'000, 'n') + "\":\"" + std::string(1'000'000, 'v') + "\"}", "");
  CHECK(error_of([&] { parse_safetensors(std::as_bytes(std::span(bytes)), "f"); }).size() < 500);
}

TEST_CASE("two hundred thousand tensors are read in linear time") {
  constexpr int kTensors = 200'000;
  std::string header = "{";
  for (int i = 0; i < kTensors; ++i) header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  const std::string bytes = safetensors_bytes(header + "}", "");
  const auto start = cpu_time();
  CHECK(parse_safetensors(std::as_bytes(std::span(bytes)), "f").size() == kTensors);
  CHECK(cpu_time() - start < std::chrono::seconds(20));  // quadratic reading needs minutes
}

TEST_CASE("every truncation of a good file is refused") {
  const std::string good = bytes_of_a_good_file();
  REQUIRE(accepted_and_sound(good));
  for (std::size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(accepted_and_sound(good.substr(0, length)));
  }
  CHECK_FALSE(accepted_and_sound(good + "x"));
}

TEST_CASE("no mutation of a good file does harm: it is refused, or what it says is true") {
  const std::string good = bytes_of_a_good_file();
  const std::string alphabet = "{}[]\",:0123456789-.eEnull \\\x80\xFF";
  Rng rng(5);
  int accepted = 0;
  constexpr int kMutations = 20'000;
  for (int i = 0; i < kMutations; ++i) {
    std::string bytes = good;
    for (std::uint64_t changes = 1 + rng.below(4); changes > 0; --changes) {
      const std::size_t at = rng.below(bytes.size());
      switch (rng.below(5)) {
        case 0: bytes[at] = static_cast<char>(rng.next()); break;
        case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8))); break;
        case 2: bytes.erase(at, 1 + rng.below(8)); break;
        case 3: bytes.insert(at, 1, alphabet[rng.below(alphabet.size())]); break;
        default: bytes[at] = alphabet[rng.below(alphabet.size())]; break;
      }
      if (bytes.empty()) bytes = good;
    }
    accepted += accepted_and_sound(bytes);
  }
  // Changes of data, names and white space are fine; most others are not.
  CHECK(accepted > 0);
  CHECK(accepted < kMutations * 3 / 4);
}

TEST_CASE("named pipes and devices in a model folder are refused instead of waited for") {
  const ScratchFolder folder;
  const auto refused = [&] { return error_of([&] { Checkpoint{folder.path()}; }, folder.path()); };
  REQUIRE(::mkfifo(folder.file("model.safetensors").c_str(), 0600) == 0);
  CHECK(refused() == "could not read DIR/model.safetensors: found no regular file");
  REQUIRE(::mkfifo(folder.file("model.safetensors.index.json").c_str(), 0600) == 0);
  CHECK(refused() == "could not read DIR/model.safetensors.index.json: found no regular file");
  std::filesystem::remove(folder.file("model.safetensors"));
  std::filesystem::remove(folder.file("model.safetensors.index.json"));
  std::filesystem::create_symlink("/dev/zero", folder.file("model.safetensors"));
  CHECK(refused() == "could not read DIR/model.safetensors: found no regular file");
}

TEST_CASE("an index of a hundred thousand names is read in linear time") {
  const ScratchFolder folder;
  std::string index = "{\"weight_map\":{";
  for (int i = 0; i < 100'000; ++i) index += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"none.safetensors\"";
  folder.write("model.safetensors.index.json", index + "}}");
  const auto start = cpu_time();
  CHECK(error_of([&] { Checkpoint{folder.path()}; }, folder.path()).find("could not open DIR/none.safetensors") == 0);
  CHECK(cpu_time() - start < std::chrono::seconds(10));
}

}  // namespace
}  // namespace gauntlet
