#include "envs/sql_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/error.h"
#include "envs/text_match.h"
#include "envs/world_sql.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 48> kAllowed = {
    "abs", "avg", "coalesce", "count", "date", "datetime", "dense_rank", "first_value", "format", "glob",
    "group_concat", "hex", "ifnull", "iif", "instr", "json_array_length", "json_extract", "json_type", "json_valid",
    "julianday", "lag", "last_value", "lead", "length", "like", "lower", "ltrim", "max", "min", "nullif", "printf",
    "rank", "replace", "round", "row_number", "rtrim", "sign", "strftime", "substr", "substring", "sum", "time",
    "total", "trim", "typeof", "unicode", "unixepoch", "upper"};

/// SQLite's own function, run on a connection of its own after its work has been charged and its arguments looked at.
struct Guarded {
  std::string_view name;
  int arguments;               ///< -1: any number
  std::size_t units_per_byte;  ///< of the arguments and the result
  bool is_date = false;
};

constexpr std::array<Guarded, 12> kGuarded = {{{"printf", -1, 4},
                                               {"format", -1, 4},
                                               {"json_valid", 1, 20},
                                               {"json_type", -1, 20},
                                               {"json_extract", -1, 20},
                                               {"json_array_length", -1, 20},
                                               {"date", -1, 1, true},
                                               {"time", -1, 1, true},
                                               {"datetime", -1, 1, true},
                                               {"julianday", -1, 1, true},
                                               {"unixepoch", -1, 1, true},
                                               {"strftime", -1, 1, true}}};

std::string_view text_of(sqlite3_value* value) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return text == nullptr ? std::string_view() : std::string_view(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
}

bool any_null(int count, sqlite3_value** values) {
  return std::any_of(values, values + count, [](sqlite3_value* value) { return sqlite3_value_type(value) == SQLITE_NULL; });
}

void give_text(sqlite3_context* context, std::string_view text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

/// Charges, or sets the error; the budget remembers that it is spent, and the call is answered with that.
bool pay(sqlite3_context* context, WorkBudget& budget, std::size_t units) {
  if (budget.charge(units)) return true;
  sqlite3_result_error(context, "the work of the call is spent", -1);
  return false;
}

WorkBudget& budget_of(sqlite3_context* context) { return *static_cast<WorkBudget*>(sqlite3_user_data(context)); }

template <PatternStyle style>
void run_pattern(sqlite3_context* context, int count, sqlite3_value** values) {
  constexpr std::size_t kMaxPatternBytes = 200;
  if (any_null(count, values)) return;
  const std::string_view pattern = text_of(values[0]);
  const std::string_view escape = count == 3 ? text_of(values[2]) : std::string_view();
  if (pattern.size() > kMaxPatternBytes) {
    const std::string message = fmt::format("a LIKE or GLOB pattern is longer than {} bytes", kMaxPatternBytes);
    return sqlite3_result_error(context, message.c_str(), -1);
  }
  if (count == 3 && (escape.empty() || character_bytes(escape, 0) != escape.size()))
    return sqlite3_result_error(context, "ESCAPE takes one character", -1);
  std::size_t work = 0;
  const bool matched = matches_pattern(pattern, text_of(values[1]), style, escape, work);
  if (pay(context, budget_of(context), work)) sqlite3_result_int(context, matched ? 1 : 0);
}

void run_instr(sqlite3_context* context, int count, sqlite3_value** values) {
  if (any_null(count, values)) return;
  const std::string_view text = text_of(values[0]);
  std::size_t work = 0;
  const auto found = find_text(text, text_of(values[1]), 0, work);
  if (!pay(context, budget_of(context), work)) return;
  std::int64_t position = found ? 1 : 0;
  for (std::size_t at = 0; found && at < *found; ++position) at += character_bytes(text, at);
  sqlite3_result_int64(context, position);
}

void run_replace(sqlite3_context* context, int count, sqlite3_value** values) {
  if (any_null(count, values)) return;
  WorkBudget& budget = budget_of(context);
  std::size_t work = 0;
  const auto replaced = replace_text(text_of(values[0]), text_of(values[1]), text_of(values[2]),
                                     static_cast<std::size_t>(budget.value_bytes()), work);
  if (!pay(context, budget, work)) return;
  if (!replaced) return sqlite3_result_error_toobig(context);
  give_text(context, *replaced);
}

/// SQLite's goes through decimal text and `long double`, which is not the same on every machine.
void run_round(sqlite3_context* context, int count, sqlite3_value** values) {
  constexpr int kMaxDecimals = 9;
  constexpr double kExact = 9007199254740992.0;  // 2^53: no fraction beyond
  if (any_null(count, values)) return;
  const double value = sqlite3_value_double(values[0]);
  const int decimals = count == 2 ? std::clamp(sqlite3_value_int(values[1]), 0, kMaxDecimals) : 0;
  double scale = 1;
  for (int i = 0; i < decimals; ++i) scale *= 10;
  const double scaled = value * scale;
  sqlite3_result_double(context, std::abs(scaled) < kExact ? std::round(scaled) / scale : value);
}

enum TrimSide : unsigned { kTrimLeft = 1, kTrimRight = 2 };

template <unsigned sides>
void run_trim(sqlite3_context* context, int count, sqlite3_value** values) {
  if (any_null(count, values)) return;
  std::string_view text = text_of(values[0]);
  const std::string_view set = count == 2 ? text_of(values[1]) : std::string_view(" ");
  std::size_t work = 20;
  const auto in_set = [&](std::string_view character) {
    for (std::size_t at = 0; at < set.size(); at += character_bytes(set, at)) {
      work += 3;
      if (set.substr(at, character_bytes(set, at)) == character) return true;
    }
    return false;
  };
  if ((sides & kTrimLeft) != 0) {
    while (!text.empty() && in_set(text.substr(0, character_bytes(text, 0)))) text.remove_prefix(character_bytes(text, 0));
  }
  while ((sides & kTrimRight) != 0 && !text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && text.size() - last < 4 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    if (!in_set(text.substr(last))) break;
    text.remove_suffix(text.size() - last);
  }
  if (pay(context, budget_of(context), work + text.size())) give_text(context, text);
}

/// The texts of group_concat in byte order, because SQLite may visit the rows of a group in any.
struct Gathered {
  std::vector<std::pair<std::string, std::string>> items;  ///< text, separator before it
  std::size_t bytes = 0;
};

void gather(sqlite3_context* context, int count, sqlite3_value** values) {
  auto** gathered = static_cast<Gathered**>(sqlite3_aggregate_context(context, sizeof(Gathered*)));
  if (gathered == nullptr) return sqlite3_result_error_nomem(context);
  if (sqlite3_value_type(values[0]) == SQLITE_NULL) return;
  if (*gathered == nullptr) *gathered = std::make_unique<Gathered>().release();  // Freed by join().
  const std::string_view text = text_of(values[0]);
  const std::string_view separator = count == 2 ? text_of(values[1]) : std::string_view(",");
  WorkBudget& budget = budget_of(context);
  if (!pay(context, budget, 200 + text.size() + separator.size())) return;
  (*gathered)->bytes += text.size() + separator.size();
  if ((*gathered)->bytes > static_cast<std::size_t>(budget.value_bytes())) return sqlite3_result_error_toobig(context);
  (*gathered)->items.emplace_back(text, separator);
}

void join(sqlite3_context* context) {
  auto** kept = static_cast<Gathered**>(sqlite3_aggregate_context(context, 0));
  if (kept == nullptr || *kept == nullptr) return;
  const std::unique_ptr<Gathered> gathered(*kept);
  std::sort(gathered->items.begin(), gathered->items.end());
  std::string out;
  for (std::size_t i = 0; i < gathered->items.size(); ++i) {
    if (i > 0) out += gathered->items[i].second;
    out += gathered->items[i].first;
  }
  give_text(context, out);
}

/// SQLite's NOCASE, charged: it looks at each byte, and a sort compares often within one step.
int compare_nocase(void* context, int a_bytes, const void* a, int b_bytes, const void* b) {
  const auto* x = static_cast<const char*>(a);
  const auto* y = static_cast<const char*>(b);
  const auto fold = [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : static_cast<unsigned char>(c); };
  const int shorter = std::min(a_bytes, b_bytes);
  int at = 0;
  // When the budget is spent the order no longer matters: the call is refused.
  while (at < shorter && fold(x[at]) == fold(y[at])) ++at;
  if (!static_cast<WorkBudget*>(context)->charge(static_cast<std::size_t>(20 + 2 * at))) return 0;
  return at < shorter ? fold(x[at]) - fold(y[at]) : a_bytes - b_bytes;
}

/// 'now', and times in the machine's zone, are not the same tomorrow and elsewhere.
bool is_pure_date(std::string_view name, int count, sqlite3_value** values) {
  const int first = name == "strftime" ? 1 : 0;
  if (count <= first) return false;  // Without a date it means now.
  for (int i = first; i < count; ++i) {
    if (sqlite3_value_type(values[i]) != SQLITE_TEXT) continue;
    std::string text(text_of(values[i]));
    std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    for (const char* impure : {"now", "local", "utc"}) {
      if (text.find(impure) != std::string::npos) return false;
    }
  }
  return true;
}

}  // namespace

std::span<const std::string_view> allowed_functions() { return kAllowed; }

struct SqlFunctions::Impl {
  struct Delegate {
    Impl* owner = nullptr;
    Guarded rule;
    std::vector<SqliteStatement> by_count;  ///< [arguments], prepared when first needed
  };

  WorkBudget& budget;
  SqliteDb plain;  ///< with SQLite's own functions
  std::vector<std::unique_ptr<Delegate>> delegates;

  static void call(sqlite3_context* context, int count, sqlite3_value** values);
  void run(Delegate& delegate, sqlite3_context* context, int count, sqlite3_value** values);
};

void SqlFunctions::Impl::call(sqlite3_context* context, int count, sqlite3_value** values) {
  auto& delegate = *static_cast<Delegate*>(sqlite3_user_data(context));
  delegate.owner->run(delegate, context, count, values);
}

void SqlFunctions::Impl::run(Delegate& delegate, sqlite3_context* context, int count, sqlite3_value** values) {
  const Guarded& rule = delegate.rule;
  if (rule.is_date && !is_pure_date(rule.name, count, values)) {
    const std::string message = fmt::format("{}() needs an explicit date, and no 'now', 'localtime' or 'utc'", rule.name);
    return sqlite3_result_error(context, message.c_str(), -1);
  }
  std::size_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    const bool is_number = sqlite3_value_type(values[i]) == SQLITE_INTEGER || sqlite3_value_type(values[i]) == SQLITE_FLOAT;
    if (!is_number) bytes += static_cast<std::size_t>(sqlite3_value_bytes(values[i]));
  }
  if (!pay(context, budget, 500 + bytes * rule.units_per_byte)) return;
  const auto number = static_cast<std::size_t>(count);
  if (delegate.by_count.size() <= number) delegate.by_count.resize(number + 1);
  SqliteStatement& kept = delegate.by_count[number];
  if (kept == nullptr) {
    const std::string sql = fmt::format("SELECT {}({})", rule.name, fmt::join(std::vector<std::string>(number, "?"), ","));
    sqlite3_stmt* raw = nullptr;
    sqlite3_prepare_v3(plain.get(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    kept.reset(raw);
    if (raw == nullptr) return sqlite3_result_error(context, sqlite3_errmsg(plain.get()), -1);
  }
  sqlite3_limit(plain.get(), SQLITE_LIMIT_LENGTH, budget.value_bytes());
  int code = SQLITE_OK;
  for (int i = 0; i < count && code == SQLITE_OK; ++i) code = sqlite3_bind_value(kept.get(), i + 1, values[i]);
  if (code == SQLITE_OK) code = sqlite3_step(kept.get());
  if (code == SQLITE_ROW) {
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(kept.get(), 0));
    if (pay(context, budget, size * rule.units_per_byte)) sqlite3_result_value(context, sqlite3_column_value(kept.get(), 0));
  } else if (code == SQLITE_TOOBIG) {
    sqlite3_result_error_toobig(context);
  } else {
    sqlite3_result_error(context, sqlite3_errmsg(plain.get()), -1);
  }
  sqlite3_reset(kept.get());
  sqlite3_clear_bindings(kept.get());
}

SqlFunctions::SqlFunctions(sqlite3* db, WorkBudget& budget) : impl_(new Impl{.budget = budget, .plain = {}, .delegates = {}}) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(":memory:", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  impl_->plain.reset(raw);
  check_sqlite(opened, raw, ErrorKind::Infrastructure, "open a connection for functions");
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  const auto add = [&](const char* name, int arguments, void (*run)(sqlite3_context*, int, sqlite3_value**)) {
    check_sqlite(sqlite3_create_function_v2(db, name, arguments, kFlags, &budget, run, nullptr, nullptr, nullptr), db,
                 ErrorKind::Infrastructure, "add a function");
  };
  add("like", 2, run_pattern<PatternStyle::Like>);
  add("like", 3, run_pattern<PatternStyle::Like>);
  add("glob", 2, run_pattern<PatternStyle::Glob>);
  add("instr", 2, run_instr);
  add("replace", 3, run_replace);
  for (const int arguments : {1, 2}) {
    add("round", arguments, run_round);
    add("trim", arguments, run_trim<kTrimLeft | kTrimRight>);
    add("ltrim", arguments, run_trim<kTrimLeft>);
    add("rtrim", arguments, run_trim<kTrimRight>);
    check_sqlite(sqlite3_create_function_v2(db, "group_concat", arguments, kFlags, &budget, nullptr, gather, join, nullptr), db,
                 ErrorKind::Infrastructure, "add group_concat");
  }
  for (const auto& rule : kGuarded) {
    impl_->delegates.push_back(std::make_unique<Impl::Delegate>());
    auto& delegate = *impl_->delegates.back();
    delegate.owner = impl_.get();
    delegate.rule = rule;
    check_sqlite(sqlite3_create_function_v2(db, std::string(rule.name).c_str(), rule.arguments, kFlags, &delegate, Impl::call,
                                            nullptr, nullptr, nullptr),
                 db, ErrorKind::Infrastructure, "add a function");
  }
  for (const char* collation : {"NOCASE", "RTRIM"}) {
    // RTRIM, which nobody uses, would need the same care; as NOCASE it would mislead, so it does not exist.
    const bool known = std::string_view(collation) == "NOCASE";
    check_sqlite(sqlite3_create_collation_v2(db, collation, SQLITE_UTF8, &budget, known ? compare_nocase : nullptr, nullptr), db,
                 ErrorKind::Infrastructure, "replace a collation");
  }
}

SqlFunctions::~SqlFunctions() = default;

}  // namespace gauntlet
