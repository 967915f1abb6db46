// A connection in the simulation: two ends in memory.
//
// What one end writes travels in pieces, each with its own latency, never overtaking; it waits at the other end until
// that reads. Octets sent and not yet read are bounded by the window. Data that reaches a closed end, or a close with
// unread data, resets the connection, as TCP does.
//
// Owner: a Socket (or DetachedSocket) owns its end; ends know each other weakly.
#pragma once

#include "core/net/sim_world.h"

namespace postern {

class SimEnd final : public std::enable_shared_from_this<SimEnd> {
 public:
  SimEnd(SimWorld& world, Endpoint local, Endpoint peer)
      : world_(world), local_(std::move(local)), peer_(std::move(peer)) {}

  static std::pair<std::shared_ptr<SimEnd>, std::shared_ptr<SimEnd>> make_pair(SimWorld& world, const Endpoint& client,
                                                                               const Endpoint& server);
  void start(SocketEvents& events);
  /// Between two workers: what arrives waits for the next start().
  void stop_events() {
    events_ = nullptr;
    reading_ = false;
  }
  void resume_reading();
  std::ptrdiff_t try_write(std::span<const std::string_view> parts);
  void write(std::string octets);
  void shutdown();
  void reset();
  void close();
  const Endpoint& local() const { return local_; }
  const Endpoint& peer() const { return peer_; }
  SimWorld& world() { return world_; }

 private:
  void read_on();
  void write_on();
  void write_later();
  void send(std::string_view octets);
  void send_end();
  void arrive(std::string piece);
  void arrive_end();
  void break_connection(int error);
  Instant arrival();
  std::size_t room() const { return world_.options.window - std::min(world_.options.window, unread_); }

  SimWorld& world_;
  Endpoint local_;
  Endpoint peer_;
  std::weak_ptr<SimEnd> other_;
  SocketEvents* events_ = nullptr;
  std::string arrived_;
  std::string waiting_;     ///< of write(), not yet sent
  std::size_t unread_ = 0;  ///< octets we sent and the other end has not read
  Instant last_arrival_{};  ///< of what we sent, at the other end
  int error_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  bool write_scheduled_ = false;
  bool ending_ = false;  ///< shutdown() was called
  bool peer_ended_ = false;
  bool told_end_ = false;
  bool closed_ = false;
};

class SimSocket final : public Socket {
 public:
  explicit SimSocket(std::shared_ptr<SimEnd> end) : end_(std::move(end)) {}
  ~SimSocket() override {
    if (end_) end_->close();
  }
  void start(SocketEvents& events) override { end_->start(events); }
  void resume_reading() override {
    if (end_) end_->resume_reading();
  }
  std::ptrdiff_t try_write(std::span<const std::string_view> parts) override {
    return end_ ? end_->try_write(parts) : -ECANCELED;
  }
  void write(std::string octets) override {
    if (end_) end_->write(std::move(octets));
  }
  void shutdown() override {
    if (end_) end_->shutdown();
  }
  void reset() override {
    if (end_) end_->reset();
  }
  Endpoint local() const override { return end_ ? end_->local() : Endpoint{}; }
  Endpoint peer() const override { return end_ ? end_->peer() : Endpoint{}; }
  std::unique_ptr<DetachedSocket> detach() override;
  std::uint32_t peer_uid() const override {
    return end_ && end_->local().is_unix() ? end_->world().options.unix_peer_uid : ~0U;
  }

 private:
  std::shared_ptr<SimEnd> end_;
};

class SimDetachedSocket final : public DetachedSocket {
 public:
  explicit SimDetachedSocket(std::shared_ptr<SimEnd> end) : end_(std::move(end)) {}
  ~SimDetachedSocket() override {
    if (end_) end_->close();
  }
  std::shared_ptr<SimEnd> release() { return std::move(end_); }

 private:
  std::shared_ptr<SimEnd> end_;
};

}  // namespace postern
