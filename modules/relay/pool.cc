#include "pool.h"

#include <algorithm>

namespace postern::relay {

namespace {

constexpr std::size_t kMaxGoodbyes = 100;  // beyond, connections end without a word

Task<void> say_goodbye(std::unique_ptr<Connection> connection) {
  co_await connection->quit();
}

}  // namespace

ConnectionPool::ConnectionPool(Executor& executor, const DeliverySettings& settings)
    : executor_(executor), settings_(settings), goodbyes_(executor) {
  goodbyes_.on_error = [](std::exception_ptr) {};  // a connection that is being given up
}

ConnectionPool::~ConnectionPool() {
  executor_.disarm(*this);
}

std::unique_ptr<Connection> ConnectionPool::remove(List::iterator which) {
  const auto found = by_key_.find(which->key);
  std::erase(found->second, which);
  if (found->second.empty()) by_key_.erase(found);
  auto connection = std::move(which->connection);
  idle_.erase(which);
  return connection;
}

std::unique_ptr<Connection> ConnectionPool::take(const std::string& key) {
  while (true) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    auto connection = remove(found->second.back());
    if (!connection->stale()) return connection;
  }
}

void ConnectionPool::put(std::string key, std::unique_ptr<Connection> connection) {
  if (draining_ || settings_.idle_time == Duration::zero() || settings_.max_idle_connections == 0)
    return retire(std::move(connection));
  if (idle_.size() >= settings_.max_idle_connections) retire(remove(idle_.begin()));
  idle_.push_back({std::move(key), std::move(connection), executor_.now() + settings_.idle_time});
  const auto last = std::prev(idle_.end());
  by_key_[last->key].push_back(last);
  if (!armed()) arm();
}

void ConnectionPool::retire(std::unique_ptr<Connection> connection) {
  if (!connection->usable() || connection->stale() || goodbyes_.size() >= kMaxGoodbyes) return;
  goodbyes_.spawn(say_goodbye(std::move(connection)));
}

void ConnectionPool::arm() {
  if (!idle_.empty()) executor_.arm(*this, idle_.front().until);
}

void ConnectionPool::fire() {
  while (!idle_.empty() && idle_.front().until <= executor_.now()) retire(remove(idle_.begin()));
  arm();
}

Task<void> ConnectionPool::drain(Deadline deadline) {
  draining_ = true;
  executor_.disarm(*this);
  while (!idle_.empty()) retire(remove(idle_.begin()));
  if (co_await goodbyes_.join_until(deadline)) co_return;
  goodbyes_.cancel();
  co_await goodbyes_.join();
}

}  // namespace postern::relay
