// What was found, by name, until it is too old; bounded, and what lies there longest goes first.
//
// All that is put here is kept for about as long, so that the order in which it came is nearly the order in which it
// ends: neither a look-up nor room for one more ever costs a walk over the rest.
// Owner: a WayFinder. Thread: its worker.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "postern/hash.h"
#include "postern/time.h"

namespace postern::relay {

template <class T>
class Shelf {
 public:
  explicit Shelf(std::size_t most) : most_(most) {}

  /// Null: there is none that still counts.
  std::shared_ptr<const T> find(std::string_view name, Instant now) const {
    const auto found = by_name_.find(name);
    return found != by_name_.end() && found->second->until > now ? found->second->value : nullptr;
  }
  std::shared_ptr<const T> put(std::string name, T value, Instant now, Instant until) {
    if (const auto old = by_name_.find(name); old != by_name_.end()) remove(old->second);
    while (!all_.empty() && (all_.size() >= most_ || all_.front().until <= now)) remove(all_.begin());
    all_.push_back({std::move(name), std::make_shared<const T>(std::move(value)), until});
    by_name_.emplace(all_.back().name, std::prev(all_.end()));
    return all_.back().value;
  }

 private:
  struct Kept {
    std::string name;
    std::shared_ptr<const T> value;
    Instant until;
  };
  using List = std::list<Kept>;
  void remove(typename List::iterator which) {
    by_name_.erase(which->name);
    all_.erase(which);
  }

  std::size_t most_;
  List all_;  // as they came
  std::unordered_map<std::string_view, typename List::iterator, BytesHash, std::equal_to<>> by_name_;
};

}  // namespace postern::relay
