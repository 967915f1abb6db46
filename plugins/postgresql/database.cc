#include "database.h"

#include <algorithm>

#include "statement.h"

namespace postern::postgresql {

/// A connection on loan; goes back when it ends. The one used last is used next, so that the others may rest.
class PostgresqlDatabase::Loan {
 public:
  explicit Loan(PerWorker& owner) : owner_(owner), connection_(std::move(owner.idle.back())) { owner.idle.pop_back(); }
  ~Loan() {
    owner_.idle.push_back(std::move(connection_));
    owner_.permits.release();
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  Connection& connection() { return *connection_; }

 private:
  PerWorker& owner_;
  std::unique_ptr<Connection> connection_;
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

void PostgresqlDatabase::start(Executor& executor, Resolver* resolver) {
  auto& mine = workers_[executor.index()];
  mine = std::make_unique<PerWorker>(options_.connections);
  for (unsigned i = 0; i < options_.connections; ++i)
    mine->idle.push_back(std::make_unique<Connection>(executor, resolver, options_.connection));
}

Task<Result<SqlRows>> PostgresqlDatabase::query(std::string statement, std::vector<SqlArgument> arguments,
                                                Deadline deadline) {
  Executor& executor = co_await this_executor();
  if (executor.index() >= workers_.size() || !workers_[executor.index()]) co_return fault("sql.connect", "not started");
  PerWorker& mine = *workers_[executor.index()];
  if (mine.waiting >= options_.waiting) co_return fault("sql.busy", "too many questions wait for this database");
  if (statement.find('\0') != std::string::npos) co_return fault("sql.statement", "the statement has a NUL");
  const Translated translated = translate(statement);
  if (translated.arguments != arguments.size())
    co_return fault("sql.statement", "the statement takes " + std::to_string(translated.arguments) +
                                         " arguments, not " + std::to_string(arguments.size()));
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
  if (late) co_return fault("sql.timeout", "no connection was free in time");
  Loan loan(mine);
  co_return co_await loan.connection().query(translated.text, arguments, end);
}

}  // namespace postern::postgresql
