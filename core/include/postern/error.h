// What can go wrong, in two kinds (style.md 4 and 6).
//
// A refusal or a failed step is a value: Result<T> with a Fault. A lost peer, a passed deadline and a cancellation are
// thrown, and caught once per session. The exception types have their key functions in libpostern, so that they can be
// caught across shared objects; none crosses the C ABI.
#pragma once

#include <exception>
#include <expected>
#include <string>
#include <utility>

namespace postern {

/// A failure as a value: `code` is a stable dotted name for logs and metrics ("spool.full"), `detail` the whole truth
/// for the log and the administrator. Never shown to a peer.
struct Fault {
  std::string code;
  std::string detail;
};

template <class T>
using Result = std::expected<T, Fault>;

inline std::unexpected<Fault> fault(std::string code, std::string detail = {}) {
  return std::unexpected(Fault{std::move(code), std::move(detail)});
}

/// The root of what coroutines throw.
class Error : public std::exception {
 public:
  explicit Error(std::string what) : what_(std::move(what)) {}
  ~Error() override;
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

/// The peer closed or reset the connection.
class Closed : public Error {
 public:
  explicit Closed(std::string what = "connection closed") : Error(std::move(what)) {}
  ~Closed() override;
};

/// A deadline passed.
class TimedOut : public Error {
 public:
  explicit TimedOut(std::string what = "timed out") : Error(std::move(what)) {}
  ~TimedOut() override;
};

/// The owner of this work ended it (drain, shutdown, a sibling's failure).
class Cancelled : public Error {
 public:
  explicit Cancelled(std::string what = "cancelled") : Error(std::move(what)) {}
  ~Cancelled() override;
};

/// A line was longer than its limit; the rest of it has been skipped when this is thrown.
class LineTooLong : public Error {
 public:
  explicit LineTooLong(std::string what = "line too long") : Error(std::move(what)) {}
  ~LineTooLong() override;
};

/// A bounded queue or pool is full.
class Overloaded : public Error {
 public:
  explicit Overloaded(std::string what = "overloaded") : Error(std::move(what)) {}
  ~Overloaded() override;
};

/// The peer broke the protocol in a way that ends the connection (a failed TLS handshake, data before its answer).
class ProtocolError : public Error {
 public:
  explicit ProtocolError(std::string what) : Error(std::move(what)) {}
  ~ProtocolError() override;
};

}  // namespace postern
