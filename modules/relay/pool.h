// Connections that wait for the next message, by what makes them interchangeable: address, source, TLS decision,
// log-in.
//
// put() keeps one for idle_time; take() gives the one that was used last, unless its host has ended it meanwhile. The
// longest idle one goes when there are too many. Who goes says QUIT in the background.
// Owner: the worker's Courier. Thread: that worker.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "connection.h"
#include "postern/executor.h"
#include "postern/hash.h"
#include "postern/nursery.h"

namespace postern::relay {

class ConnectionPool final : private TimerNode {
 public:
  ConnectionPool(Executor& executor, const DeliverySettings& settings);
  ~ConnectionPool();

  std::unique_ptr<Connection> take(const std::string& key);
  void put(std::string key, std::unique_ptr<Connection> connection);
  /// Says QUIT and forgets it.
  void retire(std::unique_ptr<Connection> connection);
  /// Ends all; returns when they are gone, at the latest at the deadline.
  Task<void> drain(Deadline deadline);

 private:
  struct Idle {
    std::string key;
    std::unique_ptr<Connection> connection;
    Instant until;
  };
  using List = std::list<Idle>;
  std::unique_ptr<Connection> remove(List::iterator which);
  void fire() override;
  void arm();

  Executor& executor_;
  const DeliverySettings& settings_;
  List idle_;  // the longest idle first
  std::unordered_map<std::string, std::vector<List::iterator>, BytesHash, std::equal_to<>> by_key_;
  Nursery goodbyes_;
  bool draining_ = false;
};

}  // namespace postern::relay
