#include "connection.h"

#include <algorithm>
#include <charconv>

#include "postern/address.h"
#include "postern/text.h"

namespace postern::postgresql {
namespace {

// Types by their numbers in pg_type, which never change.
enum : Oid { kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kOid = 26, kFloat4 = 700, kFloat8 = 701 };

constexpr std::string_view kCancelled = "57014";  // SQLSTATE of what statement_timeout ends

std::string message_of(const char* text) {
  return std::string(trim(text ? text : ""));
}

SqlValue value_of(const PGresult* result, int column) {
  if (PQgetisnull(result, 0, column)) return {};
  const std::string_view text(PQgetvalue(result, 0, column), static_cast<std::size_t>(PQgetlength(result, 0, column)));
  switch (PQftype(result, column)) {
    case kBool:
      return text == "t";
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      if (const auto number = to_number<std::int64_t>(text)) return *number;
      break;
    case kFloat4:
    case kFloat8: {
      double number = 0;  // "NaN" and "Infinity" are numbers to from_chars, too
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error == std::errc() && end == text.data() + text.size()) return number;
      break;
    }
    case kBytea:
      if (text.starts_with("\\x"))
        if (auto octets = hex_decode(text.substr(2))) return std::move(*octets);
      break;
    default:
      break;
  }
  return std::string(text);
}

/// The arguments as libpq takes them; the texts of numbers are kept here.
struct Arguments {
  std::vector<std::string> texts;
  std::vector<const char*> values;
  std::vector<int> lengths, formats;

  explicit Arguments(const std::vector<SqlArgument>& arguments) {
    texts.reserve(arguments.size());  // what `values` points to stays where it is
    for (const SqlArgument& one : arguments) std::visit(*this, one.value);
  }
  void operator()(std::monostate) { add(nullptr, 0, false); }
  void operator()(bool yes) { keep(yes ? "t" : "f"); }
  void operator()(std::int64_t number) { keep(std::to_string(number)); }
  void operator()(double number) {
    char room[64];
    keep(std::string(room, std::to_chars(room, room + sizeof room, number).ptr));
  }
  void operator()(const std::string& text) {  // the question outlives us
    add(text.c_str(), text.size(), !is_valid_utf8(text) || text.find('\0') != std::string::npos);
  }

 private:
  void keep(std::string text) {
    texts.push_back(std::move(text));
    add(texts.back().c_str(), texts.back().size(), false);
  }
  void add(const char* value, std::size_t size, bool binary) {
    values.push_back(value);
    lengths.push_back(static_cast<int>(size));
    formats.push_back(binary ? 1 : 0);
  }
};

}  // namespace

/// Whatever goes wrong between question and last result, the connection is not used again.
class Connection::CloseUnlessDone {
 public:
  explicit CloseUnlessDone(Connection& connection) : connection_(connection) {}
  ~CloseUnlessDone() {
    if (!done_) connection_.close();
  }
  CloseUnlessDone(const CloseUnlessDone&) = delete;
  CloseUnlessDone& operator=(const CloseUnlessDone&) = delete;
  void done() { done_ = true; }

 private:
  Connection& connection_;
  bool done_ = false;
};

void Connection::close() {
  watch_.reset();
  watched_ = -1;
  connection_.reset();
}

std::unexpected<Fault> Connection::lost() const {
  return fault("sql.connect", message_of(connection_ ? PQerrorMessage(connection_.get()) : "no connection"));
}

std::unexpected<Fault> Connection::fault_of(const PGresult* result) const {
  const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view state = field ? field : "";
  const std::string text = message_of(PQresultErrorMessage(result));
  if (state == kCancelled) return fault("sql.timeout", text);
  // 08: connection; 57P: the server is going down or starting; 53: out of connections or memory.
  if (state.empty() || state.starts_with("08") || state.starts_with("57P") || state.starts_with("53"))
    return fault("sql.connect", text);
  return fault("sql.statement", text);
}

Task<void> Connection::wait(bool readable, bool writable, Instant end) {
  const int fd = PQsocket(connection_.get());
  if (fd < 0) throw Closed("no socket");
  if (fd != watched_ || !watch_) {
    watch_.reset();
    watch_ = executor_.watch(fd, [this](bool, bool) {
      if (watch_) watch_->update(false, false);  // once: libpq is asked next
      ready_.set();
    });
    watched_ = fd;
  }
  ready_.reset();
  watch_->update(readable, writable);
  co_await ready_.wait(Deadline::at(end));
}

/// A host name is resolved here: libpq would block on it.
Task<Result<std::map<std::string, std::string>>> Connection::parameters(Instant end) {
  std::map<std::string, std::string> all = options_.parameters;
  const std::string host = all["host"];
  if (host.empty() || host.starts_with('/') || host.starts_with('@') || all.contains("hostaddr")) {
    if (host.empty()) all.erase("host");
    co_return all;
  }
  if (const auto address = IpAddress::parse(host)) {
    all["hostaddr"] = address->to_string();
    co_return all;
  }
  if (host == "localhost") {  // RFC 6761 §6.3
    all["hostaddr"] = "127.0.0.1";
    co_return all;
  }
  if (!resolver_) co_return fault("sql.connect", "nobody resolves " + host);
  const HostAddresses found = co_await resolver_->host_addresses(host, Deadline::at(end));
  if (!found.ok()) co_return fault("sql.connect", host + ": " + std::string(to_string(found.status)));
  // libpq takes as many names as addresses, and tries one after the other.
  std::string names, addresses;
  for (const IpAddress& address : found.addresses) {
    names += (names.empty() ? "" : ",") + host;
    addresses += (addresses.empty() ? "" : ",") + address.to_string();
  }
  all["host"] = names;
  all["hostaddr"] = addresses;
  co_return all;
}

Task<Result<void>> Connection::poll_connect(Instant end) {
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  for (;;) {
    if (status == PGRES_POLLING_FAILED) co_return lost();
    if (status == PGRES_POLLING_OK) break;
    co_await wait(status == PGRES_POLLING_READING, status == PGRES_POLLING_WRITING, end);
    status = PQconnectPoll(connection_.get());
    if (PQsocket(connection_.get()) != watched_) watch_.reset();  // the next address, on another socket
  }
  if (PQsetnonblocking(connection_.get(), 1) != 0) co_return lost();
  co_return Result<void>();
}

Task<Result<void>> Connection::connect(Instant end) {
  end = std::min(end, executor_.now() + options_.connect_timeout);
  auto all = co_await parameters(end);
  if (!all) co_return std::unexpected(all.error());
  std::vector<const char*> names, values;
  for (const auto& [name, value] : *all) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  connection_.reset(PQconnectStartParams(names.data(), values.data(), 0));
  if (!connection_ || PQstatus(connection_.get()) == CONNECTION_BAD) co_return lost();
  PQsetNoticeProcessor(connection_.get(), [](void*, const char*) {}, nullptr);
  co_return co_await poll_connect(end);
}

/// Whether the connection that was idle is still one. Reads what the server said meanwhile, without waiting.
bool Connection::alive() {
  if (!connection_) return false;
  return PQconsumeInput(connection_.get()) && PQstatus(connection_.get()) == CONNECTION_OK &&
         PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
}

Result<void> Connection::send(const std::string& statement, const std::vector<SqlArgument>& arguments) {
  const Arguments given(arguments);
  if (!PQsendQueryParams(connection_.get(), statement.c_str(), static_cast<int>(arguments.size()), nullptr,
                         given.values.data(), given.lengths.data(), given.formats.data(), 0))
    return lost();
  PQsetSingleRowMode(connection_.get());
  return {};
}

Task<Result<void>> Connection::flush(Instant end) {
  for (;;) {
    const int left = PQflush(connection_.get());
    if (left < 0) co_return lost();
    if (left == 0) co_return Result<void>();
    co_await wait(true, true, end);
    if (!PQconsumeInput(connection_.get())) co_return lost();
  }
}

Result<void> Connection::add(const PGresult* result, SqlRows& rows, std::size_t& octets) {
  const int columns = PQnfields(result);
  if (rows.columns.empty())
    for (int i = 0; i < columns; ++i) rows.columns.emplace_back(PQfname(result, i));
  if (PQntuples(result) == 0) return {};
  if (rows.rows.size() == Database::kMaxRows) return fault("sql.limit", "more rows than an answer may have");
  auto& row = rows.rows.emplace_back();
  for (int i = 0; i < columns; ++i) {
    octets += sizeof(SqlValue) + static_cast<std::size_t>(PQgetlength(result, 0, i));
    if (octets > Database::kMaxOctets) return fault("sql.limit", "more octets than an answer may have");
    row.push_back(value_of(result, i));
  }
  return {};
}

Task<Result<SqlRows>> Connection::collect(Instant end) {
  SqlRows rows;
  std::size_t octets = 0;
  Result<void> outcome;
  for (;;) {
    while (PQisBusy(connection_.get())) {
      co_await wait(true, false, end);
      if (!PQconsumeInput(connection_.get())) co_return lost();
    }
    const ResultPtr result(PQgetResult(connection_.get()));
    if (!result) break;
    switch (PQresultStatus(result.get())) {
      case PGRES_SINGLE_TUPLE:
      case PGRES_TUPLES_OK:
        if (auto added = add(result.get(), rows, octets); !added) co_return std::unexpected(added.error());
        [[fallthrough]];
      case PGRES_COMMAND_OK: {
        // Rows that were read are counted in the same place; they are no change.
        const bool read = std::string_view(PQcmdStatus(result.get())).starts_with("SELECT");
        if (!read) rows.changed += to_number<std::uint64_t>(PQcmdTuples(result.get())).value_or(0);
        break;
      }
      case PGRES_EMPTY_QUERY:
        outcome = fault("sql.statement", "there is no statement");
        break;
      case PGRES_FATAL_ERROR:
      case PGRES_BAD_RESPONSE:
      case PGRES_NONFATAL_ERROR:
        outcome = fault_of(result.get());
        break;
      default:  // COPY
        co_return fault("sql.statement", "this kind of statement is not for rules");
    }
  }
  if (!outcome) co_return std::unexpected(outcome.error());
  co_return rows;
}

Task<Result<SqlRows>> Connection::query(const std::string& statement, const std::vector<SqlArgument>& arguments,
                                        Instant end) {
  CloseUnlessDone guard(*this);
  std::string late, gone;
  try {
    if (!alive()) {
      close();
      if (auto connected = co_await connect(end); !connected) co_return std::unexpected(connected.error());
    }
    if (auto sent = send(statement, arguments); !sent) co_return std::unexpected(sent.error());
    if (auto flushed = co_await flush(end); !flushed) co_return std::unexpected(flushed.error());
    auto rows = co_await collect(end);
    const bool whole = rows || rows.error().code == "sql.statement" || rows.error().code == "sql.timeout";
    if (!whole || !connection_ || PQstatus(connection_.get()) != CONNECTION_OK) co_return rows;
    if (PQtransactionStatus(connection_.get()) == PQTRANS_IDLE) {
      guard.done();
      co_return rows;
    }
    if (rows) co_return fault("sql.statement", "each question is a transaction of its own");
    co_return rows;
  } catch (const TimedOut&) {
    late = "no answer in time";
  } catch (const Closed& closed) {
    gone = closed.what();
  }
  if (!late.empty()) co_return fault("sql.timeout", late);
  co_return fault("sql.connect", gone);
}

}  // namespace postern::postgresql
