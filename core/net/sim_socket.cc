#include "core/net/sim_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace postern {
namespace {

constexpr std::size_t kSuggestedRoom = 64 * 1024;
constexpr std::size_t kOddPiece = 7;  ///< pieces shorter than most protocol words, now and then

}  // namespace

std::pair<std::shared_ptr<SimEnd>, std::shared_ptr<SimEnd>> SimEnd::make_pair(SimWorld& world, const Endpoint& client,
                                                                              const Endpoint& server) {
  auto ours = std::make_shared<SimEnd>(world, client, server);
  auto theirs = std::make_shared<SimEnd>(world, server, client);
  ours->other_ = theirs;
  theirs->other_ = ours;
  return {std::move(ours), std::move(theirs)};
}

// ---- reading ----

void SimEnd::start(SocketEvents& events) {
  events_ = &events;
  resume_reading();
}

void SimEnd::resume_reading() {
  if (reading_ || closed_) return;
  reading_ = true;
  world_.schedule_after(Duration(0), [self = shared_from_this()] { self->read_on(); });
}

void SimEnd::read_on() {
  while (events_ != nullptr && reading_ && error_ == 0 && !arrived_.empty()) {
    const std::span<char> into = events_->on_room(kSuggestedRoom);
    if (events_ == nullptr) return;
    if (into.empty()) {
      reading_ = false;
      return;
    }
    std::size_t size = std::min(into.size(), arrived_.size());
    // What waited together need not be read together.
    if (world_.random().chance(world_.options.split_chance / 2)) size = 1 + world_.random().below(size);
    std::memcpy(into.data(), arrived_.data(), size);
    arrived_.erase(0, size);
    if (const auto other = other_.lock()) {
      other->unread_ -= size;
      if (other->writing_) other->write_later();
    }
    events_->on_data(size);
    world_.run_ready();
  }
  if (events_ == nullptr || !reading_ || told_end_) return;
  if (error_ == 0 && !(peer_ended_ && arrived_.empty())) return;
  told_end_ = true;
  events_->on_end(error_);
}

void SimEnd::arrive(std::string piece) {
  if (closed_) {
    if (const auto other = other_.lock())
      world_.schedule_after(world_.latency(), [other] { other->break_connection(ECONNRESET); });
    return;
  }
  if (error_ != 0) return;
  if (world_.random().chance(world_.options.reset_chance)) {
    if (const auto other = other_.lock()) other->break_connection(ECONNRESET);
    return break_connection(ECONNRESET);
  }
  arrived_ += piece;
  read_on();
}

void SimEnd::arrive_end() {
  peer_ended_ = true;
  read_on();
}

void SimEnd::break_connection(int error) {
  if (closed_ || error_ != 0) return;
  error_ = error;
  arrived_.clear();
  const auto self = shared_from_this();
  if (std::exchange(writing_, false) && events_ != nullptr) {
    waiting_.clear();
    events_->on_written(error);
    world_.run_ready();
  }
  read_on();
}

// ---- writing ----

std::ptrdiff_t SimEnd::try_write(std::span<const std::string_view> parts) {
  if (closed_ || ending_) return -EPIPE;
  if (error_ != 0) return -error_;
  if (writing_) return 0;
  std::size_t total = 0;
  for (const std::string_view part : parts) total += part.size();
  std::size_t left = std::min(total, room());
  if (left > 0 && world_.random().chance(world_.options.split_chance)) left = world_.random().below(left + 1);
  const std::size_t taken = left;
  std::string octets;
  for (const std::string_view part : parts) {
    const std::string_view piece = part.substr(0, left);
    octets += piece;
    left -= piece.size();
  }
  send(octets);
  return static_cast<std::ptrdiff_t>(taken);
}

void SimEnd::write(std::string octets) {
  if (ending_) {  // our side has ended; the answer still comes from the loop
    world_.schedule_after(Duration(0), [self = shared_from_this()] {
      if (self->events_ != nullptr) self->events_->on_written(EPIPE);
    });
    return;
  }
  waiting_ = std::move(octets);
  writing_ = true;
  write_later();
}

void SimEnd::write_later() {
  if (std::exchange(write_scheduled_, true)) return;
  world_.schedule_after(world_.latency(), [self = shared_from_this()] {
    self->write_scheduled_ = false;
    self->write_on();
  });
}

void SimEnd::write_on() {
  if (!writing_ || closed_) return;
  if (error_ == 0) {
    const std::size_t size = std::min(waiting_.size(), room());
    send(std::string_view(waiting_).substr(0, size));
    waiting_.erase(0, size);
    if (!waiting_.empty()) return;  // goes on when the other end reads
  }
  writing_ = false;
  if (ending_) send_end();
  if (events_ != nullptr) events_->on_written(error_);
}

Instant SimEnd::arrival() {
  return last_arrival_ = std::max(last_arrival_, world_.now() + world_.latency());
}

void SimEnd::send(std::string_view octets) {
  unread_ += octets.size();
  Prng& random = world_.random();
  while (!octets.empty()) {
    std::size_t size = octets.size();
    if (random.chance(world_.options.split_chance)) {
      const std::size_t most = random.chance(0.5) ? std::min(size, kOddPiece) : size;
      size = 1 + static_cast<std::size_t>(random.below(most));
    }
    const Instant at = arrival();
    if (const auto other = other_.lock())
      world_.schedule(at, [other, piece = std::string(octets.substr(0, size))] { other->arrive(piece); });
    else
      world_.schedule(at + world_.latency(), [self = shared_from_this()] { self->break_connection(ECONNRESET); });
    octets.remove_prefix(size);
  }
}

void SimEnd::send_end() {
  const Instant at = arrival();
  if (const auto other = other_.lock()) world_.schedule(at, [other] { other->arrive_end(); });
}

void SimEnd::shutdown() {
  if (ending_ || closed_ || error_ != 0) return;
  ending_ = true;
  if (!writing_) send_end();
}

// ---- the end ----

void SimEnd::reset() {
  if (closed_) return;
  closed_ = true;
  events_ = nullptr;
  if (const auto other = other_.lock()) world_.schedule(arrival(), [other] { other->break_connection(ECONNRESET); });
}

void SimEnd::close() {
  if (closed_) return;
  if (!arrived_.empty()) return reset();  // RFC 1122 §4.2.2.13: unread data is lost, and the peer must know
  closed_ = true;
  events_ = nullptr;
  if (!ending_ || writing_) send_end();
}

std::unique_ptr<DetachedSocket> SimSocket::detach() {
  if (!end_) throw Closed("the connection cannot be moved");
  end_->stop_events();
  return std::make_unique<SimDetachedSocket>(std::move(end_));
}

}  // namespace postern
