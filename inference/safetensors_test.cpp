#include "inference/safetensors.h"

#include <doctest/doctest.h>

#include <limits>

#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using sample::error_of;
using sample::safetensors_bytes;
using sample::ScratchFolder;
using sample::TensorBox;

/// What parsing these bytes says; "" if they are accepted.
std::string verdict(const std::string& header, const std::string& data) {
  const std::string bytes = safetensors_bytes(header, data);
  return error_of([&] { parse_safetensors(std::as_bytes(std::span(bytes)), "f"); });
}

/// One tensor "t" whose three fields are given.
std::string entry(const std::string& fields, const std::string& data = "1234") { return verdict("{\"t\":{" + fields + "}}", data); }

TensorBox some_tensors() {
  TensorBox box;
  box.put<float>("matrix", DType::F32, {2, 3}, {1, 2, 3, 4, 5, 6});
  box.put<float>("scalar", DType::F32, {}, {7});
  box.put<float>("empty", DType::F32, {0, 5}, {});
  box.put<std::uint16_t>("half", DType::BF16, {3}, {0x3f80, 0x4000, 0x4040});
  box.put<std::uint8_t>("odd \"name\" \xC3\xA9", DType::Fp8E4M3, {1}, {0x38});
  box.put<std::int64_t>("ids", DType::I64, {1, 1, 2}, {-1, 1LL << 40});
  return box;
}

TEST_CASE("what was written is what is read back, scalars and empty tensors too") {
  const ScratchFolder folder;
  const TensorBox box = some_tensors();
  write_safetensors(folder.file("m.safetensors"), box.tensors());
  const Checkpoint checkpoint(folder.file("m.safetensors"));
  REQUIRE(checkpoint.tensors().size() == box.tensors().size());
  for (const auto& [name, tensor] : box.tensors()) {
    CAPTURE(name);
    const Tensor* found = checkpoint.find(name);
    REQUIRE(found != nullptr);
    CHECK(found->dtype == tensor.dtype);
    CHECK(found->shape == tensor.shape);
    CHECK(std::equal(found->data.begin(), found->data.end(), tensor.data.begin(), tensor.data.end()));
  }
  CHECK(checkpoint.find("scalar")->elements() == 1);
  CHECK(checkpoint.find("empty")->elements() == 0);
  CHECK(checkpoint.find("absent") == nullptr);
  CHECK(checkpoint.bytes() == 24 + 4 + 6 + 1 + 16);
  CHECK(describe(*checkpoint.find("matrix")) == "F32 [2, 3]");
  CHECK_FALSE(std::filesystem::exists(folder.file("m.safetensors.partial")));
}

TEST_CASE("a file that could not be written leaves the old one") {
  const ScratchFolder folder;
  const std::string path = folder.write("m.safetensors", "old");
  std::filesystem::create_directory(path + ".partial");
  CHECK_THROWS_AS(write_safetensors(path, some_tensors().tensors()), Error);
  CHECK(std::filesystem::file_size(path) == 3);
}

TEST_CASE("every type of the format is known by name and size") {
  const std::pair<const char*, std::size_t> rows[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
                                                      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8}};
  for (const auto& [name, bytes] : rows) {
    const auto type = find_dtype(name);
    REQUIRE(type.has_value());
    CHECK(dtype_name(*type) == name);
    CHECK(dtype_bytes(*type) == bytes);
  }
  CHECK_FALSE(find_dtype("f32").has_value());
}

TEST_CASE("the least good files are accepted") {
  CHECK(verdict("{}", "") == "");
  CHECK(verdict("{}      ", "") == "");
  CHECK(verdict(R"({"__metadata__":{}})", "") == "");
  CHECK(verdict(R"({"__metadata__":{"format":"pt"},"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "1234") == "");
  CHECK(entry(R"("data_offsets":[0,4],"shape":[2,1,2],"dtype":"U8")") == "");
  CHECK(entry(R"("dtype":"F32","shape":[],"data_offsets":[0,4])") == "");
  CHECK(entry(R"("dtype":"F32","shape":[0],"data_offsets":[0,0])", "") == "");
  // Empty tensors may lie at any tensor's begin, as in the reference implementation.
  CHECK(verdict(R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"c":{"dtype":"U8","shape":[0,9],"data_offsets":[4,4]}})", "1234") == "");
}

TEST_CASE("the header's length is checked against the file and the limit") {
  const auto raw = [](const std::string& bytes) { return error_of([&] { parse_safetensors(std::as_bytes(std::span(bytes)), "f"); }); };
  const auto with_length = [&](std::uint64_t n, const std::string& rest) { return raw(std::string(reinterpret_cast<const char*>(&n), sizeof n) + rest); };
  CHECK(raw("") == "f: found 0 bytes; a safetensors file has at least 8");
  CHECK(raw("1234567") == "f: found 7 bytes; a safetensors file has at least 8");
  CHECK(with_length(3, "{}") == "f: the header claims 3 bytes; the file has 2 (and at most 100000000 are accepted)");
  CHECK(with_length(UINT64_MAX, "{}") == "f: the header claims 18446744073709551615 bytes; the file has 2 (and at most 100000000 are accepted)");
  CHECK(with_length(UINT64_MAX - 7, "{}") == "f: the header claims 18446744073709551608 bytes; the file has 2 (and at most 100000000 are accepted)");
  CHECK(with_length(100'000'001, std::string(100'000'001, ' ')) == "f: the header claims 100000001 bytes; the file has 100000001 (and at most 100000000 are accepted)");
  CHECK(with_length(0, "{}") == "f: the header does not start with {");
  CHECK(verdict(" {}", "") == "f: the header does not start with {");
}

TEST_CASE("the header must be JSON with each key once") {
  CHECK(verdict("{", "").find("could not read f as JSON: byte ") == 0);
  CHECK(verdict("{}{}", "").find("could not read f as JSON: byte ") == 0);
  CHECK(verdict("{}\xFF", "").find("could not read f as JSON: byte ") == 0);
  CHECK(verdict("{\"\xFF\":1}", "").find("could not read f as JSON: byte ") == 0);
  CHECK(verdict(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"t":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", "1234") == "f: the tensor \"t\" appears twice");
  CHECK(entry(R"("dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4])") == "f: tensor \"t\": expected exactly dtype, shape and data_offsets, found \"dtype\"");
  CHECK(verdict(R"({"__metadata__":{},"__metadata__":{}})", "") == "f: the key \"__metadata__\" appears twice");
  CHECK(verdict(R"({"__metadata__":{"a":"1","a":"2"}})", "") == "f: the key \"a\" appears twice in __metadata__");
}

TEST_CASE("metadata maps strings to strings") {
  CHECK(verdict(R"({"__metadata__":[]})", "") == "f: __metadata__ must be an object of strings, found an array");
  CHECK(verdict(R"({"__metadata__":"x"})", "") == "f: __metadata__ must be an object of strings, found \"x\"");
  CHECK(verdict(R"({"__metadata__":{"a":1}})", "") == "f: __metadata__ must hold strings only; at \"a\", found 1");
  CHECK(verdict(R"({"__metadata__":{"a":null}})", "") == "f: __metadata__ must hold strings only; at \"a\", found null");
  CHECK(verdict(R"({"__metadata__":{"a":{"b":"c"}}})", "") == "f: __metadata__ must hold strings only; at \"a\", found an object");
}

TEST_CASE("a tensor has exactly its three fields, each of its type") {
  CHECK(verdict(R"({"t":7})", "") == "f: tensor \"t\": expected exactly dtype, shape and data_offsets, found 7");
  CHECK(verdict(R"({"t":[]})", "") == "f: tensor \"t\": expected exactly dtype, shape and data_offsets, found an array");
  CHECK(entry(R"("dtype":"U8","shape":[4])") == "f: tensor \"t\": expected exactly dtype, shape and data_offsets");
  CHECK(entry(R"("dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1)") == "f: tensor \"t\": expected exactly dtype, shape and data_offsets, found \"x\"");
  CHECK(entry(R"("dtype":"Q4","shape":[4],"data_offsets":[0,4])") == "f: tensor \"t\": dtype must be one of F32, F16, BF16, F8_E4M3, F8_E5M2, F64, BOOL and the integer types, found \"Q4\"");
  CHECK(entry(R"("dtype":3,"shape":[4],"data_offsets":[0,4])") == "f: tensor \"t\": dtype must be one of F32, F16, BF16, F8_E4M3, F8_E5M2, F64, BOOL and the integer types, found 3");
  CHECK(entry(R"("dtype":"U8","shape":4,"data_offsets":[0,4])") == "f: tensor \"t\": shape must be an array of at most 16 sizes, found 4");
  CHECK(entry(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4],"data_offsets":[0,4])") == "f: tensor \"t\": shape must be an array of at most 16 sizes");
  for (const std::string size : {"-4", "4.0", "\"4\"", "null", "true", "18446744073709551616"}) {
    CAPTURE(size);
    CHECK(entry("\"dtype\":\"U8\",\"shape\":[" + size + "],\"data_offsets\":[0,4]") == "f: tensor \"t\": shape: expected a whole number from 0, found " + size);
    CHECK(entry("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0," + size + "]") == "f: tensor \"t\": data_offsets: expected a whole number from 0, found " + size);
  }
  CHECK(entry(R"("dtype":"U8","shape":[[4]],"data_offsets":[0,4])") == "f: tensor \"t\": shape: expected a whole number from 0, found an array");
  CHECK(entry(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4])") == "f: tensor \"t\": shape is too large");
  for (const std::string offsets : {"[]", "[0]", "[0,4,4]"}) CHECK(entry("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + offsets) == "f: tensor \"t\": data_offsets must be [begin, end]");
  CHECK(entry(R"("dtype":"U8","shape":[4],"data_offsets":{})") == "f: tensor \"t\": data_offsets must be [begin, end], found an object");
}

TEST_CASE("shape times the type's size is the range, without overflow") {
  CHECK(entry(R"("dtype":"U8","shape":[3],"data_offsets":[0,4])") == "f: tensor \"t\": shape and dtype do not give the 4 bytes of data_offsets [0, 4]");
  CHECK(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,4])") == "f: tensor \"t\": shape and dtype do not give the 4 bytes of data_offsets [0, 4]");
  CHECK(entry(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])") == "f: tensor \"t\": shape and dtype do not give the 0 bytes of data_offsets [4, 0]");
  // The product of these is 4 in 64 bits.
  CHECK(entry(R"("dtype":"U8","shape":[4194305,4194305,211106198978564],"data_offsets":[0,4])") == "f: tensor \"t\": shape and dtype do not give the 4 bytes of data_offsets [0, 4]");
  // And the type's size is what overflows here: 4 × (2^62 + 1).
  CHECK(entry(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])") == "f: tensor \"t\": shape and dtype do not give the 4 bytes of data_offsets [0, 4]");
  CHECK(entry(R"("dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0])", "") == "f: tensor \"t\": shape and dtype do not give the 0 bytes of data_offsets [0, 0]");
}

TEST_CASE("the ranges cover the data from end to end, without holes and overlaps") {
  const auto two = [](const std::string& a, const std::string& b, int bytes) {
    return verdict(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + a + R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}", std::string(static_cast<std::size_t>(bytes), 'x'));
  };
  CHECK(two("[0,2]", "[2,4]", 4) == "");
  CHECK(two("[2,4]", "[0,2]", 4) == "");
  CHECK(two("[0,2]", "[3,5]", 5) == "f: tensor \"b\" begins at byte 3 of the data, where 2 is next: holes and overlaps are not allowed");
  CHECK(two("[0,2]", "[1,3]", 3) == "f: tensor \"b\" begins at byte 1 of the data, where 2 is next: holes and overlaps are not allowed");
  CHECK(two("[1,3]", "[3,5]", 5) == "f: tensor \"a\" begins at byte 1 of the data, where 0 is next: holes and overlaps are not allowed");
  CHECK(two("[0,2]", "[2,4]", 5) == "f: the tensors cover 4 bytes, the file has 5 bytes of data");
  CHECK(two("[0,2]", "[2,4]", 3) == "f: the tensors cover 4 bytes, the file has 3 bytes of data");
  CHECK(verdict("{}", "x") == "f: the tensors cover 0 bytes, the file has 1 bytes of data");
  CHECK(verdict(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,18446744073709551616]}})", "1234").find("expected a whole number from 0") != std::string::npos);
}

/// Two shards with one tensor each, and an index that says what the caller wants.
struct Sharded {
  ScratchFolder folder;
  Sharded() {
    TensorBox first, second;
    first.put_floats("x", {2});
    second.put_floats("y", {3});
    write_safetensors(folder.file("one.safetensors"), first.tensors());
    write_safetensors(folder.file("two.safetensors"), second.tensors());
  }
  std::string verdict(const std::string& index) const {
    folder.write("model.safetensors.index.json", index);
    return error_of([&] { Checkpoint{folder.path()}; }, folder.path());
  }
  std::string placed(const std::string& map) const { return verdict("{\"metadata\":{\"total_size\":20},\"weight_map\":{" + map + "}}"); }
};

TEST_CASE("shards are read as their index places them") {
  const Sharded sharded;
  CHECK(sharded.placed(R"("x":"one.safetensors","y":"two.safetensors")") == "");
  const Checkpoint checkpoint(sharded.folder.path());
  CHECK(checkpoint.tensors().size() == 2);
  CHECK(checkpoint.find("y")->shape == std::vector<std::int64_t>{3});
}

TEST_CASE("every tensor must lie in exactly the shard that the index names") {
  const Sharded sharded;
  CHECK(sharded.placed(R"("x":"one.safetensors")") == "");
  CHECK(sharded.placed(R"("x":"one.safetensors","z":"two.safetensors")") == "DIR/two.safetensors: holds tensor \"y\", which model.safetensors.index.json does not name");
  CHECK(sharded.placed(R"("x":"one.safetensors","z":"one.safetensors")") == "DIR/model.safetensors.index.json: places tensor \"z\" in one.safetensors, which does not hold it");
  CHECK(sharded.placed(R"("x":"two.safetensors","y":"one.safetensors")") == "DIR/one.safetensors: holds tensor \"x\", which model.safetensors.index.json places in two.safetensors");
  CHECK(sharded.placed(R"("x":"one.safetensors","y":"three.safetensors")").find("could not open DIR/three.safetensors") == 0);
  // The same tensor in both shards.
  TensorBox both;
  both.put_floats("x", {2});
  both.put_floats("y", {3});
  write_safetensors(sharded.folder.file("two.safetensors"), both.tensors());
  CHECK(sharded.placed(R"("x":"one.safetensors","y":"two.safetensors")") == "DIR/two.safetensors: holds tensor \"x\", which model.safetensors.index.json places in one.safetensors");
}

TEST_CASE("an index cannot name files outside its folder") {
  const Sharded sharded;
  for (const std::string shard : {"../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", ".", "", "one.safetensors\\u0000x"}) {
    CAPTURE(shard);
    CHECK(sharded.placed("\"x\":\"" + shard + "\"").find("accepted: names of files in the same folder") != std::string::npos);
  }
}

TEST_CASE("an index is an object whose weight_map maps names to files") {
  const Sharded sharded;
  CHECK(sharded.verdict("[]") == "DIR/model.safetensors.index.json: expected an object with weight_map, found an array");
  CHECK(sharded.verdict("7") == "DIR/model.safetensors.index.json: expected an object with weight_map, found 7");
  CHECK(sharded.verdict("{}") == "DIR/model.safetensors.index.json: the member \"weight_map\" is missing");
  CHECK(sharded.verdict(R"({"metadata":{"a":[1,{"weight_map":{}}]}})") == "DIR/model.safetensors.index.json: the member \"weight_map\" is missing");
  CHECK(sharded.verdict(R"({"weight_map":[]})") == "DIR/model.safetensors.index.json: weight_map must be an object of file names, found an array");
  CHECK(sharded.verdict(R"({"weight_map":"x"})") == "DIR/model.safetensors.index.json: weight_map must be an object of file names, found a string");
  CHECK(sharded.placed(R"("x":1)") == "DIR/model.safetensors.index.json: weight_map must be an object of file names, found 1");
  CHECK(sharded.placed(R"("x":{})") == "DIR/model.safetensors.index.json: weight_map must be an object of file names, found an object");
  CHECK(sharded.placed(R"("x":"one.safetensors","x":"one.safetensors")") == "DIR/model.safetensors.index.json: weight_map names tensor \"x\" twice");
  CHECK(sharded.verdict(R"({"weight_map":{},"weight_map":{}})") == "DIR/model.safetensors.index.json: the key \"weight_map\" appears twice");
  CHECK(sharded.verdict("{\"a\":" + std::string(100'000, '[')) == "DIR/model.safetensors.index.json: nesting is deeper than 200");
  CHECK(sharded.verdict("{").find("could not read DIR/model.safetensors.index.json as JSON: byte ") == 0);
}

TEST_CASE("a folder without weights and a path that does not exist are named") {
  const ScratchFolder folder;
  CHECK(error_of([&] { Checkpoint{folder.path()}; }, folder.path()) == "DIR: found neither model.safetensors nor model.safetensors.index.json");
  CHECK(error_of([&] { Checkpoint{folder.file("nothing")}; }, folder.path()) ==
        "DIR/nothing: found no such folder or file; expected a folder with config.json and model.safetensors, or a .safetensors file");
  std::filesystem::create_directory(folder.file("model.safetensors"));
  CHECK(error_of([&] { Checkpoint{folder.path()}; }, folder.path()) == "could not read DIR/model.safetensors: found no regular file");
}

}  // namespace
}  // namespace gauntlet
