#pragma once

// How the values of a column are made. Generators are written in a spec as JSON (docs/environments.md), compiled once, and
// drawn from with integer arithmetic only.

#include <map>
#include <string>
#include <vector>

#include "core/rng.h"
#include "envs/env_spec.h"

namespace gauntlet {

enum class GeneratorKind { Name, Parent, Range, Choice, By, Correlated, Offset, Template, Chosen, Boolean, Constant, Row };

struct Generator {
  GeneratorKind kind = GeneratorKind::Constant;
  Cell minimum = 0, maximum = 0, step = kCellScale;  ///< Range, Correlated, Offset: thousandths
  std::vector<std::string> texts;                    ///< Choice of texts; Name and Template: pattern pieces, lists as "{list}"
  std::vector<Cell> cells;                           ///< Choice of numbers
  std::vector<std::uint32_t> weights;                ///< Choice; empty: equal
  bool deal = false;    ///< Choice: dealt like cards to the rows of one parent, so that each has all values
  int column = -1;      ///< By, Correlated, Offset: an earlier column of the row
  int correlation = 0;  ///< Correlated: thousandths, -1000 to 1000
  std::vector<std::string> case_values;  ///< By: values of `column`
  std::vector<Generator> cases;          ///< By: the generator for each of them
  std::string include;                                   ///< Name: world parameter that names a row that must exist
  int parent = 0;                                        ///< Parent: which of the row's parents
  std::uint32_t per_million = 0;                         ///< Boolean
  Json constant;                                         ///< Constant
};

/// Fills ColumnSpec::compiled of all columns; `spec` holds the entities before this one. Throws Error(Input) with the path.
void compile_generators(const EnvSpec& spec, EntitySpec& entity, const std::string& path);

/// Word lists of a locale pack. Throws Error(Input) naming the packs that exist.
std::map<std::string, std::vector<std::string>, std::less<>> load_locale(const std::string& name, const std::string& path);

/// A JSON number as thousandths; throws Error(Input) for more than three decimals.
Cell number_to_cell(const Json& value, const std::string& path);

}  // namespace gauntlet
