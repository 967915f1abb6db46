#include "ready_ring.h"

#include <utility>

namespace postern::queue {

void ReadyRing::push(std::string_view account, Item& item) {
  item.next_ready = nullptr;
  auto found = lines_.find(account);
  if (found == lines_.end()) found = lines_.emplace(std::string(account), Line{}).first;
  Line& line = found->second;
  if (line.first == nullptr) {
    line.first = &item;
    turns_.push_back(&*found);
  } else {
    line.last->next_ready = &item;
  }
  line.last = &item;
}

Item* ReadyRing::pop() {
  if (turns_.empty()) return nullptr;
  auto* turn = turns_.front();
  turns_.pop_front();
  Line& line = turn->second;
  Item* item = line.first;
  line.first = std::exchange(item->next_ready, nullptr);
  if (line.first != nullptr)
    turns_.push_back(turn);
  else
    lines_.erase(lines_.find(turn->first));
  return item;
}

}  // namespace postern::queue
