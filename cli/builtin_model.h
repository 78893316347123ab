#pragma once

// --model builtin: the small trained checkpoint that comes with the program. The only place that knows where it lies.

#include <filesystem>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace gauntlet {

inline constexpr const char* kBuiltinModel = "builtin";
inline constexpr const char* kModelsVariable = "GAUNTLET_MODELS";  ///< environment variable: the folder that holds the built-in model's

/// Folders of models to look into, in order: `models` alone if it is not empty (the variable's value); else share/gauntlet/models of the
/// installation that `program` belongs to, models/ in the folders above it (a build in the source tree), and the source tree's.
std::vector<std::filesystem::path> model_folders(const std::string& models, const std::filesystem::path& program);

/// The built-in model's folder. Throws Error(Infrastructure) naming the folders that were looked into.
std::string find_builtin_model();

/// A checkpoint's folder as it is; "builtin" as the built-in model's (./builtin is a folder of that name).
std::string resolve_model(const std::string& model);

/// --model of a command that needs a checkpoint: resolves as it is read. `folder` must outlive the parsing.
CLI::Option* add_model_option(CLI::App& command, const std::string& name, std::string& folder, const std::string& files);

}  // namespace gauntlet
