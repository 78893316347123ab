#include "cli/serve_command.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "inference/sample_checkpoint.h"
#include "tests/process.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using sample::ScratchFolder;

std::string error_of_serving(const ServeOptions& options) {
  Context context;
  context.cancel = true;
  return sample::error_of([&] { run_serve(options, context); });
}

TEST_CASE("serving beyond this machine without a key, and options without meaning, are refused before anything is loaded") {
  CHECK(error_of_serving({.host = "0.0.0.0"}) == "--host: 0.0.0.0 can be reached from other machines; give --api-key-file or --api-key-env, or listen on 127.0.0.1, ::1 or localhost");
  CHECK(error_of_serving({.mode = "loud"}) == "--mode: found \"loud\"; accepted: thinking, chat");
  CHECK(error_of_serving({.api_key_env = "GAUNTLET_NO_SUCH_VARIABLE"}) == "--api-key-env: the environment variable GAUNTLET_NO_SUCH_VARIABLE is not set");
  CHECK(error_of_serving({.drain_seconds = -1}) == "--drain-seconds: found -1; accepted: 0 or more");
  const ScratchFolder folder;
  CHECK(error_of_serving({.host = "0.0.0.0", .api_key_file = folder.write("keys", "# none\n")}).find("found no key") != std::string::npos);
}

TEST_CASE("the program prints its address, serves, and ends well when it is told to") {
  const ScratchFolder folder;
  const std::string golden = std::string(kTestData) + "/golden";
  for (const char* name : {"config.json", "model.safetensors"}) std::filesystem::copy(golden + "/models/v32-tiny/" + name, folder.file(name));
  std::filesystem::copy(golden + "/tokenizer/deepseek.tokenizer.json", folder.file("tokenizer.json"));
  const std::string script = R"("$0" serve model --model . --port 0 --cache-tokens 4096 > address 2> notes & server=$!
while [ ! -s address ] && kill -0 $server; do :; done
kill -TERM $server; wait $server; echo "status $?"; cat address notes)";
  const auto result = sample::run_process({"sh", "-c", script, kProgram}, {.folder = folder.path()});
  CHECK(result.out.starts_with("status 0\nhttp://127.0.0.1:"));
  CHECK(result.out.find("/v1\n") != std::string::npos);
  CHECK(result.out.find("4096 tokens of context") != std::string::npos);
}

}  // namespace
}  // namespace gauntlet
