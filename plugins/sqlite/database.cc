#include "database.h"

#include <algorithm>

namespace postern::sqlite {

class SqliteDatabase::Loan {
 public:
  explicit Loan(PerWorker& owner) : owner_(owner), handle_(std::move(owner.idle.back())) { owner.idle.pop_back(); }
  ~Loan() {
    owner_.idle.push_back(std::move(handle_));
    owner_.permits.release();
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  Handle& handle() { return *handle_; }

 private:
  PerWorker& owner_;
  std::unique_ptr<Handle> handle_;
};

namespace {

struct Count {
  unsigned& value;
  explicit Count(unsigned& counted) : value(counted) { ++value; }
  ~Count() { --value; }
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;
};

}  // namespace

SqliteDatabase::SqliteDatabase(unsigned workers, DatabaseOptions options) : options_(std::move(options)) {
  for (unsigned i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<PerWorker>(options_.handles));
    for (unsigned n = 0; n < options_.handles; ++n)
      workers_.back()->idle.push_back(std::make_unique<Handle>(options_.handle));
  }
}

Task<Result<SqlRows>> SqliteDatabase::query(std::string statement, std::vector<SqlArgument> arguments,
                                            Deadline deadline) {
  Executor& executor = co_await this_executor();
  PerWorker& mine = *workers_[executor.index()];
  if (mine.waiting >= options_.waiting) co_return fault("sql.busy", "too many questions wait for this database");
  const Instant start = executor.now();
  Instant end = start + options_.timeout;
  if (!deadline.is_never()) end = std::min(end, deadline.resolve(start));
  bool late = false;
  {
    const Count count(mine.waiting);
    try {
      co_await mine.permits.acquire(Deadline::at(end));
    } catch (const TimedOut&) {
      late = true;
    }
  }
  if (late) co_return fault("sql.timeout", "no handle was free in time");
  Loan loan(mine);
  const Duration time = end - executor.now();
  std::string refused;
  try {
    co_return co_await run_blocking(Pool::kDisk, [&] { return loan.handle().run(statement, arguments, time); });
  } catch (const Overloaded& full) {
    refused = full.what();
  }
  co_return fault("sql.busy", refused);
}

}  // namespace postern::sqlite
