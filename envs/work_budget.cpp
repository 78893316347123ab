#include "envs/work_budget.h"

namespace gauntlet {
namespace {

constexpr int kStepsPerCount = 1'000;
constexpr int kLiftedValueBytes = 1'000'000;

}  // namespace

void WorkBudget::attach(sqlite3* db) {
  db_ = db;
  sqlite3_progress_handler(db, kStepsPerCount, count, this);
  lift();
}

void WorkBudget::start(const WorkTier& tier) {
  lifted_ = false;
  thousands_left_ = tier.thousand_steps;
  value_bytes_ = tier.value_bytes;
  work_left_ = kMaxFunctionWork;
  stopped_ = WorkStop::None;
  has_deadline_ = false;
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, value_bytes_);
}

void WorkBudget::lift() {
  lifted_ = true;
  value_bytes_ = kLiftedValueBytes;
  stopped_ = WorkStop::None;
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, value_bytes_);
}

void WorkBudget::start_statement(sqlite3_stmt* statement) {
  // SQLite counts on from a statement's earlier runs; what is left of a thousand there must not matter here.
  sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
  if (--thousands_left_ < 0) stopped_ = WorkStop::TooMuch;
}

bool WorkBudget::charge(std::size_t units) {
  if (lifted_) return true;
  work_left_ -= static_cast<std::int64_t>(units);
  if (work_left_ < 0 && stopped_ == WorkStop::None) stopped_ = WorkStop::TooMuch;
  return stopped_ == WorkStop::None;
}

bool WorkBudget::spend_thousand_steps() {
  if (lifted_ || paused_) return true;
  if (stopped_ != WorkStop::None) return false;
  if (--thousands_left_ < 0) {
    stopped_ = WorkStop::TooMuch;
  } else if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) {
    stopped_ = WorkStop::Cancelled;
  } else if (const auto now = std::chrono::steady_clock::now(); !has_deadline_) {
    has_deadline_ = true;
    deadline_ = now + time_limit_;
  } else if (now > deadline_) {
    stopped_ = WorkStop::Late;
  }
  return stopped_ == WorkStop::None;
}

int WorkBudget::count(void* context) { return static_cast<WorkBudget*>(context)->spend_thousand_steps() ? 0 : 1; }

}  // namespace gauntlet
