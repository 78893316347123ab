#include "envs/world_database.h"

#include <fmt/format.h>

#include "envs/tool_statement.h"
#include "envs/world_sql.h"

namespace gauntlet {
namespace {

// A world may grow by 16 MiB before its writes are a fault of the environment; SQLite's pages have 4 KiB.
constexpr std::int64_t kPageBytes = 4'096;
constexpr std::int64_t kMaxGrowthPages = 4'096;
constexpr std::int64_t kNoPageLimit = 1'073'741'823;

}  // namespace

WorldDatabase::WorldDatabase(const EnvSpec& spec, WorldImages& images) : spec_(&spec), images_(&images), pages_(open_page_database()) {
  for (const auto& entity : spec.entities) execute(db(), create_table_sql(entity));
  restrict_connection(db());
  functions_ = std::make_unique<SqlFunctions>(db(), budget_);
  budget_.attach(db());
  empty_ = pages_.file->copy(images.next_stamp());
  for (const auto& entity : spec.entities) inserts_.push_back(prepare(insert_sql(entity)));
  begin_ = prepare("BEGIN");
  commit_ = prepare("COMMIT");
  rollback_ = prepare("ROLLBACK");
  savepoint_ = prepare("SAVEPOINT pristine");
  undo_ = prepare("ROLLBACK TO pristine");
}

SqliteStatement WorldDatabase::prepare(const std::string& sql) const {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(db(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  check_sqlite(code, db(), ErrorKind::Infrastructure, sql);
  return SqliteStatement(raw);
}

void WorldDatabase::run(const SqliteStatement& statement, std::string_view attempted) {
  // A spent budget must not keep the undoing of what spent it from running.
  budget_.pause();
  const int code = sqlite3_step(statement.get());
  budget_.resume();
  sqlite3_reset(statement.get());
  check_sqlite(code, db(), ErrorKind::Infrastructure, attempted);
}

/// Inserts the rows into the empty tables.
std::shared_ptr<const PageImage> WorldDatabase::make_image(const World& world) {
  pages_.file->show(empty_);
  limit_pages(kNoPageLimit);
  run(begin_, "begin a world");
  for (std::size_t i = 0; i < spec_->entities.size(); ++i) {
    const int table = world.find_table(spec_->entities[i].name);
    require(table >= 0, ErrorKind::Internal,
            fmt::format("the world has no table {}; it was built from another environment", spec_->entities[i].name));
    insert_rows(db(), inserts_[i].get(), world, world.tables[static_cast<std::size_t>(table)]);
  }
  run(commit_, "commit a world");
  return pages_.file->copy(images_->next_stamp());
}

void WorldDatabase::show(const std::shared_ptr<const World>& world) {
  budget_.lift();
  if (sqlite3_get_autocommit(db()) == 0) run(rollback_, "leave the last world");
  auto image = images_->find(world);
  if (!image) {
    image = make_image(*world);
    images_->put(world, image);
  }
  const auto pages = static_cast<std::int64_t>(image->size()) / kPageBytes;
  pages_.file->show(std::move(image));
  begin_again();
  limit_pages(pages + kMaxGrowthPages);
}

void WorldDatabase::begin_again() {
  run(begin_, "begin a world");
  run(savepoint_, "begin a world");
}

void WorldDatabase::limit_pages(std::int64_t pages) {
  if (pages == page_limit_) return;
  execute(db(), fmt::format("PRAGMA max_page_count={}", pages));
  page_limit_ = pages;
}

void WorldDatabase::undo_writes() { run(undo_, "return to the fresh world"); }

}  // namespace gauntlet
