// The index: where each message lies in the log and how far each of its recipients is. It is what remains in memory of
// a queued message, so it is small: 128 octets with the first recipient, 24 for each further one, and the text of the
// last attempt.
//
// The same code applies what the journal has just synced and what recovery replays, so the two cannot differ.
//
// Thread: guarded by Store::mutex; workers never touch it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/spool/format.h"
#include "postern/env.h"
#include "postern/spool.h"

namespace postern::spool {

/// One file of the log. What is live in it is counted by the index.
struct Segment : std::enable_shared_from_this<Segment> {
  std::uint32_t number = 0;  ///< names the file
  std::unique_ptr<File> file;
  std::uint64_t size = 0;  ///< without the footer
  std::uint64_t sequence = 0;
  std::uint64_t stamp = 0;
  std::uint64_t used = 0;  ///< end of its synced records
  std::uint64_t live = 0;  ///< messages whose accept lies here
  std::uint64_t live_bytes = 0;
  std::atomic<int> pins{0};  ///< readers; taken under Store::mutex, given back by any worker
};

/// A text of at most 255 octets in 8 octets and its own: most recipients have one, of the last attempt.
class ShortText {
 public:
  ShortText() = default;
  ShortText& operator=(std::string_view text) {
    text = text.substr(0, 255);
    octets_ = text.empty() ? nullptr : std::make_unique_for_overwrite<char[]>(text.size() + 1);
    if (text.empty()) return *this;
    octets_[0] = static_cast<char>(text.size());
    text.copy(&octets_[1], text.size());
    return *this;
  }
  std::string_view view() const {
    return octets_ ? std::string_view(&octets_[1], static_cast<unsigned char>(octets_[0])) : std::string_view();
  }

 private:
  std::unique_ptr<char[]> octets_;
};

class Index {
 public:
  struct Recipient {
    std::int64_t next_attempt = 0;
    ShortText note;
    std::uint16_t attempts = 0;
    RecipientState state = RecipientState::kWaiting;
  };
  /// What few messages have.
  struct Extra {
    std::vector<Recipient> more;  ///< than one
    std::int64_t held_until = 0;
    std::string hold_reason;
    std::map<std::uint32_t, std::string> routes;
  };
  struct Entry {
    Segment* segment = nullptr;
    std::uint64_t size = 0;  ///< of the content
    std::uint64_t label = 0;
    std::uint32_t offset = 0;  ///< of the record
    std::uint32_t length = 0;  ///< of the record, padding included
    std::uint32_t body_file = 0;
    std::uint32_t waiting = 0;  ///< recipients not yet done
    std::uint32_t crashes = 0;
    std::uint32_t recipients = 0;
    Recipient first;
    std::unique_ptr<Extra> extra;

    Recipient& recipient(std::uint32_t number) { return number == 0 ? first : extra->more[number - 1]; }
    const Recipient& recipient(std::uint32_t number) const { return number == 0 ? first : extra->more[number - 1]; }
    Extra& the_extra() {
      if (!extra) extra = std::make_unique<Extra>();
      return *extra;
    }
  };
  static_assert(sizeof(Entry) <= 80, "with the tree's own 40 octets it fits into 128");
  using Entries = std::map<std::uint64_t, Entry>;

  /// A message is there, or is somewhere else now.
  void accept(std::uint64_t id, const AcceptHead& head, Segment& segment, std::uint64_t offset, std::uint64_t length,
              std::string_view envelope);
  /// Returns the number of the body file that the change set free, 0 for none. Ignores what makes no sense.
  std::uint32_t change(const RecordHeader& header, std::string_view text);
  /// Forgets a message that lies in a segment that is free, or cannot be read.
  void forget(std::uint64_t id);

  const Entry* find(std::uint64_t id) const;
  const Entries& entries() const { return entries_; }
  static MessageInfo info(std::uint64_t id, const Entry& entry);
  /// The marks that bring a fresh entry to where this one is; for compaction. Texts go to `texts`, one per header.
  static void marks(std::uint64_t id, const Entry& entry, std::vector<RecordHeader>& headers,
                    std::vector<std::string>& texts);

  std::uint64_t waiting() const { return waiting_; }  ///< recipients in all
  std::uint64_t content_bytes() const { return content_bytes_; }
  std::uint64_t record_bytes() const { return record_bytes_; }  ///< live, in all segments

 private:
  void finish(Entry& entry, Recipient& recipient);
  void change_recipient(Entry& entry, std::uint32_t number, const RecordHeader& header, std::string_view text);
  void leave_segment(Entry& entry);
  std::uint32_t erase(Entries::iterator found);

  Entries entries_;
  std::uint64_t waiting_ = 0;
  std::uint64_t content_bytes_ = 0;
  std::uint64_t record_bytes_ = 0;
};

}  // namespace postern::spool
