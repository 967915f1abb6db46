// Stream: a connection as a coroutine reads and writes it; plain or TLS, with memory lent only while octets are in
// flight.
//
// Reading stays on while fewer than `kReadAhead` octets wait, so a lost peer is seen early and a busy connection costs
// no system call to begin or end reading. One coroutine reads and one writes at a time. All waits throw Closed,
// TimedOut or Cancelled.
//
// Thread: the worker whose Executor made the socket; detach() and the other constructor move it to another worker.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "postern/executor.h"
#include "postern/task.h"
#include "postern/wait.h"

namespace postern {

class TlsContext;
struct TlsPeer;

/// Why a handshake failed, or why a certificate that was taken anyway would not do.
enum class TlsFailure : std::uint8_t {
  kNone,
  kHandshake,     ///< no common version or cipher, an alert, no TLS at all, the connection broke
  kHostMismatch,  ///< none of the names we may accept stands in the certificate
  kExpired,
  kNotTrusted,  ///< no known CA vouches for it, or it is revoked, or not made for servers
  kNoTlsa,      ///< none of the TLSA records matches it (DANE)
};
/// As RFC 8460 §4.3 names it: "certificate-host-mismatch", "validation-failure", ...; empty for kNone.
std::string_view to_string(TlsFailure failure);

/// What is known of the peer's identity after a handshake, for who is the client.
enum class TlsVerified : std::uint8_t { kNo, kNames, kDane };

/// A TLS handshake failed. As with any ProtocolError the connection is of no more use.
class TlsFailed : public ProtocolError {
 public:
  TlsFailed(TlsFailure why, std::string what) : ProtocolError(std::move(what)), why_(why) {}
  ~TlsFailed() override;
  TlsFailure why() const { return why_; }

 private:
  TlsFailure why_;
};

/// What a TLS handshake agreed on. Empty `version` means plaintext.
struct TlsInfo {
  std::string version;  ///< "TLSv1.3"
  std::string cipher;   ///< "TLS_AES_256_GCM_SHA384"
  std::string sni;      ///< host name the client asked for
  std::string alpn;
  std::string peer_subject;  ///< of a verified client certificate
  int bits = 0;
  TlsVerified verified = TlsVerified::kNo;  ///< client: what the server has proved
  TlsFailure problem = TlsFailure::kNone;   ///< client: why it proved nothing, if names were asked for
  std::string problem_text;                 ///< OpenSSL's words for it
  std::string fingerprint;                  ///< SHA-256 of the peer's certificate, hexadecimal
  bool resumed = false;                     ///< the session began earlier; the certificate is the one shown then
};

/// What lies between the Stream's plain octets and the socket's; core/tls implements it.
class StreamFilter {
 public:
  virtual ~StreamFilter();
  enum class State { kOk, kClosed, kFailed };
  /// Takes octets from the wire; appends plain octets to `plain` and answers for the wire to `wire`.
  virtual State received(std::span<const char> octets, std::string& plain, std::string& wire) = 0;
  /// Takes plain octets to send; appends to `wire`.
  virtual State send(std::string_view plain, std::string& wire) = 0;
  virtual State begin(std::string& wire) = 0;  ///< first flight of a client; nothing on a server
  virtual void close(std::string& wire) = 0;   ///< close_notify
  virtual bool established() const = 0;
  virtual TlsInfo info() const = 0;
  virtual std::string error() const = 0;
  /// Which kind error() is.
  virtual TlsFailure failure() const { return established() ? TlsFailure::kNone : TlsFailure::kHandshake; }
};

/// A Stream between two workers.
struct DetachedStream {
  std::unique_ptr<DetachedSocket> socket;
  std::unique_ptr<StreamFilter> filter;
  std::string received;  ///< plain octets that were read but not consumed
  Endpoint local, peer;
};

class Stream final : private SocketEvents {
 public:
  static constexpr std::size_t kReadAhead = 64 * 1024;

  Stream(Executor& executor, std::unique_ptr<Socket> socket);
  Stream(Executor& executor, DetachedStream detached);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// A line as it came. `bare_lf`: it ended in LF without CR (RFC 5321 §2.3.8 forbids it; the protocol decides).
  struct Line {
    std::string_view text;  ///< without its end; valid until the next read
    bool bare_lf = false;
  };
  class LineWait;
  class DataWait;
  class FlushWait;

  /// Reads one line without its CRLF. Throws LineTooLong after skipping to its end, when it has over `limit` octets.
  LineWait read_line(std::size_t limit, Deadline deadline);
  /// Waits until octets are buffered; throws Closed at the end of input. Then see buffered() and consume().
  DataWait fill(Deadline deadline);
  /// Waits until more octets are buffered than now.
  DataWait fill_more(Deadline deadline);
  /// Waits for octets or the end of input, at most until the deadline: true when there are some. Never throws TimedOut.
  DataWait readable(Deadline deadline);

  std::string_view buffered() const { return {block_ + begin_, end_ - begin_}; }
  void consume(std::size_t octets);
  /// consume() that returns the octets, which stay in place until the next read, take() or consume(): for a body that
  /// is handed on without a copy while more of it may arrive.
  std::string_view take(std::size_t octets) {
    const std::string_view taken = buffered().substr(0, octets);
    consume_line(taken.size());
    return taken;
  }
  bool at_end() const { return ended_ && begin_ == end_; }
  /// True when the peer has ended or reset the connection, even if octets are still buffered.
  bool peer_gone() const { return ended_; }

  /// Queues octets; they leave with the next flush(), or earlier when many wait.
  void put(std::string_view octets);
  std::size_t unflushed() const { return out_.size(); }
  /// Hands all queued octets to the system; waits while the peer takes none.
  FlushWait flush(Deadline deadline);
  /// put() and flush() without copying what the system takes at once. `octets` must stay alive until it returns.
  FlushWait write(std::string_view octets, Deadline deadline);

  /// Server side: takes the handshake. Throws ProtocolError when octets came before it (RFC 3207 §6: command
  /// injection), TlsFailed when it fails.
  Task<void> start_tls(TlsContext& context, Deadline deadline);
  /// The same for a connection that is TLS from its first octet: what has arrived already (behind a PROXY header, or
  /// while limits were asked for) is the handshake's beginning, not an injection.
  Task<void> start_implicit_tls(TlsContext& context, Deadline deadline);
  /// Client side, likewise; `name` is sent as SNI and checked as `context` says.
  Task<void> connect_tls(TlsContext& context, std::string name, Deadline deadline);
  /// Client side, with demands. Throws TlsFailed; ProtocolError when octets came before the handshake.
  Task<void> connect_tls(TlsContext& context, TlsPeer peer, Deadline deadline);
  bool secure() const { return filter_ != nullptr && filter_->established(); }
  TlsInfo tls_info() const { return filter_ ? filter_->info() : TlsInfo{}; }

  const Endpoint& peer() const { return peer_; }
  const Endpoint& local() const { return local_; }
  /// As a trusted proxy declared it (PROXY, XCLIENT).
  void set_peer(Endpoint peer) { peer_ = std::move(peer); }
  void set_local(Endpoint local) { local_ = std::move(local); }
  std::uint32_t peer_uid() const { return socket_->peer_uid(); }
  Executor& executor() const { return executor_; }

  void close();  ///< close_notify, then FIN; what is queued is given to the system first, without waiting
  void abort();  ///< RST; a waiting coroutine sees Closed
  DetachedStream detach();

 private:
  std::span<char> on_room(std::size_t suggested) override;
  void on_data(std::size_t octets) override;
  void on_end(int error) override;
  void on_written(int error) override;

  /// consume() that leaves the octets in place until the next read, since a Line shows them.
  void consume_line(std::size_t octets);
  void clear_hold();
  void take_plain(std::string_view octets);
  void make_room(std::size_t octets);
  void release_idle_memory();
  void wake_reader();
  /// Gives the wire what it takes now; true when all is out.
  bool send_now(std::string_view extra);
  void lost(int error);
  Task<void> handshake(std::unique_ptr<StreamFilter> filter, Deadline deadline, bool implicit = false);

  friend class StreamReadWait;

  Executor& executor_;
  std::unique_ptr<Socket> socket_;
  std::unique_ptr<StreamFilter> filter_;
  class StreamReadWait* reader_ = nullptr;
  FlushWait* writer_ = nullptr;
  char* block_ = nullptr;  // plain octets [begin_, end_) of capacity_
  std::size_t begin_ = 0, end_ = 0, capacity_ = 0;
  char* held_block_ = nullptr;  // an earlier block_, while a Line still shows octets of it
  bool held_ = false;           // a Line shows octets before begin_
  char* cipher_ = nullptr;      // room lent to the socket while TLS is on
  std::string out_;             // plain octets to send
  std::string wire_;            // the same under TLS, and what the handshake has to say
  Endpoint peer_, local_;
  int error_ = 0;
  bool ended_ = false;
  bool paused_ = false;
  bool writing_ = false;
  bool handshaking_ = false;
};

/// The base of the reading waits.
class StreamReadWait : public Wait {
 public:
  StreamReadWait(Stream& stream, Deadline deadline) : stream_(stream), deadline_(deadline) { stream.clear_hold(); }

 protected:
  ~StreamReadWait() { leave(); }
  friend class Stream;
  /// True when what is buffered (or the end of input) satisfies the wait.
  virtual bool satisfied() = 0;
  template <class Promise>
  bool suspend(std::coroutine_handle<Promise> handle) {
    if (!begin(handle, deadline_)) return false;
    enter();
    return true;
  }
  void enter();
  void leave();
  void on_abandoned() override { leave(); }
  [[noreturn]] void throw_closed() const;
  std::string_view buffered() const { return stream_.buffered(); }
  bool ended() const { return stream_.ended_; }

  Stream& stream_;
  Deadline deadline_;
};

class Stream::LineWait final : public StreamReadWait {
 public:
  LineWait(Stream& stream, std::size_t limit, Deadline deadline) : StreamReadWait(stream, deadline), limit_(limit) {}
  bool await_ready() { return satisfied(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    return suspend(handle);
  }
  Line await_resume();

 private:
  bool satisfied() override;
  std::size_t limit_;
  std::size_t scanned_ = 0;  // octets of buffered() known to hold no LF
  std::size_t found_ = 0;    // offset of the LF
  bool have_ = false;
  bool skipping_ = false;
};

class Stream::DataWait final : public StreamReadWait {
 public:
  enum class Mode : unsigned char { kFill, kMore, kReadable, kHandshake };
  DataWait(Stream& stream, Mode mode, Deadline deadline)
      : StreamReadWait(stream, deadline), had_(stream.buffered().size()), mode_(mode) {}
  bool await_ready() { return satisfied(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    return suspend(handle);
  }
  bool await_resume();

 private:
  bool satisfied() override;
  std::size_t had_;
  Mode mode_;
};

class Stream::FlushWait final : public Wait {
 public:
  FlushWait(Stream& stream, std::string_view extra, Deadline deadline)
      : stream_(stream), extra_(extra), deadline_(deadline) {}
  ~FlushWait() {
    if (stream_.writer_ == this) stream_.writer_ = nullptr;
  }
  bool await_ready();
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    if (!begin(handle, deadline_)) return false;
    stream_.writer_ = this;
    return true;
  }
  void await_resume();

 private:
  friend class Stream;
  void on_abandoned() override { stream_.writer_ = nullptr; }
  Stream& stream_;
  std::string_view extra_;
  Deadline deadline_;
};

inline Stream::LineWait Stream::read_line(std::size_t limit, Deadline deadline) {
  return LineWait(*this, limit, deadline);
}
inline Stream::DataWait Stream::fill(Deadline deadline) {
  return DataWait(*this, DataWait::Mode::kFill, deadline);
}
inline Stream::DataWait Stream::fill_more(Deadline deadline) {
  return DataWait(*this, DataWait::Mode::kMore, deadline);
}
inline Stream::DataWait Stream::readable(Deadline deadline) {
  return DataWait(*this, DataWait::Mode::kReadable, deadline);
}
inline Stream::FlushWait Stream::flush(Deadline deadline) {
  return FlushWait(*this, {}, deadline);
}
inline Stream::FlushWait Stream::write(std::string_view octets, Deadline deadline) {
  return FlushWait(*this, octets, deadline);
}

/// Accepts connections on one worker and hands each to a callback, on the loop's thread.
class Listener final : private AcceptEvents {
 public:
  Listener(Executor& executor, BoundEndpoint& bound, std::function<void(std::unique_ptr<Socket>)> on_connection);
  ~Listener();
  void pause() { acceptor_->pause(); }
  void resume() { acceptor_->resume(); }

 private:
  void on_connection(std::unique_ptr<Socket> socket) override;
  std::function<void(std::unique_ptr<Socket>)> on_connection_;
  std::unique_ptr<Acceptor> acceptor_;
};

/// Connects; throws Closed (with the system's words), TimedOut, Cancelled.
Task<std::unique_ptr<Stream>> connect(Executor& executor, Executor::ConnectOptions options, Deadline deadline);

}  // namespace postern
