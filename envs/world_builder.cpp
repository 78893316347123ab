#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/error.h"
#include "envs/generators.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxRows = 2'000'000;  // In one table; beyond this a parameter was surely mistyped.

/// What a row hangs on: for `per` and `cross` counts the parents' cells (key symbols or dates), and the chosen text if any.
struct RowPlan {
  std::vector<Cell> parents;
  Cell chosen = kUnknownCell;
};

class Builder {
 public:
  Builder(const EnvSpec& spec, const WorldKey& key) : spec_(spec), key_(key), rng_(Rng(key.seed).split(spec.name)) {}

  std::shared_ptr<const World> build() {
    read_parameters();
    for (const auto& entity : spec_.entities) add_table(entity);
    apply_edits();
    world_->index_keys();
    return world_;
  }

 private:
  void read_parameters();
  void add_table(const EntitySpec& entity);
  std::vector<RowPlan> plan_rows(const EntitySpec& entity, Rng& rng);
  void cross_rows(const EntitySpec& entity, Rng& rng, std::vector<RowPlan>& plans);
  void fill_column(const EntitySpec& entity, std::size_t index, const std::vector<RowPlan>& plans, WorldTable& table, Rng& rng);
  Cell draw(const Generator& generator, const ColumnSpec& column, const WorldTable& table, std::size_t row, const RowPlan& plan,
            Rng& rng);
  void fill_names(const Generator& generator, WorldColumn& column, std::size_t rows, Rng& rng);
  std::string compose(const Generator& generator, Rng& rng) const;
  Cell parse_cell(const WorldColumn& column, const Json& value, const std::string& path);
  void apply_edits();
  std::int64_t count_of(const Json& count, Rng& rng) const;
  void deal(const Generator& generator, const std::vector<RowPlan>& plans, WorldColumn& column, Rng& rng);

  const EnvSpec& spec_;
  const WorldKey& key_;
  Rng rng_;
  std::map<std::string, Json> parameters_;
  std::shared_ptr<World> world_ = std::make_shared<World>();
  std::unordered_set<std::string> used_names_;
};

void Builder::read_parameters() {
  std::vector<std::string> names;
  for (const auto& parameter : spec_.parameters) {
    parameters_[parameter.name] = parameter.fallback;
    names.push_back(parameter.name);
  }
  for (const auto& item : key_.parameters.items()) {
    const auto it =
        std::find_if(spec_.parameters.begin(), spec_.parameters.end(), [&](const auto& p) { return p.name == item.key(); });
    if (it == spec_.parameters.end()) {
      const std::string nearest = nearest_word(item.key(), names);
      fail(ErrorKind::Input,
           fmt::format("environment {} has no world parameter \"{}\"{}; accepted: {}", spec_.name, item.key(),
                       nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(names, ", ")));
    }
    const std::string path = fmt::format("world parameter {}", item.key());
    if (it->type == ColumnType::Integer) {
      const bool good = item.value().is_number_integer() && item.value().get<std::int64_t>() >= it->minimum &&
                        item.value().get<std::int64_t>() <= it->maximum;
      require(good, ErrorKind::Input,
              fmt::format("{}: found {}; accepted: an integer from {} to {}", path, dump_json(item.value()), it->minimum,
                          it->maximum));
    } else {
      require(item.value().is_string(), ErrorKind::Input,
              fmt::format("{}: found {}; accepted: a string", path, dump_json(item.value())));
    }
    parameters_[item.key()] = item.value();
  }
  for (const auto& parameter : spec_.parameters) {
    if (parameter.type != ColumnType::Date) continue;
    const auto text = parameters_[parameter.name].get<std::string>();
    require(parse_date(text).has_value(), ErrorKind::Input,
            fmt::format("world parameter {}: found \"{}\"; accepted: a date YYYY-MM-DD", parameter.name, text));
  }
}

std::int64_t Builder::count_of(const Json& count, Rng& rng) const {
  if (count.contains("range")) return rng.range(count["range"][0].get<std::int64_t>(), count["range"][1].get<std::int64_t>());
  if (count.contains("fixed")) return count["fixed"].get<std::int64_t>();
  return parameters_.at(count.at("parameter").get<std::string>()).get<std::int64_t>();
}

std::vector<RowPlan> Builder::plan_rows(const EntitySpec& entity, Rng& rng) {
  std::vector<RowPlan> plans;
  if (entity.count.contains("cross")) {
    cross_rows(entity, rng, plans);
  } else if (entity.count.contains("per")) {
    const WorldTable& parent =
        world_->tables[static_cast<std::size_t>(world_->find_table(entity.count["per"].get<std::string>()))];
    for (const Cell key : parent.columns[static_cast<std::size_t>(parent.key_column)].cells) {
      const std::int64_t each = count_of(entity.count, rng);
      for (std::int64_t i = 0; i < each; ++i) plans.push_back({.parents = {key}});
    }
  } else {
    plans.resize(static_cast<std::size_t>(count_of(entity.count, rng)));
  }
  require(plans.size() <= kMaxRows, ErrorKind::Input,
          fmt::format("the entity {} would have {} rows; accepted: at most {}", entity.name, plans.size(), kMaxRows));
  return plans;
}

/// Every combination of the sides; with "choices", one row for each text that its chance brings up.
void Builder::cross_rows(const EntitySpec& entity, Rng& rng, std::vector<RowPlan>& plans) {
  std::vector<std::vector<Cell>> sides;
  for (const auto& side : entity.count["cross"]) {
    if (side.is_object()) {
      const std::int64_t from = *parse_date(parameters_.at(side["dates"]["from"].get<std::string>()).get<std::string>());
      const auto days = parameters_.at(side["dates"]["days"].get<std::string>()).get<std::int64_t>();
      sides.emplace_back();
      for (std::int64_t day = 0; day < days; ++day) sides.back().push_back((from + day) * kCellScale);
    } else {
      const WorldTable& table = world_->tables[static_cast<std::size_t>(world_->find_table(side.get<std::string>()))];
      sides.push_back(table.columns[static_cast<std::size_t>(table.key_column)].cells);
    }
  }
  const bool distinct = boolean_or(entity.count, "distinct", false, "/count");
  std::vector<RowPlan> combinations = {{}};
  for (const auto& side : sides) {
    std::vector<RowPlan> extended;
    for (const auto& plan : combinations) {
      for (const Cell cell : side) {
        if (distinct && std::find(plan.parents.begin(), plan.parents.end(), cell) != plan.parents.end()) continue;
        extended.push_back(plan);
        extended.back().parents.push_back(cell);
      }
      require(extended.size() <= kMaxRows, ErrorKind::Input,
              fmt::format("the entity {} would have more than {} rows", entity.name, kMaxRows));
    }
    combinations = std::move(extended);
  }
  if (!entity.count.contains("choices")) {
    const std::int64_t chance = integer_or(entity.count, "per_million", 1'000'000, "/count");
    for (auto& plan : combinations) {
      if (rng.chance(static_cast<std::uint32_t>(chance))) plans.push_back(std::move(plan));
    }
    return;
  }
  const Json& choices = entity.count["choices"];
  for (const auto& plan : combinations) {
    for (std::size_t i = 0; i < choices["values"].size(); ++i) {
      if (!rng.chance(choices["per_million"][i].get<std::uint32_t>())) continue;
      plans.push_back(plan);
      plans.back().chosen = world_->symbols.intern(choices["values"][i].get<std::string>());
    }
  }
}

void Builder::add_table(const EntitySpec& entity) {
  Rng rng = rng_.split(entity.name);
  const std::vector<RowPlan> plans = plan_rows(entity, rng);
  WorldTable table;
  table.name = entity.name;
  table.rows = plans.size();
  for (std::size_t i = 0; i < entity.columns.size(); ++i) {
    const ColumnSpec& spec = entity.columns[i];
    table.columns.push_back(
        {.name = spec.name, .type = spec.type, .decimals = spec.decimals, .references = spec.references, .cells = {}});
    if (spec.name == entity.key) table.key_column = static_cast<int>(i);
    // A stream for each column: adding a column leaves the others' values as they are.
    Rng column_rng = rng.split(spec.name);
    fill_column(entity, i, plans, table, column_rng);
  }
  world_->tables.push_back(std::move(table));
}

void Builder::fill_column(const EntitySpec& entity, std::size_t index, const std::vector<RowPlan>& plans, WorldTable& table,
                          Rng& rng) {
  const ColumnSpec& spec = entity.columns[index];
  WorldColumn& column = table.columns[index];
  if (spec.compiled->kind == GeneratorKind::Name) {
    fill_names(*spec.compiled, column, plans.size(), rng);
    return;
  }
  if (spec.compiled->deal) {
    deal(*spec.compiled, plans, column, rng);
    return;
  }
  column.cells.resize(plans.size());
  for (std::size_t row = 0; row < plans.size(); ++row)
    column.cells[row] = draw(*spec.compiled, spec, table, row, plans[row], rng);
}

/// Rows of one parent follow each other; each group starts with a freshly shuffled deck of the values.
void Builder::deal(const Generator& generator, const std::vector<RowPlan>& plans, WorldColumn& column, Rng& rng) {
  std::vector<Cell> deck = generator.cells;
  for (const auto& text : generator.texts) deck.push_back(world_->symbols.intern(text));
  std::size_t used = 0;
  for (std::size_t row = 0; row < plans.size(); ++row) {
    const bool new_group = row == 0 || plans[row].parents != plans[row - 1].parents;
    if (new_group || used == deck.size()) {
      rng.shuffle(deck);
      used = 0;
    }
    column.cells.push_back(deck[used++]);
  }
}

std::string Builder::compose(const Generator& generator, Rng& rng) const {
  std::string text;
  for (const auto& piece : generator.texts) {
    if (piece.front() != '{') {
      text += piece;
    } else if (piece == "{number}") {
      text += std::to_string(rng.range(1, 999));
    } else {
      text += rng.pick(spec_.names.find(std::string_view(piece).substr(1, piece.size() - 2))->second);
    }
  }
  return text;
}

void Builder::fill_names(const Generator& generator, WorldColumn& column, std::size_t rows, Rng& rng) {
  std::vector<std::string> names;
  const std::string wanted = generator.include.empty() ? std::string() : parameters_.at(generator.include).get<std::string>();
  if (!wanted.empty() && rows > 0) {
    names.push_back(wanted);
    used_names_.insert(wanted);
  }
  if (generator.texts.size() == 1 && generator.texts[0].front() == '{') {
    // A plain list is drawn without replacement.
    auto words = spec_.names.find(std::string_view(generator.texts[0]).substr(1, generator.texts[0].size() - 2))->second;
    rng.shuffle(words);
    for (const auto& word : words) {
      if (names.size() == rows) break;
      if (used_names_.insert(word).second) names.push_back(word);
    }
    require(names.size() == rows, ErrorKind::Input,
            fmt::format("a world of {} rows needs as many names; locale {} has only {}", rows, spec_.locale, names.size()));
  }
  while (names.size() < rows) {
    std::string name = compose(generator, rng);
    for (int attempt = 0; attempt < 100 && used_names_.contains(name); ++attempt) name = compose(generator, rng);
    // Very large worlds use up the combinations; a numeral keeps names unique.
    for (int number = 2; used_names_.contains(name); ++number) name = fmt::format("{} No. {}", compose(generator, rng), number);
    used_names_.insert(name);
    names.push_back(std::move(name));
  }
  rng.shuffle(names);
  for (const auto& name : names) column.cells.push_back(world_->symbols.intern(name));
}

Cell Builder::draw(const Generator& generator, const ColumnSpec& column, const WorldTable& table, std::size_t row,
                   const RowPlan& plan, Rng& rng) {
  const auto steps = [&] { return (generator.maximum - generator.minimum) / generator.step; };
  switch (generator.kind) {
    case GeneratorKind::Parent:
      return plan.parents[static_cast<std::size_t>(generator.parent)];
    case GeneratorKind::Range:
      return generator.minimum + generator.step * rng.range(0, steps());
    case GeneratorKind::Choice: {
      const std::size_t size = std::max(generator.texts.size(), generator.cells.size());
      const std::size_t pick = generator.weights.empty() ? rng.below(size) : rng.weighted(generator.weights);
      return generator.cells.empty() ? world_->symbols.intern(generator.texts[pick]) : generator.cells[pick];
    }
    case GeneratorKind::By: {
      const std::string& value =
          world_->symbols.text(static_cast<std::int32_t>(table.columns[static_cast<std::size_t>(generator.column)].cells[row]));
      for (std::size_t i = 0; i < generator.cases.size(); ++i) {
        if (generator.case_values[i] == value) return draw(generator.cases[i], column, table, row, plan, rng);
      }
      fail(ErrorKind::Input, fmt::format("{}.{}: no case for \"{}\"", table.name, column.name, value));
    }
    case GeneratorKind::Correlated: {
      const auto& other = table.columns[static_cast<std::size_t>(generator.column)].cells;
      const auto [low, high] = std::minmax_element(other.begin(), other.end());
      const Cell position = *high == *low ? 500 : (other[row] - *low) * 1000 / (*high - *low);
      const Cell along = generator.correlation >= 0 ? position : 1000 - position;
      const Cell strength = std::abs(generator.correlation);
      const Cell mixed = strength * along + (1000 - strength) * rng.range(0, 1000);  // millionths
      return generator.minimum + generator.step * ((mixed * steps() + 500'000) / 1'000'000);
    }
    case GeneratorKind::Offset:
      return table.columns[static_cast<std::size_t>(generator.column)].cells[row] + generator.minimum +
             generator.step * rng.range(0, steps());
    case GeneratorKind::Template:
      return world_->symbols.intern(compose(generator, rng));
    case GeneratorKind::Chosen:
      return plan.chosen;
    case GeneratorKind::Boolean:
      return rng.chance(generator.per_million) ? kCellScale : 0;
    case GeneratorKind::Constant:
      return parse_cell(table.columns[static_cast<std::size_t>(table.find_column(column.name))], generator.constant,
                        column.name);
    case GeneratorKind::Row: {
      const WorldTable& target = world_->tables[static_cast<std::size_t>(world_->find_table(column.references))];
      require(target.rows > 0, ErrorKind::Input,
              fmt::format("{}.{}: the entity {} has no rows to refer to", table.name, column.name, target.name));
      return rng.pick(target.columns[static_cast<std::size_t>(target.key_column)].cells);
    }
    case GeneratorKind::Name:
      break;
  }
  return kUnknownCell;
}

Cell Builder::parse_cell(const WorldColumn& column, const Json& value, const std::string& path) {
  if (value.is_null()) return kUnknownCell;
  switch (column.type) {
    case ColumnType::Integer:
    case ColumnType::Number: {
      const Cell cell = number_to_cell(value, path);
      Cell unit = kCellScale;
      for (int i = 0; i < column.decimals; ++i) unit /= 10;
      require(cell % unit == 0, ErrorKind::Input,
              fmt::format("{}: found {}; accepted: at most {} decimals, as the column has", path, dump_json(value),
                          column.decimals));
      return cell;
    }
    case ColumnType::Boolean:
      require(value.is_boolean(), ErrorKind::Input, path + ": expected true or false");
      return value.get<bool>() ? kCellScale : 0;
    default:
      break;
  }
  require(value.is_string(), ErrorKind::Input, fmt::format("{}: expected a string, found {}", path, dump_json(value)));
  const auto text = value.get<std::string>();
  if (column.type == ColumnType::Text) return world_->symbols.intern(text);
  if (column.type == ColumnType::Reference) {
    const WorldTable& target = world_->tables[static_cast<std::size_t>(world_->find_table(column.references))];
    const auto& keys = target.columns[static_cast<std::size_t>(target.key_column)].cells;
    const Cell key = world_->symbols.find(text);
    require(std::find(keys.begin(), keys.end(), key) != keys.end(), ErrorKind::Input,
            fmt::format("{}: found \"{}\"; accepted: the name of an existing {}", path, text, target.name));
    return key;
  }
  const auto days = parse_date(text);
  require(days.has_value(), ErrorKind::Input, fmt::format("{}: found \"{}\"; accepted: a date YYYY-MM-DD", path, text));
  return *days * kCellScale;
}

void Builder::apply_edits() {
  for (std::size_t i = 0; i < key_.edits.size(); ++i) {
    const std::string path = fmt::format("/edits/{}", i);
    const Json& edit = key_.edits[i];
    refuse_unknown_members(edit, {"table", "key", "column", "value"}, path);
    const int table_number = world_->find_table(get_string(edit, "table", path));
    require(table_number >= 0 && world_->tables[static_cast<std::size_t>(table_number)].key_column >= 0, ErrorKind::Input,
            fmt::format("{}/table: found \"{}\"; accepted: an entity with a key", path, get_string(edit, "table", path)));
    WorldTable& table = world_->tables[static_cast<std::size_t>(table_number)];
    const int column = table.find_column(get_string(edit, "column", path));
    require(column >= 0 && column != table.key_column, ErrorKind::Input,
            fmt::format("{}/column: {} has no column \"{}\" that can be edited", path, table.name,
                        get_string(edit, "column", path)));
    const std::int32_t key = world_->symbols.find(get_string(edit, "key", path));
    const auto& keys = table.columns[static_cast<std::size_t>(table.key_column)].cells;
    const auto row = std::find(keys.begin(), keys.end(), Cell{key});
    require(key >= 0 && row != keys.end(), ErrorKind::Input,
            fmt::format("{}/key: {} has no row \"{}\"", path, table.name, get_string(edit, "key", path)));
    auto& target = table.columns[static_cast<std::size_t>(column)];
    target.cells[static_cast<std::size_t>(row - keys.begin())] =
        parse_cell(target, get_member(edit, "value", path), path + "/value");
  }
}

}  // namespace

std::shared_ptr<const World> build_world(const EnvSpec& spec, const WorldKey& key) { return Builder(spec, key).build(); }

std::string world_fingerprint(const World& world) {
  std::string text;
  for (const auto& table : world.tables) {
    text += table.name + "\n";
    for (std::size_t row = 0; row < table.rows; ++row) {
      for (const auto& column : table.columns) text += cell_text(world, column, column.cells[row]) + "\t";
      text += "\n";
    }
  }
  return text;
}

}  // namespace gauntlet
