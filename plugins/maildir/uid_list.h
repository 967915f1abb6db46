// The list of UIDs of one folder: file "postern-uidlist" (IDENTITY.md has its format and rules).
//
// Text, append-only between rewrites: a head line, then a line per message. A lock on the file (flock) makes assigning
// safe between workers and processes. It is not synced here: what POP3 shows does not depend on it, and a protocol that
// shows UIDs syncs it before it does. A damaged or missing list is rebuilt with a new UIDVALIDITY.
//
// Thread: pool threads only; a UidList is a local variable of one job.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "files.h"
#include "postern/hash.h"

namespace postern::maildir {

class UidList {
 public:
  struct Entry {
    std::uint32_t uid = 0;
    std::uint64_t wire_size = 0;  ///< 0: the file's name tells it
  };

  /// Opens and locks the list of a folder; makes it when there is none. Without a lock (full disk, read-only) it still
  /// assigns, for this session only.
  UidList(const std::string& folder, std::uint32_t now_seconds);

  const Entry* find(std::string_view base) const;
  /// A UID for a message that has none. `wire_size`: to be remembered, 0 when the name tells it.
  std::uint32_t assign(std::string_view base, std::uint64_t wire_size);
  /// Remembers a size that had to be counted.
  void remember_size(std::string_view base, std::uint64_t wire_size);
  /// Appends what is new, or rewrites the list when most of it is about messages that are gone.
  void save(const std::vector<std::string_view>& live);

  std::uint32_t validity() const { return validity_; }
  std::uint32_t next() const { return next_; }

 private:
  bool read(const std::string& text);
  bool read_line(std::string_view line);
  void add_line(std::string_view base, const Entry& entry);
  std::string whole() const;

  std::string path_;
  Descriptor lock_;
  std::unordered_map<std::string, Entry, BytesHash, std::equal_to<>> entries_;
  std::vector<std::string> order_;  ///< bases by UID
  std::string fresh_;               ///< lines to append
  std::uint32_t validity_ = 0;
  std::uint32_t next_ = 1;
  bool rewrite_ = false;
};

}  // namespace postern::maildir
