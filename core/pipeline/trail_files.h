// The files of the trail log: names, rotation, retention. Blocks; on the log's lane only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/config.h"
#include "postern/env.h"
#include "postern/time.h"

namespace postern {

/// "00064c1b2f3a9e00.trail": hexadecimal microseconds of the file's first record, so that names sort by time.
std::string trail_file_name(WallTime when);
/// The trail files of a folder, oldest first. Other files are left alone.
std::vector<std::string> trail_files(Env& env, const std::string& dir);
WallTime trail_file_time(std::string_view name);

class TrailFiles {
 public:
  struct Limits {
    std::uint64_t segment;
    std::uint64_t keep_bytes;
    Duration keep_for;
  };
  TrailFiles(Env& env, std::string dir, Limits limits) : env_(env), dir_(std::move(dir)), limits_(limits) {}
  /// Appends whole records, `now` being the time of the first. 0 or an errno; after an error the next call begins a
  /// file.
  int write(std::string_view records, WallTime now);

 private:
  int begin_file(WallTime now);
  void forget_old(WallTime now);

  Env& env_;
  std::string dir_;
  Limits limits_;
  std::unique_ptr<File> file_;
  std::string last_name_;
  std::uint64_t size_ = 0;
};

}  // namespace postern
