#include "core/pipeline/trail_index.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace postern {
namespace {

using trail_sql::Database;
using trail_sql::Statement;

constexpr int kApplicationId = 0x506f7354;  // "PosT": tells our file from anything else
constexpr int kBusyMillis = 2000;           // that a reader waits while an index is being made
constexpr std::int64_t kOffsetBits = 32;
constexpr std::int64_t kChanging = -1;  // the size of a file whose contents are being changed

constexpr const char* kSchema =
    "CREATE TABLE segment(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,"
    " records INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);"
    "CREATE TABLE term(key INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY(key, record)) WITHOUT ROWID;";

std::int64_t micros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
WallTime from_micros(std::int64_t count) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::microseconds(count)));
}

Fault fault_of(sqlite3* database, std::string_view what) {
  const int code = sqlite3_errcode(database) & 0xff;
  const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_FORMAT;
  return {damaged ? "index.damaged" : "index.failed", fmt::format("{}: {}", what, sqlite3_errmsg(database))};
}

Result<void> execute(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(fault_of(database, "the index of trails"));
}

Result<Statement> prepared(sqlite3* database, const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK)
    return std::unexpected(fault_of(database, "the index of trails"));
  return Statement(statement);
}

/// Runs a statement that gives no rows.
Result<void> run(sqlite3* database, Statement& statement) {
  const int code = sqlite3_step(statement.get());
  sqlite3_reset(statement.get());
  if (code == SQLITE_DONE || code == SQLITE_ROW) return {};
  return std::unexpected(fault_of(database, "the index of trails"));
}

std::int64_t number(sqlite3* database, const char* sql) {
  auto statement = prepared(database, sql);
  if (!statement || sqlite3_step(statement->get()) != SQLITE_ROW) return -1;
  return sqlite3_column_int64(statement->get(), 0);
}

Database open_file(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return nullptr;
  sqlite3_busy_timeout(raw, kBusyMillis);
  return database;
}

Result<IndexedSegments> read_segments(sqlite3* database) {
  auto rows = prepared(database, "SELECT name, id, size, records, first, last FROM segment");
  if (!rows) return std::unexpected(rows.error());
  IndexedSegments out;
  int code = 0;
  while ((code = sqlite3_step(rows->get())) == SQLITE_ROW) {
    const auto at = [&](int column) { return sqlite3_column_int64(rows->get(), column); };
    const auto* name = reinterpret_cast<const char*>(sqlite3_column_text(rows->get(), 0));
    out[name ? name : ""] = {.id = at(1),
                             .size = static_cast<std::uint64_t>(at(2)),
                             .records = static_cast<std::uint64_t>(at(3)),
                             .first = from_micros(at(4)),
                             .last = from_micros(at(5))};
  }
  if (code != SQLITE_DONE) return std::unexpected(fault_of(database, "the index of trails"));
  return out;
}

/// All or nothing of what is written while it lives.
class Writing {
 public:
  explicit Writing(sqlite3* database) : database_(database), begun_(execute(database, "BEGIN IMMEDIATE")) {}
  ~Writing() {
    if (begun_ && !done_) static_cast<void>(execute(database_, "ROLLBACK"));
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  const Result<void>& begun() const { return begun_; }
  Result<void> commit() {
    auto out = execute(database_, "COMMIT");
    done_ = out.has_value();
    return out;
  }

 private:
  sqlite3* database_;
  Result<void> begun_;
  bool done_ = false;
};

}  // namespace

void trail_sql::CloseDatabase::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}
void trail_sql::CloseStatement::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

SegmentTerms terms_of_segment(std::string_view bytes) {
  SegmentTerms out;
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const auto offset = static_cast<std::uint32_t>(bytes.size() - rest.size());
    const auto record = TrailRecord::decode(rest);
    if (!record) break;
    for (const TrailTerm key : terms_of(*record)) out.postings.push_back({key, offset});
    ++out.records;
    out.first = std::min(out.first, record->when);
    out.last = std::max(out.last, record->when);
    out.readable = bytes.size() - rest.size();
  }
  if (out.records == 0) out.first = out.last = WallTime{};
  std::ranges::sort(out.postings);  // written in the order of the table: neighbours share pages
  return out;
}

void TrailIndex::discard(const std::string& dir) {
  const std::string path = dir + "/" + std::string(kTrailIndexName);
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((path + suffix).c_str());
}

Result<std::unique_ptr<TrailIndex>> TrailIndex::open(const std::string& dir, std::string& note) {
  const std::string path = dir + "/" + std::string(kTrailIndexName);
  Fault last;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Database database = open_file(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (!database) return fault("index.failed", fmt::format("{} cannot be opened", path));
    std::unique_ptr<TrailIndex> index(new TrailIndex(std::move(database), path));
    const auto good = index->prepare();
    if (good) return index;
    last = good.error();
    if (last.code != "index.damaged") break;
    note = last.detail;
    index.reset();
    discard(dir);
  }
  return std::unexpected(last);
}

Result<void> TrailIndex::prepare() {
  sqlite3* database = database_.get();
  const std::int64_t version = number(database, "PRAGMA user_version");
  const std::int64_t application = number(database, "PRAGMA application_id");
  if (version < 0 || application < 0) return fault("index.damaged", path_ + " is no database, or damaged");
  const bool empty = version == 0 && application == 0 && number(database, "SELECT count(*) FROM sqlite_master") == 0;
  if (!empty && (version != kVersion || application != kApplicationId))
    return fault("index.damaged", fmt::format("{} has version {}, this server writes {}", path_, version, kVersion));
  if (auto done = execute(database,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;"
                          "PRAGMA journal_size_limit=16777216; PRAGMA cache_size=-16384");
      !done)
    return done;
  if (empty) {
    Writing change(database);
    if (!change.begun()) return change.begun();
    if (auto done = execute(database, kSchema); !done) return done;
    const std::string stamp = fmt::format("PRAGMA user_version={}; PRAGMA application_id={}", kVersion, kApplicationId);
    if (auto done = execute(database, stamp.c_str()); !done) return done;
    if (auto done = change.commit(); !done) return done;
  }
  return load();
}

Result<void> TrailIndex::load() {
  auto read = read_segments(database_.get());
  if (!read) return std::unexpected(read.error());
  segments_ = std::move(*read);
  return {};
}

Result<void> TrailIndex::erase_rows(std::int64_t id, const SegmentTerms* terms) {
  sqlite3* database = database_.get();
  const std::int64_t from = id << kOffsetBits;
  if (!terms) {
    auto all = prepared(database, "DELETE FROM term WHERE record BETWEEN ? AND ?");
    if (!all) return std::unexpected(all.error());
    sqlite3_bind_int64(all->get(), 1, from);
    sqlite3_bind_int64(all->get(), 2, from | std::numeric_limits<std::uint32_t>::max());
    return run(database, *all);
  }
  auto one = prepared(database, "DELETE FROM term WHERE key = ? AND record = ?");
  if (!one) return std::unexpected(one.error());
  for (const SegmentTerms::Posting& posting : terms->postings) {
    sqlite3_bind_int64(one->get(), 1, posting.key);
    sqlite3_bind_int64(one->get(), 2, from | posting.offset);
    if (auto done = run(database, *one); !done) return done;
  }
  return {};
}

Result<void> TrailIndex::write(const std::string& name, std::int64_t id, std::uint64_t size,
                               const SegmentTerms& terms) {
  sqlite3* database = database_.get();
  auto row = prepared(database, "INSERT OR REPLACE INTO segment VALUES(?, ?, ?, ?, ?, ?)");
  if (!row) return std::unexpected(row.error());
  sqlite3_bind_int64(row->get(), 1, id);
  sqlite3_bind_text(row->get(), 2, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
  sqlite3_bind_int64(row->get(), 3, static_cast<std::int64_t>(size));
  sqlite3_bind_int64(row->get(), 4, static_cast<std::int64_t>(terms.records));
  sqlite3_bind_int64(row->get(), 5, micros(terms.first));
  sqlite3_bind_int64(row->get(), 6, micros(terms.last));
  if (auto done = run(database, *row); !done) return done;
  auto one = prepared(database, "INSERT OR IGNORE INTO term VALUES(?, ?)");
  if (!one) return std::unexpected(one.error());
  for (const SegmentTerms::Posting& posting : terms.postings) {
    sqlite3_bind_int64(one->get(), 1, posting.key);
    sqlite3_bind_int64(one->get(), 2, id << kOffsetBits | posting.offset);
    if (auto done = run(database, *one); !done) return done;
  }
  return {};
}

Result<void> TrailIndex::put(const std::string& name, std::uint64_t size, const SegmentTerms& terms,
                             const SegmentTerms* before) {
  const auto known = segments_.find(name);
  if (known == segments_.end() && !segments_.empty() && name < segments_.rbegin()->first)
    return fault("index.order", fmt::format("{} is older than what is indexed already", name));
  std::int64_t id = known != segments_.end() ? known->second.id : 1;
  if (known == segments_.end() && !segments_.empty()) id = segments_.rbegin()->second.id + 1;
  Writing change(database_.get());
  if (!change.begun()) return change.begun();
  if (known != segments_.end())
    if (auto done = erase_rows(id, before); !done) return done;
  if (auto done = write(name, id, size, terms); !done) return done;
  if (auto done = change.commit(); !done) return done;
  segments_[name] = {.id = id, .size = size, .records = terms.records, .first = terms.first, .last = terms.last};
  return {};
}

Result<void> TrailIndex::remove(const std::string& name, const SegmentTerms* terms) {
  const auto known = segments_.find(name);
  if (known == segments_.end()) return {};
  Writing change(database_.get());
  if (!change.begun()) return change.begun();
  if (auto done = erase_rows(known->second.id, terms); !done) return done;
  auto row = prepared(database_.get(), "DELETE FROM segment WHERE id = ?");
  if (!row) return std::unexpected(row.error());
  sqlite3_bind_int64(row->get(), 1, known->second.id);
  if (auto done = run(database_.get(), *row); !done) return done;
  if (auto done = change.commit(); !done) return done;
  segments_.erase(known);
  return {};
}

Result<void> TrailIndex::mark_changing(const std::string& name) {
  const auto known = segments_.find(name);
  if (known == segments_.end()) return {};
  auto row = prepared(database_.get(), "UPDATE segment SET size = ? WHERE id = ?");
  if (!row) return std::unexpected(row.error());
  sqlite3_bind_int64(row->get(), 1, kChanging);
  sqlite3_bind_int64(row->get(), 2, known->second.id);
  if (auto done = run(database_.get(), *row); !done) return done;
  known->second.size = static_cast<std::uint64_t>(kChanging);
  return {};
}

void TrailIndex::checkpoint() {
  static_cast<void>(sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr));
}

std::unique_ptr<TrailIndexReader> TrailIndexReader::open(const std::string& dir) {
  const std::string path = dir + "/" + std::string(kTrailIndexName);
  if (::access(path.c_str(), R_OK) != 0) return nullptr;
  // Write-ahead logging wants its shared file even for reading; where that cannot be written, read-only must do.
  Database database = open_file(path, SQLITE_OPEN_READONLY);
  if (!database) return nullptr;
  std::unique_ptr<TrailIndexReader> reader(new TrailIndexReader(std::move(database)));
  return reader->load() ? std::move(reader) : nullptr;
}

bool TrailIndexReader::load() {
  if (number(database_.get(), "PRAGMA user_version") != TrailIndex::kVersion ||
      number(database_.get(), "PRAGMA application_id") != kApplicationId)
    return false;
  auto read = read_segments(database_.get());
  if (!read) return false;
  segments_ = std::move(*read);
  for (const auto& [name, segment] : segments_) names_.emplace(segment.id, name);
  return true;
}

/// The records of all files that have one within the query's times: ids rise with time, but files may overlap a little.
std::pair<std::int64_t, std::int64_t> TrailIndexReader::records_between(const TrailQuery& query) const {
  std::int64_t low = std::numeric_limits<std::int64_t>::max(), high = 0;
  for (const auto& [name, segment] : segments_) {
    if ((query.since && segment.last < *query.since) || (query.until && segment.first > *query.until)) continue;
    low = std::min(low, segment.id << kOffsetBits);
    high = std::max(high, (segment.id + 1) << kOffsetBits);
  }
  return {low, high};
}

Result<std::vector<TrailIndexReader::Place>> TrailIndexReader::find(const TrailQuery& query, std::int64_t before,
                                                                    std::size_t limit) {
  const auto words = terms_of(query);
  const auto [low, high] = records_between(query);
  const std::int64_t end = std::min(before, high);
  std::vector<Place> out;
  if (words.empty() || low >= end) return out;
  // One walk for each alternative of the first word, backwards through its records; the other words are looked up.
  const auto most = std::ranges::max_element(words, {}, [](const auto& one) { return one.size(); });
  std::string sql = "SELECT a.record FROM term a WHERE a.key = ? AND a.record >= ? AND a.record < ?";
  std::vector<TrailTerm> keys;
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (word == most) continue;
    sql += " AND EXISTS (SELECT 1 FROM term b WHERE b.record = a.record AND b.key IN (?";
    for (std::size_t i = 1; i < word->size(); ++i) sql += ", ?";
    sql += "))";
    keys.insert(keys.end(), word->begin(), word->end());
  }
  sql += " ORDER BY a.record DESC LIMIT ?";
  auto rows = prepared(database_.get(), sql);
  if (!rows) return std::unexpected(rows.error());
  std::vector<std::int64_t> records;
  for (const TrailTerm key : *most) {
    int column = 0;
    for (const std::int64_t value : {key, low, end}) sqlite3_bind_int64(rows->get(), ++column, value);
    for (const TrailTerm other : keys) sqlite3_bind_int64(rows->get(), ++column, other);
    sqlite3_bind_int64(rows->get(), ++column, static_cast<std::int64_t>(limit));
    int code = 0;
    while ((code = sqlite3_step(rows->get())) == SQLITE_ROW) records.push_back(sqlite3_column_int64(rows->get(), 0));
    sqlite3_reset(rows->get());
    if (code != SQLITE_DONE) return std::unexpected(fault_of(database_.get(), "the index of trails"));
  }
  std::ranges::sort(records, std::greater<>());
  records.erase(std::ranges::unique(records).begin(), records.end());
  if (records.size() > limit) records.resize(limit);
  for (const std::int64_t record : records)
    if (const auto name = names_.find(record >> kOffsetBits); name != names_.end())
      out.push_back(
          {name->second, static_cast<std::uint64_t>(record) & std::numeric_limits<std::uint32_t>::max(), record});
  return out;
}

}  // namespace postern
