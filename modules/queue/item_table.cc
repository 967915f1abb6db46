#include "item_table.h"

#include "postern/hash.h"

namespace postern::queue {

/// Where the id is, or where it would go.
std::size_t ItemTable::slot_of(MessageId id) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash_number(id.value()) & mask;
  while (slots_[slot] != kNone) {
    const Item& item = blocks_[slots_[slot] / kBlock][slots_[slot] % kBlock];
    if (item.id == id) return slot;
    slot = (slot + 1) & mask;
  }
  return slot;
}

Item* ItemTable::find(MessageId id) {
  if (slots_.empty()) return nullptr;
  const std::uint32_t number = slots_[slot_of(id)];
  return number == kNone ? nullptr : at(number);
}

void ItemTable::grow() {
  const std::vector<std::uint32_t> old = std::exchange(slots_, {});
  slots_.assign(old.empty() ? 64 : old.size() * 2, kNone);
  for (const std::uint32_t number : old)
    if (number != kNone) slots_[slot_of(at(number)->id)] = number;
}

std::pair<Item*, bool> ItemTable::insert(MessageId id) {
  if ((size_ + 1) * 8 > slots_.size() * 7) grow();
  const std::size_t slot = slot_of(id);
  if (slots_[slot] != kNone) return {at(slots_[slot]), false};
  if (free_ == nullptr) {
    blocks_.push_back(std::make_unique<Item[]>(kBlock));
    for (std::size_t i = kBlock; i-- > 0;) {
      Item& item = blocks_.back()[i];
      item.number = static_cast<std::uint32_t>((blocks_.size() - 1) * kBlock + i);
      item.next_ready = std::exchange(free_, &item);
    }
  }
  Item* item = std::exchange(free_, free_->next_ready);
  item->next_ready = nullptr;
  item->id = id;
  slots_[slot] = item->number;
  ++size_;
  return {item, true};
}

void ItemTable::erase(Item& item) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = slot_of(item.id);
  // What stands behind the hole moves up, unless it stands where it belongs already.
  for (std::size_t next = (hole + 1) & mask; slots_[next] != kNone; next = (next + 1) & mask) {
    const std::size_t wanted = hash_number(at(slots_[next])->id.value()) & mask;
    if (((next - wanted) & mask) < ((next - hole) & mask)) continue;
    slots_[hole] = slots_[next];
    hole = next;
  }
  slots_[hole] = kNone;
  const std::uint32_t number = item.number;
  item = Item();
  item.number = number;
  item.next_ready = std::exchange(free_, &item);
  --size_;
}

}  // namespace postern::queue
