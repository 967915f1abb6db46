// Who is next: one line of messages per account, and the lines take turns, so that one account's thousand mails do not
// stand before another's single one. Within a line the order of arrival is kept.
//
// Owner: the Shard. Thread: its worker. Items are linked, not copied; they outlive their stay.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "item.h"
#include "postern/hash.h"

namespace postern::queue {

class ReadyRing {
 public:
  void push(std::string_view account, Item& item);
  Item* pop();  ///< null when nobody waits
  bool empty() const { return turns_.empty(); }

 private:
  struct Line {
    Item* first = nullptr;
    Item* last = nullptr;
  };
  using Lines = std::unordered_map<std::string, Line, BytesHash, std::equal_to<>>;
  Lines lines_;
  std::deque<Lines::pointer> turns_;  ///< lines that have somebody
};

}  // namespace postern::queue
