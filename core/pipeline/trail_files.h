// The files of the trail log: names, rotation, retention, the index beside them, and the erasure of a person.
//
// A file that is written no more (sealed) is put into the index (trail_index.h) in a step of its own, so that records
// are not kept waiting while a lost index is built anew. Retention takes a file and its rows together.
//
// Thread: the log's lane; or the CLI's only thread, while no server runs. Blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/trail_erase.h"
#include "postern/config.h"
#include "postern/env.h"
#include "postern/time.h"

namespace postern {

class TrailIndex;

/// "00064c1b2f3a9e00.trail": hexadecimal microseconds of the file's first record, so that names sort by time.
std::string trail_file_name(WallTime when);
/// The trail files of a folder, oldest first. Other files are left alone.
std::vector<std::string> trail_files(Env& env, const std::string& dir);
WallTime trail_file_time(std::string_view name);
/// A whole trail file, or nothing when it is gone.
std::string read_trail_file(Env& env, const std::string& path);

/// What there is, for `postern trail stats`.
struct TrailTotals {
  std::uint64_t files = 0, octets = 0;
  std::uint64_t indexed_files = 0, indexed_records = 0;
  std::uint64_t index_octets = 0;
  WallTime oldest{};  ///< the first record of the oldest file; zero when there is none
};
TrailTotals trail_totals(Env& env, const std::string& dir);

class TrailFiles {
 public:
  struct Limits {
    std::uint64_t segment;
    std::uint64_t keep_bytes;
    Duration keep_for;
    bool indexed = false;  ///< not on a disk that is a test's
  };
  /// For the administrator: an event ("trail.index_rebuilt") and what it is about.
  using Report = std::function<void(std::string_view event, const std::string& detail)>;

  TrailFiles(Env& env, std::string dir, Limits limits, Report report = {});
  ~TrailFiles();

  /// Opens the index and looks what it lacks: index_next() then has work. Called by all others when needed.
  void start();
  /// Appends whole records, `now` being the time of the first. 0 or an errno; after an error the next call begins a
  /// file.
  int write(std::string_view records, WallTime now);
  /// Removes what is too old or too much.
  void tidy(WallTime now);
  /// Indexes one file that waits for it; true when more do.
  bool index_next();
  bool wants_indexing() const { return !pending_.empty(); }
  /// Throws the index away, so that all files wait to be indexed. How many those are.
  std::size_t reindex();
  /// Removes a person from all files, the one being written included, which is sealed first. With `pretend` only
  /// counts.
  TrailErased erase(const Person& person, bool pretend);

 private:
  int begin_file(WallTime now);
  void seal();
  void forget_old(WallTime now, std::uint64_t room);
  void forget(const std::string& name);
  bool erase_in(const std::string& name, const Person& person, bool pretend, TrailErased& total);
  int replace(const std::string& name, std::string_view before, std::string_view after);
  void open_index();
  void look_for_unindexed();
  void index_failed(const Fault& fault);
  void report(std::string_view event, const std::string& detail) const;
  std::string path(const std::string& name) const { return dir_ + "/" + name; }

  Env& env_;
  std::string dir_;
  Limits limits_;
  Report report_;
  std::unique_ptr<File> file_;
  std::string last_name_;
  std::uint64_t size_ = 0;
  std::unique_ptr<TrailIndex> index_;
  std::deque<std::string> pending_;  ///< sealed files that are not in the index, oldest first
  unsigned rebuilds_ = 0;            ///< of the index since it was whole
  bool started_ = false;
};

}  // namespace postern
