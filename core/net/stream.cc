// Stream's reading and writing; its waits are in stream_wait.cc.
#include "postern/stream.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "postern/tls.h"

namespace postern {

namespace {

constexpr std::size_t kFirstBlock = 8 * 1024;      // a session's ordinary burst
constexpr std::size_t kLargestBlock = 128 * 1024;  // read-ahead plus one TLS record, and a line still incomplete
constexpr std::size_t kCipherRoom = 16 * 1024 + 512;
constexpr std::size_t kFlushAt = 32 * 1024;  // queued octets that are tried on the wire without being asked

}  // namespace

StreamFilter::~StreamFilter() = default;
TlsFailed::~TlsFailed() = default;

std::string_view to_string(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "";
    case TlsFailure::kHostMismatch:
      return "certificate-host-mismatch";
    case TlsFailure::kExpired:
      return "certificate-expired";
    case TlsFailure::kNotTrusted:
      return "certificate-not-trusted";
    case TlsFailure::kHandshake:
    case TlsFailure::kNoTlsa:
      break;
  }
  return "validation-failure";
}

Stream::Stream(Executor& executor, std::unique_ptr<Socket> socket)
    : executor_(executor), socket_(std::move(socket)), peer_(socket_->peer()), local_(socket_->local()) {
  socket_->start(*this);
}

Stream::Stream(Executor& executor, DetachedStream detached)
    : executor_(executor),
      socket_(executor.adopt(std::move(detached.socket))),
      filter_(std::move(detached.filter)),
      peer_(std::move(detached.peer)),
      local_(std::move(detached.local)) {
  take_plain(detached.received);
  socket_->start(*this);
}

Stream::~Stream() {
  socket_.reset();
  std::free(block_);
  std::free(held_block_);
  std::free(cipher_);
}

void Stream::make_room(std::size_t octets) {
  if (begin_ == end_ && !held_) begin_ = end_ = 0;
  if (capacity_ - end_ >= octets) return;
  if (begin_ > 0 && !held_ && capacity_ - (end_ - begin_) >= octets) {
    std::memmove(block_, block_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    return;
  }
  std::size_t wanted = capacity_ ? capacity_ * 2 : kFirstBlock;
  while (wanted - (end_ - begin_) < octets) wanted *= 2;
  char* grown = static_cast<char*>(std::malloc(wanted));
  if (!grown) throw std::bad_alloc();
  if (end_ > begin_) std::memcpy(grown, block_ + begin_, end_ - begin_);
  if (held_ && !held_block_)
    held_block_ = block_;
  else
    std::free(block_);
  block_ = grown;
  end_ -= begin_;
  begin_ = 0;
  capacity_ = wanted;
}

void Stream::release_idle_memory() {
  if (begin_ == end_ && block_) {
    std::free(block_);
    block_ = nullptr;
    begin_ = end_ = capacity_ = 0;
  }
  if (out_.empty() && out_.capacity() > 64) std::string().swap(out_);
  if (wire_.empty() && wire_.capacity() > 64) std::string().swap(wire_);
}

std::span<char> Stream::on_room(std::size_t) {
  if (end_ - begin_ >= kReadAhead) {
    paused_ = true;
    return {};
  }
  if (filter_ || handshaking_) {
    if (!cipher_) cipher_ = static_cast<char*>(std::malloc(kCipherRoom));
    if (!cipher_) throw std::bad_alloc();
    return {cipher_, kCipherRoom};
  }
  // A block that the last read filled to its end is a sign of bulk: double it, up to the read-ahead.
  const std::size_t room = capacity_ - (end_ - begin_);
  make_room(room < 1024 && capacity_ < kLargestBlock ? std::max<std::size_t>(capacity_, 1024) : 1024);
  return {block_ + end_, std::min(capacity_ - end_, kLargestBlock)};
}

void Stream::on_data(std::size_t octets) {
  if (!filter_) {
    end_ += octets;
    wake_reader();
    return;
  }
  std::string plain;
  const auto state = filter_->received({cipher_, octets}, plain, wire_);
  std::free(cipher_);
  cipher_ = nullptr;
  take_plain(plain);
  if (!wire_.empty() && !writing_) send_now({});  // handshake answers, key updates, alerts
  if (state != StreamFilter::State::kOk) {
    ended_ = true;
    error_ = state == StreamFilter::State::kFailed ? EPROTO : 0;
  }
  wake_reader();
}

void Stream::take_plain(std::string_view octets) {
  if (octets.empty()) return;
  make_room(octets.size());
  std::memcpy(block_ + end_, octets.data(), octets.size());
  end_ += octets.size();
}

void Stream::on_end(int error) {
  ended_ = true;
  error_ = error;
  wake_reader();
  if (error && writer_) std::exchange(writer_, nullptr)->settle();
}

void Stream::wake_reader() {
  if (reader_ && reader_->satisfied()) {
    auto* reader = std::exchange(reader_, nullptr);
    reader->settle();
  }
}

void Stream::clear_hold() {
  held_ = false;
  std::free(held_block_);
  held_block_ = nullptr;
}

void Stream::consume_line(std::size_t octets) {
  consume(octets);
  held_ = true;
}

void Stream::consume(std::size_t octets) {
  clear_hold();
  begin_ += octets;
  if (paused_ && end_ - begin_ < kReadAhead / 2 && !ended_) {
    paused_ = false;
    socket_->resume_reading();
  }
}

void Stream::put(std::string_view octets) {
  out_.append(octets);
  if (out_.size() >= kFlushAt && !writing_) send_now({});
}

bool Stream::send_now(std::string_view extra) {
  if (writing_) {
    out_.append(extra);
    return false;
  }
  if (filter_ && (!out_.empty() || !extra.empty())) {
    if (filter_->send(out_, wire_) != StreamFilter::State::kOk ||
        filter_->send(extra, wire_) != StreamFilter::State::kOk)
      lost(EPROTO);
    out_.clear();
    extra = {};
  }
  std::string& first = filter_ ? wire_ : out_;
  if (ended_ && error_) first.clear();
  if (first.empty() && extra.empty()) return true;
  const std::string_view parts[] = {first, extra};
  const std::ptrdiff_t sent = socket_->try_write(parts);
  if (sent < 0) {
    lost(static_cast<int>(-sent));
    first.clear();
    return true;  // FlushWait::await_resume throws
  }
  const auto done = static_cast<std::size_t>(sent);
  if (done == first.size() + extra.size()) {
    first.clear();
    return true;
  }
  std::string rest(std::string_view(first).substr(std::min(done, first.size())));
  rest.append(extra.substr(done > first.size() ? done - first.size() : 0));
  first.clear();
  writing_ = true;
  socket_->write(std::move(rest));
  return false;
}

void Stream::lost(int error) {
  ended_ = true;
  if (!error_) error_ = error;
}

void Stream::on_written(int error) {
  writing_ = false;
  if (error) {
    lost(error);
    out_.clear();
    wire_.clear();
  } else if ((!out_.empty() || !wire_.empty()) && !send_now({})) {
    return;  // more was queued meanwhile, and not all of it went
  }
  if (writer_) std::exchange(writer_, nullptr)->settle();
  if (error) wake_reader();
}

void Stream::close() {
  if (error_) return;
  send_now({});
  if (filter_) {
    filter_->close(wire_);
    send_now({});
  }
  socket_->shutdown();
}

void Stream::abort() {
  socket_->reset();
  ended_ = true;
  error_ = ECONNABORTED;
  wake_reader();
  if (writer_) std::exchange(writer_, nullptr)->settle();
}

DetachedStream Stream::detach() {
  DetachedStream detached;
  detached.received.assign(buffered());
  detached.filter = std::move(filter_);
  detached.local = local_;
  detached.peer = peer_;
  detached.socket = socket_->detach();
  ended_ = true;
  return detached;
}

Task<void> Stream::handshake(std::unique_ptr<StreamFilter> filter, Deadline deadline, bool implicit) {
  if (begin_ != end_ && !implicit) throw ProtocolError("octets were sent before the TLS handshake");
  deadline = deadline.fixed(executor_.now());
  co_await flush(deadline);
  filter_ = std::move(filter);
  handshaking_ = true;
  if (filter_->begin(wire_) != StreamFilter::State::kOk)
    throw TlsFailed(filter_->failure(), "TLS: " + filter_->error());
  if (begin_ != end_) {  // only when implicit: these came from the wire before the filter was there
    const std::string early(buffered());
    consume(early.size());
    std::string plain;
    if (filter_->received(early, plain, wire_) != StreamFilter::State::kOk)
      throw TlsFailed(filter_->failure(), "TLS: " + filter_->error());
    take_plain(plain);
  }
  send_now({});
  while (!filter_->established()) {
    if (ended_)
      throw TlsFailed(filter_->failure(),
                      "TLS handshake failed: " + (filter_->error().empty() ? "connection closed" : filter_->error()));
    co_await DataWait(*this, DataWait::Mode::kHandshake, deadline);
  }
  handshaking_ = false;
  co_await flush(deadline);
}

Task<void> Stream::start_tls(TlsContext& context, Deadline deadline) {
  co_await handshake(context.make_filter(), deadline);
}

Task<void> Stream::start_implicit_tls(TlsContext& context, Deadline deadline) {
  co_await handshake(context.make_filter(), deadline, true);
}

Task<void> Stream::connect_tls(TlsContext& context, std::string name, Deadline deadline) {
  auto filter = context.make_client_filter(name);
  if (!filter) throw TlsFailed(TlsFailure::kHandshake, "TLS: nothing to verify the server by");
  co_await handshake(std::move(filter), deadline);
}

Task<void> Stream::connect_tls(TlsContext& context, TlsPeer peer, Deadline deadline) {
  auto filter = context.make_client_filter(peer);
  if (!filter) throw TlsFailed(TlsFailure::kHandshake, "TLS: nothing usable to verify the server by");
  co_await handshake(std::move(filter), deadline);
}

}  // namespace postern
