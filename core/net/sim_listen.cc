#include "core/net/sim_listen.h"

#include <algorithm>
#include <cerrno>

namespace postern {

SimBinding::~SimBinding() {
  for (const auto& end : backlog) end->reset();
}

bool SimBinding::arrive(std::shared_ptr<SimEnd> end) {
  if (backlog.size() >= world.options.backlog) return false;
  backlog.push_back(std::move(end));
  serve_later();
  return true;
}

void SimBinding::serve_later() {
  world.schedule_after(world.latency(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->serve();
  });
}

void SimBinding::serve() {
  while (!backlog.empty()) {
    std::vector<SimAcceptor*> ready;
    std::ranges::copy_if(acceptors, std::back_inserter(ready), [](const SimAcceptor* each) { return !each->paused(); });
    if (ready.empty()) return;
    auto socket = std::make_unique<SimSocket>(std::move(backlog.front()));
    backlog.pop_front();
    ready[world.random().below(ready.size())]->events().on_connection(std::move(socket));
    world.run_ready();
  }
}

SimAcceptor::SimAcceptor(std::shared_ptr<SimBinding> binding, AcceptEvents& events)
    : binding_(std::move(binding)), events_(events) {
  binding_->acceptors.push_back(this);
  binding_->serve_later();
}

SimAcceptor::~SimAcceptor() {
  std::erase(binding_->acceptors, this);
}

void SimAcceptor::resume() {
  paused_ = false;
  binding_->serve_later();
}

std::unique_ptr<Acceptor> SimWorker::accept(BoundEndpoint& bound, AcceptEvents& events) {
  return std::make_unique<SimAcceptor>(static_cast<SimBoundEndpoint&>(bound).binding(), events);
}

std::unique_ptr<Socket> SimWorker::adopt(std::unique_ptr<DetachedSocket> detached) {
  return std::make_unique<SimSocket>(static_cast<SimDetachedSocket&>(*detached).release());
}

// ---- connecting ----

namespace {

class SimConnecting final : public Connecting {
 public:
  ~SimConnecting() override { *wanted_ = false; }
  const std::shared_ptr<bool>& wanted() const { return wanted_; }

 private:
  std::shared_ptr<bool> wanted_ = std::make_shared<bool>(true);
};

/// The test's end, whether it connected or was connected to.
class SimPeer final : public SimClient, private SocketEvents {
 public:
  SimPeer(SimWorld& world, Endpoint local) : world_(world), local_(std::move(local)) {}
  ~SimPeer() override { *wanted_ = false; }

  void connect(const Endpoint& to) {
    world_.begin_connect(to, local_, [this, wanted = wanted_](std::shared_ptr<SimEnd> end, int error) {
      if (!*wanted) {
        if (end) end->close();
        return;
      }
      error_ = error;
      if (end) attach(std::make_unique<SimSocket>(std::move(end)));
    });
  }

  void attach(std::unique_ptr<Socket> socket) {
    socket_ = std::move(socket);
    connected_ = true;
    socket_->start(*this);
    write_on();
  }

  void send(std::string_view octets) override {
    to_send_ += octets;
    write_on();
  }
  void finish() override {
    finishing_ = true;
    write_on();
  }
  /// As on a real system, what was sent before still goes out.
  void close() override {
    closing_ = true;
    if (socket_ == nullptr) *wanted_ = to_send_.empty() ? false : *wanted_;
    write_on();
  }
  void reset() override {
    *wanted_ = false;
    if (socket_) socket_->reset();
    socket_.reset();
  }
  void pause_reading(bool paused) override {
    paused_ = paused;
    if (!paused && socket_) socket_->resume_reading();
  }
  bool connected() const override { return connected_; }
  bool ended() const override { return ended_ || error_ != 0; }
  int error() const override { return error_; }
  const std::string& received() const override { return received_; }
  std::string take() override { return std::exchange(received_, {}); }
  Endpoint local() const override { return local_; }

 private:
  void write_on() {
    if (!socket_ || writing_) return;
    if (!to_send_.empty()) {
      writing_ = true;
      socket_->write(std::exchange(to_send_, {}));
    } else if (closing_) {
      socket_.reset();
    } else if (finishing_) {
      socket_->shutdown();
    }
  }
  std::span<char> on_room(std::size_t) override { return paused_ ? std::span<char>() : std::span<char>(room_); }
  void on_data(std::size_t octets) override { received_.append(room_, octets); }
  void on_end(int error) override {
    ended_ = true;
    error_ = error;
  }
  void on_written(int error) override {
    writing_ = false;
    if (error != 0) {
      error_ = error;
      to_send_.clear();
    }
    write_on();
  }

  SimWorld& world_;
  Endpoint local_;
  std::shared_ptr<bool> wanted_ = std::make_shared<bool>(true);
  std::unique_ptr<Socket> socket_;
  std::string to_send_;
  std::string received_;
  char room_[4096];
  int error_ = 0;
  bool connected_ = false;
  bool writing_ = false;
  bool finishing_ = false;
  bool closing_ = false;
  bool paused_ = false;
  bool ended_ = false;
};

class SimServer final : public SimListener, public AcceptEvents {
 public:
  explicit SimServer(std::shared_ptr<SimBinding> binding)
      : binding_(std::move(binding)), acceptor_(std::make_unique<SimAcceptor>(binding_, *this)) {}
  Endpoint endpoint() const override { return binding_->endpoint; }
  std::unique_ptr<SimClient> accept() override {
    if (waiting_.empty()) return nullptr;
    auto first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }

 private:
  void on_connection(std::unique_ptr<Socket> socket) override {
    auto peer = std::make_unique<SimPeer>(binding_->world, binding_->endpoint);
    peer->attach(std::move(socket));
    waiting_.push_back(std::move(peer));
  }

  std::shared_ptr<SimBinding> binding_;
  std::deque<std::unique_ptr<SimClient>> waiting_;
  std::unique_ptr<SimAcceptor> acceptor_;
};

}  // namespace

std::unique_ptr<Connecting> make_sim_connecting(SimWorld& world, const Executor::ConnectOptions& options,
                                                ConnectEvents& events) {
  auto connecting = std::make_unique<SimConnecting>();
  const auto done = [&events, wanted = connecting->wanted()](std::shared_ptr<SimEnd> end, int error) {
    if (*wanted) {
      std::unique_ptr<Socket> socket;
      if (end) socket = std::make_unique<SimSocket>(std::move(end));
      events.on_connected(std::move(socket), error);
    } else if (end) {
      end->close();
    }
  };
  world.begin_connect(options.to, world.client_endpoint(options.to, options.from), done);
  return connecting;
}

std::unique_ptr<Connecting> SimWorker::connect(const ConnectOptions& options, ConnectEvents& events) {
  return make_sim_connecting(world_, options, events);
}

std::unique_ptr<SimClient> make_sim_client(SimWorld& world, const Endpoint& to, std::optional<Endpoint> from) {
  auto peer = std::make_unique<SimPeer>(world, from ? *from : world.client_endpoint(to, {}));
  peer->connect(to);
  return peer;
}

std::unique_ptr<SimListener> make_sim_listener(std::shared_ptr<SimBinding> binding) {
  return std::make_unique<SimServer>(std::move(binding));
}

}  // namespace postern
