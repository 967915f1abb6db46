#include "mailbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "attributes.h"
#include "body.h"
#include "line_ends.h"
#include "names.h"
#include "postern/sync.h"
#include "uid_list.h"

namespace postern::maildir {

namespace {

/// Names of the messages in one folder of three; false when it cannot be listed.
bool list_names(const std::string& dir, std::vector<std::string>& out) {
  DIR* opened = ::opendir(dir.c_str());
  if (opened == nullptr) return false;
  while (const dirent* entry = ::readdir(opened)) {
    const std::string_view name = entry->d_name;
    const bool message = !name.starts_with('.') && (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
    if (message && name.find('\n') == std::string_view::npos) out.emplace_back(name);
  }
  ::closedir(opened);
  return true;
}

std::int64_t change_time(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return 0;
  return facts.st_mtim.tv_sec * 1'000'000'000LL + facts.st_mtim.tv_nsec;
}

/// Files by base name. `new` is read first, so that a message that moves on meanwhile is seen twice, never not at all;
/// within cur a rename during the listing may hide a name, so it is listed again when it changed.
bool list_folder(const std::string& dir, std::map<std::string, std::string>& files) {
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    files.clear();
    const std::int64_t before = change_time(dir + "/cur");
    std::vector<std::string> fresh;
    std::vector<std::string> current;
    if (!list_names(dir + "/new", fresh) || !list_names(dir + "/cur", current)) return false;
    for (const std::string& name : fresh)
      files.insert_or_assign(std::string(parse_file_name(name).base), "new/" + name);
    for (const std::string& name : current)
      files.insert_or_assign(std::string(parse_file_name(name).base), "cur/" + name);
    if (change_time(dir + "/cur") == before) break;
  }
  return true;
}

std::uint64_t count_wire_size(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return 0;
  WireCounter counter;
  std::string piece(FileBody::kPiece, '\0');
  while (true) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return counter.octets();
    counter.feed(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
  }
}

WallTime change_wall_time(const std::string& path) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::nanoseconds(change_time(path))));
}

struct Found {
  std::string base;
  std::string file;
  std::optional<WallTime> delivered;
};

MailboxMessage describe(const std::string& dir, const Found& found, UidList& uids) {
  const FileName parts = parse_file_name(std::string_view(found.file).substr(4));
  MailboxMessage message;
  const UidList::Entry* known = uids.find(found.base);
  message.size = parts.wire_size.value_or(known ? known->wire_size : 0);
  const bool counted = message.size == 0;
  if (counted) message.size = count_wire_size(dir + '/' + found.file);
  if (known) {
    message.uid = known->uid;
    if (counted && message.size != 0) uids.remember_size(found.base, message.size);
  } else {
    message.uid = uids.assign(found.base, parts.wire_size ? 0 : message.size);
  }
  message.unique_id = unique_id(found.base);
  message.received = found.delivered ? *found.delivered : change_wall_time(dir + '/' + found.file);
  message.seen = parts.seen();
  return message;
}

/// Unlinks messages; the folders' sync is shared with whatever else the worker has for the disk.
class RemoveWork final : public DiskWork {
 public:
  RemoveWork(const std::string& dir, std::vector<std::string> files) : dir_(dir), files_(std::move(files)) {}
  void work() noexcept override {
    for (std::string& file : files_) {
      if (::unlink((dir_ + '/' + file).c_str()) == 0) continue;
      if (errno == ENOENT) {
        auto now = find_again(dir_, file);
        if (!now || ::unlink((dir_ + '/' + *now).c_str()) == 0 || errno == ENOENT) continue;
      }
      error = errno;
    }
    if (error == 0) dirs = {dir_ + "/new", dir_ + "/cur"};
  }

 private:
  const std::string& dir_;
  std::vector<std::string> files_;
};

/// new/x or cur/x:2,F to cur/x:2,FS; returns the new name. One that is gone is left alone.
int mark_one_seen(const std::string& dir, std::string& file) {
  for (int tries = 0; tries < 3; ++tries) {
    std::string to = "cur/" + with_flag(std::string_view(file).substr(4), 'S');
    if (to == file) return 0;
    if (std::rename((dir + '/' + file).c_str(), (dir + '/' + to).c_str()) == 0) {
      file = std::move(to);
      return 0;
    }
    if (errno != ENOENT) return errno;
    auto now = find_again(dir, file);
    if (!now) return 0;
    file = std::move(*now);
  }
  return 0;
}

}  // namespace

std::optional<std::string> find_again(const std::string& dir, const std::string& file) {
  const std::string_view base = parse_file_name(std::string_view(file).substr(4)).base;
  for (const char* part : {"cur", "new"}) {
    std::vector<std::string> names;
    list_names(dir + '/' + part, names);
    for (const std::string& name : names)
      if (parse_file_name(name).base == base) return std::string(part) + '/' + name;
  }
  return std::nullopt;
}

Result<Snapshot> load_snapshot(const std::string& root, const std::string& dir) {
  const std::string path = root + '/' + dir;
  std::map<std::string, std::string> files;
  if (!list_folder(path, files)) {
    const bool inbox = dir[dir.rfind('/') + 1] != '.';
    if (!inbox) return fault("store.no_folder", dir);
    if (const int error = make_maildir(root, dir, false)) return std::unexpected(disk_fault(error, path));
    if (!list_folder(path, files)) return std::unexpected(disk_fault(errno, path));
  }
  std::vector<Found> found;
  found.reserve(files.size());
  for (auto& [base, file] : files) {
    const auto delivered = parse_file_name(base).delivered;
    found.push_back({base, std::move(file), delivered});
  }
  std::ranges::sort(found, {}, [](const Found& one) {
    return std::pair(one.delivered.value_or(WallTime::max()), std::string_view(one.base));
  });

  UidList uids(path, static_cast<std::uint32_t>(std::time(nullptr)));
  std::vector<std::pair<MailboxMessage, std::string>> all;
  std::vector<std::string_view> live;
  all.reserve(found.size());
  for (Found& one : found) {
    all.emplace_back(describe(path, one, uids), std::move(one.file));
    live.push_back(one.base);
  }
  uids.save(live);
  std::ranges::sort(all, {}, [](const auto& one) { return one.first.uid; });
  Snapshot snapshot;
  for (auto& [message, file] : all) {
    snapshot.messages.push_back(std::move(message));
    snapshot.files.push_back(std::move(file));
  }
  snapshot.attributes = load_attributes(path);
  return snapshot;
}

Task<Result<std::unique_ptr<MessageBody>>> MaildirMailbox::read(std::size_t index) {
  auto body =
      co_await run_blocking(Pool::kDisk, [this, index] { return FileBody::open(dir_, snapshot_.files.at(index)); });
  if (!body) co_return std::unexpected(body.error());
  co_return std::unique_ptr<MessageBody>(std::move(*body));
}

Task<Result<void>> MaildirMailbox::remove(std::vector<std::size_t> indexes) {
  std::vector<std::string> files;
  for (const std::size_t index : indexes) files.push_back(snapshot_.files.at(index));
  RemoveWork work(dir_, std::move(files));
  co_await batch_.run(work);
  if (work.error != 0) co_return std::unexpected(disk_fault(work.error, "removing from " + dir_));
  co_return Result<void>();
}

Task<Result<void>> MaildirMailbox::mark_seen(std::vector<std::size_t> indexes) {
  const int error = co_await run_blocking(Pool::kDisk, [this, &indexes] {
    int failed = 0;
    for (const std::size_t index : indexes)
      if (const int one = mark_one_seen(dir_, snapshot_.files.at(index))) failed = one;
    return failed;
  });
  if (error != 0) co_return std::unexpected(disk_fault(error, "marking in " + dir_));
  for (const std::size_t index : indexes) snapshot_.messages.at(index).seen = true;
  co_return Result<void>();
}

std::string MaildirMailbox::attribute(std::string_view name) const {
  const auto found = snapshot_.attributes.find(name);
  return found == snapshot_.attributes.end() ? std::string() : found->second;
}

Task<Result<void>> MaildirMailbox::set_attribute(std::string name, std::string value) {
  std::size_t octets = name.size() + value.size();
  for (const auto& [known, text] : snapshot_.attributes) octets += known.size() + text.size();
  const bool fits = 3 * octets < kMaxAttributeBytes - 2 * kMaxAttributes;  // odd octets take three
  if (name.empty() || !fits || (!snapshot_.attributes.contains(name) && snapshot_.attributes.size() >= kMaxAttributes))
    co_return fault("store.attributes", "too many or too large attributes");
  snapshot_.attributes.insert_or_assign(std::move(name), std::move(value));
  const int error = co_await run_blocking(Pool::kDisk, [this] { return save_attributes(dir_, snapshot_.attributes); });
  if (error != 0) co_return std::unexpected(disk_fault(error, "attributes of " + dir_));
  co_return Result<void>();
}

}  // namespace postern::maildir
