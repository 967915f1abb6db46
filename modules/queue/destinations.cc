#include "destinations.h"

#include "postern/envelope.h"

namespace postern::queue {

/// Counts a message of it.
std::uint32_t Destinations::by_hash(std::uint32_t hash) {
  auto [at, fresh] = numbers_.try_emplace(hash, 0);
  if (fresh) {
    if (free_.empty()) {
      at->second = static_cast<std::uint32_t>(all_.size());
      all_.emplace_back();
    } else {
      at->second = free_.back();
      free_.pop_back();
      all_[at->second] = Destination();
    }
    all_[at->second].hash = hash;
    all_[at->second].route = &routes_.base();
    ++idle_;
  }
  if (all_[at->second].messages++ == 0) --idle_;
  return at->second;
}

std::uint32_t Destinations::by_name(std::string_view name) {
  const std::uint32_t number = by_hash(destination_hash(name));
  Destination& found = all_[number];
  if (found.name.empty() && !name.empty()) {
    found.name = name;
    found.route = &routes_.of(name);
  }
  return number;
}

const std::uint32_t* Destinations::find(std::string_view name) const {
  return find(destination_hash(name));
}

const std::uint32_t* Destinations::find(std::uint32_t hash) const {
  const auto found = numbers_.find(hash);
  return found == numbers_.end() ? nullptr : &found->second;
}

void Destinations::release(std::uint32_t number) {
  Destination& one = all_[number];
  if (--one.messages != 0) return;
  if (++idle_ <= kIdle) return;
  numbers_.erase(one.hash);
  one = Destination();
  free_.push_back(number);
  --idle_;
}

}  // namespace postern::queue
