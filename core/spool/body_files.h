// Body files: each holds the body of one large message, behind a header that names its use. When the message is gone
// the file becomes blank and is overwritten in place by a later one: no allocation, so that its fdatasync has no
// metadata to write.
//
// Thread: acquire(), release() and what follows them run on disk and journal threads and take the class's own mutex;
// give_back() and Pin are for workers and take none.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/spool/format.h"
#include "core/spool/hot_body.h"
#include "postern/env.h"

namespace postern::spool {

struct BodyFile {
  std::uint32_t number = 0;
  std::uint64_t capacity = 0;  ///< octets it has on the disk
  std::atomic<int> pins{0};    ///< readers
  bool blank = true;
  bool named = false;  ///< its name is durable; belongs to the lease
  bool dying = false;  ///< its message is gone, but a reader is still there
  BodyFile* next_given_back = nullptr;
  std::shared_ptr<const HotBody> hot;  ///< its octets in memory, if they still are
  std::list<BodyFile*>::iterator hot_at{};
};

/// A body file that a draft writes. The file object is open.
struct BodyLease {
  BodyFile* body = nullptr;
  std::unique_ptr<File> file;
  std::uint64_t stamp = 0;
};

class BodyFiles {
 public:
  BodyFiles(Env& env, std::string dir, std::uint64_t max_blank, std::uint64_t min_free, std::uint64_t hot)
      : env_(env),
        dir_(std::move(dir)),
        max_blank_(max_blank),
        min_free_(min_free),
        room_(std::make_shared<HotRoom>(hot)) {}

  /// A body to be filled and given to keep_hot().
  std::unique_ptr<HotBody> make_hot() const { return std::make_unique<HotBody>(room_); }
  /// The whole body is in the file, and in `hot`: readers get it from there until newer ones take its room.
  void keep_hot(BodyFile& body, std::unique_ptr<HotBody> hot);

  /// A blank file with room for `size_hint` octets if there is one, else a new one. The error is an errno.
  IoResult<BodyLease> acquire(std::uint64_t size_hint);
  IoResult<std::unique_ptr<File>> open(std::uint32_t number) const;
  int sync_names() { return env_.sync_dir(dir_); }
  void grown(BodyFile& body, std::uint64_t capacity);
  bool may_grow();  ///< false when the disk must keep what it has (SpoolSettings::min_free)

  /// The message that used the file is durably gone.
  void release(std::uint32_t number);
  /// A draft that will not be committed gives its file up. Any thread, no lock.
  void give_back(BodyFile& body);
  struct Pinned {
    BodyFile* body = nullptr;
    std::shared_ptr<const HotBody> hot;
  };
  /// Takes a pin on a file in use; null when there is no such file.
  Pinned pin(std::uint32_t number);
  /// Looks after what was given back and after the dying.
  void tidy();

  /// Recovery: a file was found, and a message uses it or none does.
  void found(std::uint32_t number, std::uint64_t capacity, bool in_use);

  struct Counts {
    std::uint64_t files = 0, blank_files = 0, blank_bytes = 0, bytes = 0, hot_bytes = 0;
  };
  Counts counts() const;

 private:
  std::string path(std::uint32_t number) const { return dir_ + "/" + body_name(number); }
  void make_blank(BodyFile& body);
  void take_given_back();
  void cool(BodyFile& body);
  BodyFile* choose(std::uint64_t size_hint);

  Env& env_;
  std::string dir_;
  std::uint64_t max_blank_;
  std::uint64_t min_free_;
  mutable std::mutex mutex_;
  std::map<std::uint32_t, BodyFile> files_;
  std::multimap<std::uint64_t, BodyFile*> blank_;  ///< by capacity
  std::uint64_t blank_bytes_ = 0;
  std::uint32_t last_number_ = 0;
  std::vector<BodyFile*> dying_;
  std::atomic<BodyFile*> given_back_{nullptr};
  std::shared_ptr<HotRoom> room_;
  std::list<BodyFile*> hot_;  ///< oldest first
};

}  // namespace postern::spool
