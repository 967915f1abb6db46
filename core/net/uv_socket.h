// A connected TCP or Unix socket on libuv.
//
// libuv needs the handle's memory until its close callback, which comes after the owner has let go of the Socket. Both
// live in one block: deleting the Socket only begins the close (a destroying operator delete), and the callback frees
// the block. An idle connection costs this object, about 300 octets, and nothing else here.
//
// Reading is begun once and stays on; it pauses only when the owner has no room. try_write() is one system call without
// any allocation; write() is for what the system would not take at once, and allocates its request.
//
// Errors: numbers are errnos. After reset(), detach() or destruction no event comes.
// Limits: at most kMaxParts parts per try_write (the rest counts as not taken). One write() at a time. on_room() must
//         not destroy the socket; the other events may.
// Thread: its worker's.
#pragma once

#include <uv.h>

#include <new>

#include "core/net/uv_loop.h"

namespace postern {

/// A descriptor on its way between two loops.
class UvDetachedSocket final : public DetachedSocket {
 public:
  UvDetachedSocket(int fd, bool is_unix) : fd_(fd), unix_(is_unix) {}
  ~UvDetachedSocket() override;
  int release() { return std::exchange(fd_, -1); }
  bool is_unix() const { return unix_; }

 private:
  int fd_;
  bool unix_;
};

class UvSocket final : public Socket {
 public:
  static constexpr std::size_t kMaxParts = 8;

  /// Takes the descriptor over; throws Error when the loop cannot take it.
  static std::unique_ptr<UvSocket> open(UvExecutor& executor, int fd, bool is_unix);
  /// A pipe without a descriptor, for uv_pipe_connect.
  static std::unique_ptr<UvSocket> unconnected_unix(UvExecutor& executor);

  ~UvSocket() override;
  static void operator delete(UvSocket* socket, std::destroying_delete_t);

  void start(SocketEvents& events) override;
  void resume_reading() override;
  std::ptrdiff_t try_write(std::span<const std::string_view> parts) override;
  void write(std::string octets) override;
  void shutdown() override;
  void reset() override;
  Endpoint local() const override;
  Endpoint peer() const override;
  std::unique_ptr<DetachedSocket> detach() override;
  std::uint32_t peer_uid() const override;

  uv_tcp_t* tcp() { return &handle_.tcp; }
  uv_pipe_t* pipe() { return &handle_.pipe; }

 private:
  struct WriteOp {
    uv_write_t request;
    std::string octets;
  };

  UvSocket(UvExecutor& executor, bool is_unix);
  uv_stream_t* stream() { return &handle_.stream; }
  uv_handle_t* handle() { return &handle_.any; }
  int fd() const;
  void close();
  void let_go();
  void on_closed();
  void on_read(ssize_t count);
  void on_written(int status);
  Endpoint name_of(int (*get)(int, sockaddr*, socklen_t*)) const;

  union Handle {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };
  Handle handle_;
  UvExecutor& executor_;
  SocketEvents* events_ = nullptr;
  std::unique_ptr<WriteOp> writing_;
  bool unix_;
  bool closing_ = false;
  bool closed_ = false;
  bool owned_ = true;  ///< the Socket has not been deleted by its owner
};

}  // namespace postern
