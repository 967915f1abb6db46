// Who is next among mail for other servers: destinations take turns, and within a destination its senders, so that
// neither a slow site nor a bulk sender stands before others. Higher priorities (RFC 6710) go first, but every eighth
// turn is the lowest one's, so that nobody waits for ever.
//
// A destination that may not have more at present is parked: it costs nothing until unpark().
//
// T has a member `T* next_ready`; entries are linked, not copied, and outlive their stay. Everything is O(1).
// Owner: the Shard. Thread: its worker.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace postern::queue {

template <class T>
class FairRing {
 public:
  static constexpr int kTop = 9;  ///< priorities are -kTop .. kTop
  static constexpr unsigned kLowTurn = 8;

  void push(std::uint32_t destination, std::uint32_t sender, int priority, T& entry) {
    const auto level = static_cast<unsigned>(std::clamp(priority, -kTop, kTop) + kTop);
    auto [at, fresh] = lines_.try_emplace(key(destination, level));
    Line& line = at->second;
    if (fresh) {
      line.destination = destination;
      line.level = level;
      append(level, line);
    }
    entry.next_ready = nullptr;
    auto [own, first] = line.senders.try_emplace(sender);
    Sender& from = own->second;
    if (first) {
      from.sender = sender;
      line.append(from);
    }
    (from.first == nullptr ? from.first : from.last->next_ready) = &entry;
    from.last = &entry;
  }

  /// The next entry of a destination for which `may(destination)` holds; the others are parked. Null when there is
  /// none.
  template <class May>
  T* pop(May may) {
    while (used_ != 0) {
      const bool low = (turns_ + 1) % kLowTurn == 0;
      const auto level = static_cast<unsigned>(low ? std::countr_zero(used_) : 31 - std::countl_zero(used_));
      Line& line = take_front(level);
      if (!may(line.destination)) {
        parked_[line.destination] |= 1U << level;
        continue;
      }
      ++turns_;
      T* entry = take(line);
      if (line.first != nullptr)
        append(level, line);
      else
        lines_.erase(key(line.destination, level));
      return entry;
    }
    return nullptr;
  }

  /// False: nothing of it was parked.
  bool unpark(std::uint32_t destination) {
    if (parked_.empty()) return false;
    const auto found = parked_.find(destination);
    if (found == parked_.end()) return false;
    const std::uint32_t levels = found->second;
    parked_.erase(found);
    for (unsigned level = 0; level <= 2 * kTop; ++level)
      if ((levels >> level & 1) != 0) append(level, lines_.at(key(destination, level)));
    return true;
  }

  bool empty() const { return lines_.empty(); }

 private:
  struct Sender {
    T* first = nullptr;
    T* last = nullptr;
    Sender* next = nullptr;
    std::uint32_t sender = 0;
  };
  struct Line {
    std::unordered_map<std::uint32_t, Sender> senders;
    Sender* first = nullptr;
    Sender* last = nullptr;
    Line* next = nullptr;
    std::uint32_t destination = 0;
    unsigned level = 0;
    void append(Sender& from) {
      from.next = nullptr;
      (first == nullptr ? first : last->next) = &from;
      last = &from;
    }
  };
  struct Level {
    Line* first = nullptr;
    Line* last = nullptr;
  };

  static std::uint64_t key(std::uint32_t destination, unsigned level) {
    return std::uint64_t{destination} << 5 | level;
  }
  void append(unsigned level, Line& line) {
    Level& all = levels_[level];
    line.next = nullptr;
    (all.first == nullptr ? all.first : all.last->next) = &line;
    all.last = &line;
    used_ |= 1U << level;
  }
  Line& take_front(unsigned level) {
    Level& all = levels_[level];
    Line& line = *all.first;
    all.first = line.next;
    if (all.first == nullptr) used_ &= ~(1U << level);
    return line;
  }
  static T* take(Line& line) {
    Sender& from = *line.first;
    line.first = from.next;
    T* entry = from.first;
    from.first = std::exchange(entry->next_ready, nullptr);
    if (from.first != nullptr)
      line.append(from);
    else
      line.senders.erase(from.sender);
    return entry;
  }

  std::unordered_map<std::uint64_t, Line> lines_;
  std::unordered_map<std::uint32_t, std::uint32_t> parked_;  ///< destination to its levels
  std::array<Level, 2 * kTop + 1> levels_{};
  std::uint32_t used_ = 0;  ///< levels that have lines
  unsigned turns_ = 0;
};

}  // namespace postern::queue
