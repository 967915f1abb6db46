#include "uid_list.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/text.h"

namespace postern::maildir {

namespace {

constexpr std::size_t kMaxListBytes = 256U << 20;  // two million messages and more
constexpr std::string_view kHead = "postern-uidlist 1";
constexpr std::size_t kRewriteSlack = 100;  // lines about gone messages that are always suffered

/// The list is replaced by rename, so a lock may be on a file that is the list no more.
Descriptor open_locked(const std::string& path) {
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    Descriptor file(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file || ::flock(file.get(), LOCK_EX) != 0) return {};
    struct stat mine{};
    struct stat named{};
    if (::fstat(file.get(), &mine) == 0 && ::stat(path.c_str(), &named) == 0 && mine.st_ino == named.st_ino)
      return file;
  }
  return {};
}

}  // namespace

UidList::UidList(const std::string& folder, std::uint32_t now_seconds)
    : path_(folder + "/postern-uidlist"), lock_(open_locked(path_)) {
  const auto text = read_small(path_, kMaxListBytes);
  if (text && !text->empty() && read(*text)) return;
  // A new validity must be greater than the lost one; time sees to that (RFC 3501 §2.3.1.1).
  entries_.clear();
  order_.clear();
  validity_ = now_seconds;
  next_ = 1;
  rewrite_ = true;
}

bool UidList::read(const std::string& text) {
  std::string_view rest = text;
  std::string_view head = take_until(rest, '\n');
  if (!head.starts_with(kHead)) return false;
  const auto words = split_words(head.substr(kHead.size()));
  if (words.size() != 2) return false;
  const auto validity = to_number<std::uint32_t>(words[0], 1);
  const auto next = to_number<std::uint32_t>(words[1], 1);
  if (!validity || !next) return false;
  validity_ = *validity;
  next_ = *next;
  while (!rest.empty()) {
    const bool whole_line = rest.find('\n') != std::string_view::npos;
    if (!whole_line || !read_line(take_until(rest, '\n'))) {
      rewrite_ = true;  // the torn end of an append; what it named gets a new UID
      break;
    }
  }
  return true;
}

bool UidList::read_line(std::string_view line) {
  const std::string_view number = take_until(line, ' ');
  const std::string_view size = take_until(line, ' ');
  const auto uid = to_number<std::uint32_t>(number, 1);
  const auto wire_size = to_number<std::uint64_t>(size);
  if (!uid || !wire_size || line.empty()) return false;
  const auto known = entries_.find(line);
  if (known != entries_.end()) {
    known->second = {*uid, *wire_size};  // a later line adds the size
    return true;
  }
  if (*uid + 1 > next_) next_ = *uid + 1;
  entries_.emplace(std::string(line), Entry{*uid, *wire_size});
  order_.emplace_back(line);
  return true;
}

const UidList::Entry* UidList::find(std::string_view base) const {
  const auto known = entries_.find(base);
  return known == entries_.end() ? nullptr : &known->second;
}

void UidList::add_line(std::string_view base, const Entry& entry) {
  fresh_ += fmt::format("{} {} {}\n", entry.uid, entry.wire_size, base);
}

std::uint32_t UidList::assign(std::string_view base, std::uint64_t wire_size) {
  const Entry entry{next_++, wire_size};
  entries_.emplace(std::string(base), entry);
  order_.emplace_back(base);
  add_line(base, entry);
  return entry.uid;
}

void UidList::remember_size(std::string_view base, std::uint64_t wire_size) {
  const auto known = entries_.find(base);
  if (known == entries_.end()) return;
  known->second.wire_size = wire_size;
  add_line(base, known->second);
}

std::string UidList::whole() const {
  std::string text = fmt::format("{} {} {}\n", kHead, validity_, next_);
  for (const std::string& base : order_)
    if (const Entry* entry = find(base)) text += fmt::format("{} {} {}\n", entry->uid, entry->wire_size, base);
  return text;
}

void UidList::save(const std::vector<std::string_view>& live) {
  if (!lock_) return;
  if (order_.size() > 2 * live.size() + kRewriteSlack) {
    std::unordered_map<std::string, Entry, BytesHash, std::equal_to<>> kept;
    for (const std::string_view base : live)
      if (const Entry* entry = find(base)) kept.emplace(std::string(base), *entry);
    entries_.swap(kept);
    rewrite_ = true;
  }
  // A failure costs nothing but the work of the next time: UIDs not kept have not been shown by a protocol that has
  // them.
  if (rewrite_)
    replace_small(path_, whole(), false);
  else if (!fresh_.empty())
    write_all(lock_.get(), fresh_);
}

}  // namespace postern::maildir
