// Listening and connecting in the simulation, and the test's own ends.
//
// Connections wait in a binding's backlog until one of its acceptors, chosen by the seed, takes them; as with the
// kernel, which worker gets which connection is nobody's promise.
#pragma once

#include <deque>

#include "core/net/sim_socket.h"

namespace postern {

class SimAcceptor;

/// An address that somebody has bound; lives while its BoundEndpoint or an acceptor does.
struct SimBinding final : std::enable_shared_from_this<SimBinding> {
  SimBinding(SimWorld& in, Endpoint at) : world(in), endpoint(std::move(at)) {}
  ~SimBinding();
  bool arrive(std::shared_ptr<SimEnd> end);  ///< false when the backlog is full
  void serve_later();
  void serve();

  SimWorld& world;
  Endpoint endpoint;
  std::vector<SimAcceptor*> acceptors;
  std::deque<std::shared_ptr<SimEnd>> backlog;
};

class SimBoundEndpoint final : public BoundEndpoint {
 public:
  explicit SimBoundEndpoint(std::shared_ptr<SimBinding> binding) : binding_(std::move(binding)) {}
  Endpoint endpoint() const override { return binding_->endpoint; }
  const std::shared_ptr<SimBinding>& binding() const { return binding_; }

 private:
  std::shared_ptr<SimBinding> binding_;
};

class SimAcceptor final : public Acceptor {
 public:
  SimAcceptor(std::shared_ptr<SimBinding> binding, AcceptEvents& events);
  ~SimAcceptor() override;
  void pause() override { paused_ = true; }
  void resume() override;
  bool paused() const { return paused_; }
  AcceptEvents& events() { return events_; }

 private:
  std::shared_ptr<SimBinding> binding_;
  AcceptEvents& events_;
  bool paused_ = false;
};

std::unique_ptr<Connecting> make_sim_connecting(SimWorld& world, const Executor::ConnectOptions& options,
                                                ConnectEvents& events);
std::unique_ptr<SimClient> make_sim_client(SimWorld& world, const Endpoint& to, std::optional<Endpoint> from);
std::unique_ptr<SimListener> make_sim_listener(std::shared_ptr<SimBinding> binding);

}  // namespace postern
