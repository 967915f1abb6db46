// Where lines end up: a file or stderr, written in batches by the log's own thread.
#pragma once

#include <sys/uio.h>

#include <span>
#include <string>

#include "postern/error.h"

namespace postern {

class LogSink {
 public:
  /// An empty name stands for stderr. Errors: "log.open".
  static Result<LogSink> open(std::string file);
  LogSink(LogSink&& other) noexcept;
  LogSink& operator=(LogSink&&) = delete;
  ~LogSink();

  /// Writes all of it, in as few calls as the system allows; false when some of it was lost. Changes `parts`.
  bool write(std::span<iovec> parts);
  /// Opens the file anew under its name; keeps the old one and returns false when that fails.
  bool reopen();

 private:
  LogSink(std::string file, int fd) : file_(std::move(file)), fd_(fd) {}
  bool wait_for_room() const;
  std::string file_;
  int fd_;
};

}  // namespace postern
