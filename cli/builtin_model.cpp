#include "cli/builtin_model.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "source_models.h"

namespace gauntlet {
namespace {

constexpr const char* kFolderName = "gauntlet-agent";
constexpr int kLevelsAbove = 3;  ///< build/release/gauntlet, and a multi-configuration build's build/x/Release/gauntlet

}  // namespace

std::vector<std::filesystem::path> model_folders(const std::string& models, const std::filesystem::path& program) {
  if (!models.empty()) return {models};
  const std::filesystem::path folder = program.parent_path();
  std::vector<std::filesystem::path> out = {folder.parent_path() / "share/gauntlet/models"};
  std::filesystem::path above = folder;
  for (int i = 0; i < kLevelsAbove && above.has_relative_path(); ++i) {
    above = above.parent_path();
    out.push_back(above / "models");
  }
  if (std::find(out.begin(), out.end(), kSourceModels) == out.end()) out.emplace_back(kSourceModels);
  return out;
}

std::string find_builtin_model() {
  const char* given = std::getenv(kModelsVariable);
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  std::string looked;
  for (const auto& models : model_folders(given == nullptr ? "" : given, program)) {
    const auto folder = models / kFolderName;
    if (std::filesystem::exists(folder / "config.json", error)) return folder.string();
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", folder.string());
  }
  fail(ErrorKind::Infrastructure, fmt::format("the built-in model is not there; looked for {}; the environment variable {} names the folder that holds {}", looked, kModelsVariable, kFolderName));
}

std::string resolve_model(const std::string& model) { return model == kBuiltinModel ? find_builtin_model() : model; }

CLI::Option* add_model_option(CLI::App& command, const std::string& name, std::string& folder, const std::string& files) {
  return command.add_option_function<std::string>(name, [&folder](const std::string& model) { folder = resolve_model(model); }, fmt::format("Folder with {}, or builtin: the model that comes with this program", files))
      ->type_name("DIR")
      ->required();
}

}  // namespace gauntlet
