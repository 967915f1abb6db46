// The index of sealed trail files: state/trail/index.sqlite. It says where the records that have a term stand.
//
// Everything in it can be made again from the files: an index that is missing, damaged or of another version is thrown
// away and built anew, file by file. It holds no addresses, only numbers made of them (trail_terms.h), and freed pages
// are overwritten, so that erasing a person leaves nothing here.
//
// One writer (the trail lane of the server, or the CLI while no server runs) and any number of readers at the same
// time: write-ahead logging, so that a reader never makes the writer wait. No sync is done but at checkpoints; what a
// power cut takes is made again.
//
// Tables: segment(id, name, size, records, first, last)   one sealed file; ids rise with names; times in microseconds
//         term(key, record)                               record = segment id << 32 | offset in its file
//
// Errors: Faults "index.damaged" (throw it away), "index.failed" (the disk is full, no permission). Nothing throws.
// Thread: one, which may block.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/trail_terms.h"
#include "postern/error.h"
#include "postern/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace postern {

inline constexpr std::string_view kTrailIndexName = "index.sqlite";

struct IndexedSegment {
  std::int64_t id = 0;
  std::uint64_t size = 0;     ///< of the file when it was indexed
  std::uint64_t records = 0;  ///< in it
  WallTime first{}, last{};
};
using IndexedSegments = std::map<std::string, IndexedSegment, std::less<>>;  // by name, which is by time

/// What one file holds, ready for the index. `terms`: of each record, with its offset.
struct SegmentTerms {
  struct Posting {
    TrailTerm key;
    std::uint32_t offset;
    auto operator<=>(const Posting&) const = default;
  };
  std::vector<Posting> postings;  ///< sorted
  std::uint64_t records = 0;
  std::uint64_t readable = 0;  ///< octets up to the first damage
  WallTime first = WallTime::max(), last = WallTime::min();
};
SegmentTerms terms_of_segment(std::string_view bytes);

namespace trail_sql {
struct CloseDatabase {
  void operator()(sqlite3* database) const;
};
struct CloseStatement {
  void operator()(sqlite3_stmt* statement) const;
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, CloseStatement>;
}  // namespace trail_sql

class TrailIndex {
 public:
  static constexpr int kVersion = 1;

  /// Opens it for writing; makes it when it is missing, and anew when it is damaged or of another version: `note` then
  /// says so.
  static Result<std::unique_ptr<TrailIndex>> open(const std::string& dir, std::string& note);
  /// Throws all of it away, so that the next open() makes an empty one.
  static void discard(const std::string& dir);

  const IndexedSegments& segments() const { return segments_; }
  /// Puts a file in, or in the place of what is known of it. Fault "index.order": it is older than one that is in
  /// already, so that all must be indexed again (ids rise with time). `before`: what the file held when it was indexed
  /// last, which spares a walk through the whole index; null when nobody knows.
  Result<void> put(const std::string& name, std::uint64_t size, const SegmentTerms& terms,
                   const SegmentTerms* before = nullptr);
  /// Takes a file out. `terms`: what it held, likewise.
  Result<void> remove(const std::string& name, const SegmentTerms* terms);
  /// From now until put(): readers look into the file itself. Before its contents change.
  Result<void> mark_changing(const std::string& name);
  /// Empties the write-ahead log, in which old pages stand.
  void checkpoint();

 private:
  TrailIndex(trail_sql::Database database, std::string path) : database_(std::move(database)), path_(std::move(path)) {}
  Result<void> prepare();
  Result<void> load();
  Result<void> write(const std::string& name, std::int64_t id, std::uint64_t size, const SegmentTerms& terms);
  Result<void> erase_rows(std::int64_t id, const SegmentTerms* terms);

  trail_sql::Database database_;
  std::string path_;
  IndexedSegments segments_;
};

class TrailIndexReader {
 public:
  /// Null when there is none that can be read; the caller then reads the files.
  static std::unique_ptr<TrailIndexReader> open(const std::string& dir);
  const IndexedSegments& segments() const { return segments_; }

  struct Place {
    std::string segment;
    std::uint64_t offset = 0;
    std::int64_t record = 0;
  };
  /// Places of records that have the query's terms, newest first, before `before` (a record of an earlier answer). The
  /// times of the query bound the files, not each record. Empty when the query has no terms.
  Result<std::vector<Place>> find(const TrailQuery& query, std::int64_t before, std::size_t limit);

 private:
  explicit TrailIndexReader(trail_sql::Database database) : database_(std::move(database)) {}
  bool load();
  std::pair<std::int64_t, std::int64_t> records_between(const TrailQuery& query) const;

  trail_sql::Database database_;
  IndexedSegments segments_;
  std::map<std::int64_t, std::string> names_;
};

}  // namespace postern
