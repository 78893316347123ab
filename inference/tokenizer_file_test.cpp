// tokenizer.json files that are wrong, hostile or beyond what is supported.

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "inference/byte_alphabet.h"
#include "inference/tokenizer.h"

namespace gauntlet {
namespace {

/// Bytes as ids 0 to 255, "ab" as 256, "<s>" as 257.
Json minimal() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    vocab[spelling_of_bytes({&c, 1})] = byte;
  }
  vocab["ab"] = 256;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {{{"id", 257}, {"content", "<s>"}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
          {"post_processor", {{"type", "TemplateProcessing"}, {"anything", {1, 2}}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"dropout", nullptr}, {"vocab", vocab}, {"merges", {"a b"}}}}};
}

std::string refusal_of(std::string_view text) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    Tokenizer::parse(text, "t.json");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    CHECK(std::string_view(error.what()).find("t.json") != std::string_view::npos);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
    return error.what();
  }
  return "accepted";
}

/// What is said of the minimal file with one change.
std::string refusal(const std::function<void(Json&)>& change) {
  Json file = minimal();
  change(file);
  return refusal_of(dump_json(file));
}

bool says(const std::string& message, std::string_view part) {
  const bool found = message.find(part) != std::string::npos;
  CHECK_MESSAGE(found, message << " lacks: " << part);
  return found;
}

Json& vocab(Json& file) { return file["model"]["vocab"]; }
Json& added(Json& file) { return file["added_tokens"]; }

TEST_CASE("the minimal tokenizer is accepted, also with merges as pairs and a member less") {
  const Tokenizer tokenizer = Tokenizer::parse(dump_json(minimal()), "t.json");
  CHECK(tokenizer.encode("ab<s>b", SpecialTokens::Parse) == std::vector<std::int32_t>{256, 257, 'b'});
  CHECK(refusal([](Json& file) { file["model"]["merges"] = Json::array({Json::array({"a", "b"})}); }) == "accepted");
  CHECK(refusal([](Json& file) { file.erase("added_tokens"); }) == "accepted");
  CHECK(refusal([](Json& file) { file["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}}; }) == "accepted");
}

TEST_CASE("what is not implemented is refused by name") {
  says(refusal([](Json& file) { file["normalizer"] = {{"type", "NFKC"}}; }), "t.json: /normalizer: the normalizer \"NFKC\" is not supported");
  says(refusal([](Json& file) { file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Lowercase"}}}}}; }), "/normalizer/normalizers/0");
  says(refusal([](Json& file) { file["pre_tokenizer"] = {{"type", "Metaspace"}}; }), "\"Metaspace\"");
  says(refusal([](Json& file) { file["pre_tokenizer"] = {{"type", "Digits"}}; }), "a pre-tokenizer without ByteLevel");
  says(refusal([](Json& file) { file["pre_tokenizer"]["add_prefix_space"] = true; }), "add_prefix_space");
  says(refusal([](Json& file) { file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {file["pre_tokenizer"], {{"type", "Digits"}}}}}; }), "after ByteLevel");
  says(refusal([](Json& file) { file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "MergedWithNext"}}; }), "\"MergedWithNext\"");
  says(refusal([](Json& file) { file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "\\w"}}}, {"behavior", "Isolated"}}; }), "\\w");
  says(refusal([](Json& file) { file["decoder"] = {{"type", "WordPiece"}}; }), "\"WordPiece\"");
  says(refusal([](Json& file) { file["model"]["type"] = "Unigram"; }), "/model/type: \"Unigram\"");
  says(refusal([](Json& file) { file["model"]["dropout"] = 0.1; }), "/model/dropout");
  says(refusal([](Json& file) { file["model"]["byte_fallback"] = true; }), "/model/byte_fallback");
  says(refusal([](Json& file) { file["model"]["end_of_word_suffix"] = "</w>"; }), "/model/end_of_word_suffix");
  says(refusal([](Json& file) { file["model"]["novel"] = 1; }), "/model/novel: unknown member");
  says(refusal([](Json& file) { file["novel"] = 1; }), "/novel: unknown member");
  says(refusal([](Json& file) { added(file)[0]["single_word"] = true; }), "/added_tokens/0/single_word");
}

TEST_CASE("wrong types and missing parts are refused with their place") {
  says(refusal_of(""), "t.json");
  says(refusal_of("[]"), "expected an object");
  says(refusal_of("{}"), "model");
  says(refusal([](Json& file) { file.erase("decoder"); }), "decoder");
  says(refusal([](Json& file) { vocab(file) = Json::array(); }), "/model/vocab: expected an object");
  says(refusal([](Json& file) { vocab(file) = 5; }), "/model/vocab: expected an object");
  says(refusal([](Json& file) { vocab(file)["ab"] = "256"; }), "/model/vocab: expected token ids, found a string");
  says(refusal([](Json& file) { vocab(file)["ab"] = 256.0; }), "found a fraction");
  says(refusal([](Json& file) { vocab(file)["ab"] = Json::array(); }), "found an array");
  says(refusal([](Json& file) { vocab(file)["ab"] = Json::object(); }), "found an object");
  says(refusal([](Json& file) { file["model"].erase("merges"); }), "/model/merges: expected an array");
  says(refusal([](Json& file) { file["model"]["merges"] = Json::object(); }), "/model/merges: expected an array");
  says(refusal([](Json& file) { file["model"]["merges"] = {1}; }), "/model/merges");
  says(refusal([](Json& file) { file["model"]["merges"] = Json::array({Json::array({"a", "b", "c"})}); }), "/model/merges/0: expected two tokens, found 3");
  says(refusal([](Json& file) { file["model"]["merges"] = Json::array({Json::array({"a"}), Json::array({"b"})}); }), "/model/merges/0: expected two tokens, found 1");
  says(refusal([](Json& file) { file["model"]["merges"] = Json::array({Json::array({"a", Json::array({"b"})})}); }), "/model/merges");
  says(refusal([](Json& file) { file["model"]["merges"] = {"ab"}; }), "/model/merges/0: expected two tokens with a space");
  says(refusal([](Json& file) { file["model"]["merges"] = {"a b c"}; }), "/model/merges/0: expected two tokens with a space");
  says(refusal([](Json& file) { added(file) = Json::object(); }), "/added_tokens: expected an array");
  says(refusal([](Json& file) { added(file)[0]["content"] = 1; }), "/added_tokens/0/content");
  says(refusal([](Json& file) { added(file)[0] = "x"; }), "/added_tokens/0: expected an object");
  says(refusal([](Json& file) { file["pre_tokenizer"] = nullptr; }), "/pre_tokenizer");
  says(refusal([](Json& file) { file["pre_tokenizer"] = "ByteLevel"; }), "/pre_tokenizer");
}

TEST_CASE("ids that clash, contradict or ask for a large table are refused") {
  says(refusal([](Json& file) { vocab(file)["ab"] = 97; }), "both have the id 97");
  says(refusal([](Json& file) { vocab(file)["ab"] = -1; }), "has the id -1");
  says(refusal([](Json& file) { vocab(file)["ab"] = 1'999'999; }), "has the id 1999999");
  says(refusal([](Json& file) { vocab(file)["ab"] = UINT64_MAX; }), "has the id 9223372036854775807");
  says(refusal([](Json& file) { added(file)[0]["id"] = 256; }), "both have the id 256");
  says(refusal([](Json& file) { added(file)[0]["id"] = 1'999'999; }), "has the id 1999999");
  says(refusal([](Json& file) { added(file)[0]["id"] = 1e15; }), "/added_tokens/0/id");
  says(refusal([](Json& file) { added(file).push_back(added(file)[0]); }), "appears twice");
  says(refusal([](Json& file) { added(file)[0]["content"] = "ab"; }), "the vocabulary has it as 256");
  says(refusal([](Json& file) { added(file)[0]["content"] = ""; }), "has 0 bytes");
  says(refusal([](Json& file) { added(file)[0]["content"] = std::string(300, 'x'); }), "has 300 bytes");
  says(refusal([](Json& file) {
    added(file)[0]["content"] = "!";
    added(file)[0]["id"] = '!';
  }), "is also the token of that byte");
  says(refusal([](Json& file) { vocab(file).erase("a"); }), "the byte 0x61 has no token");
  says(refusal_of("{\"model\": {\"vocab\": {\"a\": 1, \"a\": 2}, \"merges\": []}, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"decoder\": {\"type\": \"ByteLevel\"}}"),
       "the token \"a\" appears twice");
}

TEST_CASE("ids may have holes, which decode to nothing") {
  Json file = minimal();
  added(file)[0]["id"] = 1000;
  const Tokenizer tokenizer = Tokenizer::parse(dump_json(file), "t.json");
  CHECK(tokenizer.vocab_size() == 1001);
  CHECK(tokenizer.token_bytes(999) == "");
  CHECK(tokenizer.decode(std::vector<std::int32_t>{'a', 999, 'b'}, SkipSpecial::No) == "ab");
}

TEST_CASE("merges must name tokens and make one") {
  says(refusal([](Json& file) { file["model"]["merges"] = {"a xy"}; }), "/model/merges/0: (\"a\", \"xy\"): \"xy\" is not in the vocabulary");
  says(refusal([](Json& file) { file["model"]["merges"] = {"a b", "a c"}; }), "/model/merges/1: (\"a\", \"c\"): \"ac\" is not in the vocabulary");
  says(refusal([](Json& file) { file["model"]["merges"] = Json::array({Json::array({"a", ""})}); }), "is not in the vocabulary");
  says(refusal([](Json& file) { file["model"]["merges"] = Json::array({Json::array({"a", "\uFF5C"})}); }), "is not in the vocabulary");
}

TEST_CASE("a special token that merges would make out of plain text is never made") {
  Json file = minimal();
  vocab(file)["<s"] = 258;
  vocab(file)["<s>"] = 257;
  file["model"]["merges"] = {"< s", "<s >"};
  const Tokenizer tokenizer = Tokenizer::parse(dump_json(file), "t.json");
  CHECK(tokenizer.encode("<s>", SpecialTokens::Parse) == std::vector<std::int32_t>{257});
  for (const std::int32_t id : tokenizer.encode("<s> <s><s>", SpecialTokens::AsText)) CHECK(id != 257);
}

TEST_CASE("floods are refused before they cost much") {
  says(refusal_of(std::string(100'000, '[')), "nesting is deeper");
  says(refusal_of("{\"model\": {\"vocab\": " + std::string(100'000, '[')), "nesting is deeper");
  std::string members = "{\"added_tokens\": {";
  for (int i = 0; i < 200; ++i) members += "\"k" + std::to_string(i) + "\": 1,";
  says(refusal_of(members), "more than 100 members");
  std::string values = "{\"padding\": [1";
  for (int i = 0; i < 1'000'001; ++i) values += ",1";
  says(refusal_of(values + "]}"), "values besides the vocabulary");
  says(refusal_of("{\"model\": {\"vocab\": {\"" + std::string(70'000, 'x') + "\": 1}}}"), "a token has 70000 bytes");
  says(refusal_of("{\"model\": {\"merges\": [[\"" + std::string(70'000, 'x') + "\", \"y\"]]}}"), "longer than 65536 bytes");
  says(refusal_of("{\"model\": {}, \"model\": {}}"), "appears twice");
  says(refusal_of("{\"model\": {\"vocab\": {}, \"vocab\": {}}}"), "appears twice");
  says(refusal_of(std::string(64 * 1024 * 1024 + 1, ' ')), "a tokenizer has at most");
}

TEST_CASE("a file cut anywhere is refused") {
  const std::string text = dump_json(minimal());
  for (std::size_t size = 0; size < text.size(); ++size) CHECK(refusal_of(text.substr(0, size)) != "accepted");
}

TEST_CASE("a missing file and a folder without one are named") {
  const auto folder = std::filesystem::temp_directory_path() / "gauntlet_no_tokenizer_here";
  std::filesystem::create_directories(folder);
  CHECK_THROWS_WITH_AS(Tokenizer::load(folder.string()), doctest::Contains("tokenizer.json"), Error);
  CHECK_THROWS_WITH_AS(Tokenizer::load("/nonexistent/x.json"), doctest::Contains("/nonexistent/x.json"), Error);
  std::filesystem::remove(folder);
}

}  // namespace
}  // namespace gauntlet
