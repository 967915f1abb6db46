// The messages of a shard by their ids: items in blocks that never move, and a table of their numbers.
//
// A million waiting messages cost an Item and about 8 octets of table each.
//
// Owner: the Shard. Thread: its worker. References stay good until erase().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "item.h"

namespace postern::queue {

class ItemTable {
 public:
  Item* find(MessageId id);
  const Item* find(MessageId id) const { return const_cast<ItemTable*>(this)->find(id); }
  /// The item, and whether it is new.
  std::pair<Item*, bool> insert(MessageId id);
  void erase(Item& item);
  std::size_t size() const { return size_; }

  /// Items have the numbers below this one; some of them are free.
  std::uint32_t numbers() const { return static_cast<std::uint32_t>(blocks_.size() * kBlock); }
  /// Null when the number is free.
  Item* at(std::uint32_t number) {
    Item& item = blocks_[number / kBlock][number % kBlock];
    return item.id ? &item : nullptr;
  }

 private:
  static constexpr std::size_t kBlock = 1024;
  static constexpr std::uint32_t kNone = ~0U;
  std::size_t slot_of(MessageId id) const;
  void grow();

  std::vector<std::unique_ptr<Item[]>> blocks_;
  Item* free_ = nullptr;              ///< linked by next_ready
  std::vector<std::uint32_t> slots_;  ///< numbers by hash of the id, linear probing; a power of two
  std::size_t size_ = 0;
};

}  // namespace postern::queue
