#include "core/pipeline/trail_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/pipeline/trail_index.h"

namespace postern {
namespace {

constexpr std::string_view kSuffix = ".trail";
constexpr std::size_t kDigits = 16;
constexpr std::size_t kMaxFileRead = 2ULL << 30;  // of one trail file; larger ones were not made by us
constexpr unsigned kMaxRebuilds = 3;              // of an index that is found damaged before it was whole again

bool is_trail_file(std::string_view name) {
  return name.size() == kDigits + kSuffix.size() && name.ends_with(kSuffix) &&
         name.find_first_not_of("0123456789abcdef") == kDigits;
}

std::uint64_t size_of(Env& env, const std::string& path) {
  auto file = env.open(path, OpenMode::kRead);
  if (!file) return 0;
  return (*file)->size().value_or(0);
}

}  // namespace

std::string trail_file_name(WallTime when) {
  return fmt::format("{:016x}{}", static_cast<std::uint64_t>(when.time_since_epoch().count()), kSuffix);
}

WallTime trail_file_time(std::string_view name) {
  std::uint64_t micros = 0;
  std::from_chars(name.data(), name.data() + std::min(name.size(), kDigits), micros, 16);
  return WallTime(WallTime::duration(static_cast<std::int64_t>(micros)));
}

std::vector<std::string> trail_files(Env& env, const std::string& dir) {
  auto names = env.list(dir);
  if (!names) return {};
  std::erase_if(*names, [](const std::string& name) { return !is_trail_file(name); });
  std::ranges::sort(*names);
  return std::move(*names);
}

std::string read_trail_file(Env& env, const std::string& path) {
  return read_file(env, path, kMaxFileRead).value_or(std::string());
}

TrailTotals trail_totals(Env& env, const std::string& dir) {
  TrailTotals out;
  const std::vector<std::string> names = trail_files(env, dir);
  out.files = names.size();
  if (!names.empty()) out.oldest = trail_file_time(names.front());
  for (const std::string& name : names) out.octets += size_of(env, dir + "/" + name);
  if (const auto index = TrailIndexReader::open(dir)) {
    out.indexed_files = index->segments().size();
    for (const auto& [name, segment] : index->segments()) out.indexed_records += segment.records;
    out.index_octets = size_of(env, dir + "/" + std::string(kTrailIndexName));
  }
  return out;
}

TrailFiles::TrailFiles(Env& env, std::string dir, Limits limits, Report report)
    : env_(env), dir_(std::move(dir)), limits_(limits), report_(std::move(report)) {}
TrailFiles::~TrailFiles() = default;

void TrailFiles::report(std::string_view event, const std::string& detail) const {
  if (report_) report_(event, detail);
}

void TrailFiles::start() {
  if (std::exchange(started_, true)) return;
  if (const int error = env_.make_dir(dir_)) return report("trail.folder", std::strerror(error));
  for (const std::string& name : trail_files(env_, dir_)) last_name_ = name;  // never write into an older file
  remove_drafts(env_, dir_);
  open_index();
}

void TrailFiles::open_index() {
  if (!limits_.indexed) return;
  std::string note;
  auto opened = TrailIndex::open(dir_, note);
  if (!note.empty()) report("trail.index_rebuilt", note);
  if (!opened) return report("trail.index_failed", opened.error().detail);
  index_ = std::move(*opened);
  look_for_unindexed();
}

void TrailFiles::look_for_unindexed() {
  pending_.clear();
  const std::vector<std::string> names = trail_files(env_, dir_);
  std::vector<std::string> gone;
  for (const auto& [name, segment] : index_->segments())
    if (!std::ranges::binary_search(names, name)) gone.push_back(name);
  for (const std::string& name : gone)
    if (auto done = index_->remove(name, nullptr); !done) return index_failed(done.error());
  for (const std::string& name : names) {
    if (file_ && name == last_name_) continue;
    const auto known = index_->segments().find(name);
    if (known == index_->segments().end() || known->second.size != size_of(env_, path(name))) pending_.push_back(name);
  }
}

/// The files are the truth: an index that is wrong is made anew, and without one everything still works, slowly.
void TrailFiles::index_failed(const Fault& fault) {
  index_.reset();
  pending_.clear();
  const bool hopeless = fault.code != "index.damaged" && fault.code != "index.order";
  // A disk that damages whatever is written must not keep the lane busy for ever.
  if (hopeless || ++rebuilds_ > kMaxRebuilds) return report("trail.index_failed", fault.detail);
  report("trail.index_rebuilt", fault.detail);
  TrailIndex::discard(dir_);
  open_index();
}

std::size_t TrailFiles::reindex() {
  start();
  if (!limits_.indexed) return 0;
  rebuilds_ = 0;
  index_.reset();
  TrailIndex::discard(dir_);
  open_index();
  return pending_.size();
}

bool TrailFiles::index_next() {
  start();
  if (!index_ || pending_.empty()) return false;
  const std::string name = std::move(pending_.front());
  pending_.pop_front();
  const std::string bytes = read_trail_file(env_, path(name));
  if (bytes.empty()) return !pending_.empty();
  if (auto done = index_->put(name, bytes.size(), terms_of_segment(bytes)); !done)
    index_failed(done.error());
  else if (pending_.empty())
    rebuilds_ = 0;
  return !pending_.empty();
}

void TrailFiles::seal() {
  if (!file_) return;
  file_.reset();
  if (index_) pending_.push_back(last_name_);
}

int TrailFiles::write(std::string_view records, WallTime now) {
  start();
  // Also by time, so that what is old does not stay because something new is in its file.
  if (file_ && (size_ + records.size() > limits_.segment || now - trail_file_time(last_name_) > limits_.keep_for / 4))
    seal();
  if (!file_)
    if (const int error = begin_file(now)) return error;
  const std::string_view parts[] = {records};
  const int error = file_->write(parts, size_);
  if (error) {
    // A record may have been torn: nothing is written behind it. A disk that stays full leaves no row of empty files.
    const bool fresh = size_ == 0;
    seal();
    if (fresh) forget(last_name_);
    return error;
  }
  size_ += records.size();
  return 0;
}

int TrailFiles::begin_file(WallTime now) {
  if (const int error = env_.make_dir(dir_)) return error;
  forget_old(now, limits_.segment);
  std::string name = trail_file_name(now);
  // Two files within one microsecond, or a clock that went back: never write into an older file.
  while (name <= last_name_) name = trail_file_name(trail_file_time(last_name_) + WallTime::duration(1));
  auto file = env_.open(path(name), OpenMode::kCreate);
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  file_ = std::move(*file);
  size_ = *size;
  last_name_ = std::move(name);
  return 0;
}

void TrailFiles::tidy(WallTime now) {
  start();
  if (file_ && now - trail_file_time(last_name_) > limits_.keep_for / 4) seal();
  forget_old(now, 0);
}

void TrailFiles::forget_old(WallTime now, std::uint64_t room) {
  const std::vector<std::string> names = trail_files(env_, dir_);
  std::uint64_t total = room;
  std::size_t keep_from = names.size();
  while (keep_from > 0) {
    const std::string& name = names[keep_from - 1];
    const bool open = file_ && name == last_name_;
    total += size_of(env_, path(name));
    // All records of a file are older than the first of the next one, and a file is not written to for longer than a
    // quarter of keep_for.
    const Duration lag = keep_from < names.size() ? Duration{} : limits_.keep_for / 4;
    const WallTime newest = trail_file_time(keep_from < names.size() ? names[keep_from] : name);
    if (!open && (total > limits_.keep_bytes || now - newest > limits_.keep_for + lag)) break;
    --keep_from;
  }
  for (std::size_t i = 0; i < keep_from; ++i) forget(names[i]);
}

void TrailFiles::forget(const std::string& name) {
  std::erase(pending_, name);
  std::optional<SegmentTerms> terms;
  if (index_) {
    const auto known = index_->segments().find(name);
    if (known != index_->segments().end()) {
      const std::string bytes = read_trail_file(env_, path(name));
      if (known->second.size == bytes.size()) terms = terms_of_segment(bytes);
    }
  }
  env_.unlink(path(name));
  if (!index_) return;
  if (auto done = index_->remove(name, terms ? &*terms : nullptr); !done) index_failed(done.error());
}

TrailErased TrailFiles::erase(const Person& person, bool pretend) {
  start();
  if (!pretend) seal();
  TrailErased total;
  for (const std::string& name : trail_files(env_, dir_))
    if (!erase_in(name, person, pretend, total)) ++total.failed;
  if (index_ && !pretend) {
    while (index_next()) {
    }
    if (index_) index_->checkpoint();
  }
  // One that could not be kept up still has what was made of the address; the next start makes another.
  if (!pretend && limits_.indexed && !index_) TrailIndex::discard(dir_);
  return total;
}

/// Puts other contents in a file's place, or takes it away when there are none; the index follows.
int TrailFiles::replace(const std::string& name, std::string_view before, std::string_view after) {
  // What the index holds is what is in the file only when it knows the file as it is.
  bool indexed = false;
  if (index_) {
    const auto known = index_->segments().find(name);
    indexed = known != index_->segments().end() && known->second.size == before.size();
  }
  // From here on readers look into the file itself, until the index has it again.
  if (index_)
    if (auto done = index_->mark_changing(name); !done) index_failed(done.error());
  const int error = after.empty() ? env_.unlink(path(name)) : replace_file(env_, dir_, name, after);
  if (after.empty() && error == 0) static_cast<void>(env_.sync_dir(dir_));
  if (!index_) return error;
  std::erase(pending_, name);
  const auto known = index_->segments().find(name);
  if (error != 0 || known == index_->segments().end()) {
    // In its place: the index takes files in the order of time.
    if (error != 0 || !after.empty()) pending_.insert(std::ranges::lower_bound(pending_, name), name);
    return error;
  }
  std::optional<SegmentTerms> old;
  if (indexed) old = terms_of_segment(before);
  const SegmentTerms* held = old ? &*old : nullptr;
  const auto done =
      after.empty() ? index_->remove(name, held) : index_->put(name, after.size(), terms_of_segment(after), held);
  if (!done) index_failed(done.error());
  return 0;
}

bool TrailFiles::erase_in(const std::string& name, const Person& person, bool pretend, TrailErased& total) {
  const auto bytes = read_file(env_, path(name), kMaxFileRead);
  if (!bytes) return bytes.error() == ENOENT;
  std::string kept;
  TrailErased here;
  if (!erase_person(*bytes, person, kept, here)) return true;
  if (!pretend && replace(name, *bytes, kept) != 0) return false;
  total.removed += here.removed;
  total.redacted += here.redacted;
  total.lost += here.lost;
  ++total.files;
  return true;
}

}  // namespace postern
