#include "core/pipeline/trail_reader.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <set>

#include "core/pipeline/trail_files.h"
#include "core/pipeline/trail_index.h"
#include "postern/mail_date.h"
#include "postern/schema.h"

namespace postern {
namespace {

constexpr Duration kDisorder = 1min;       // by which records of a file may be out of order: workers write in turns
constexpr std::size_t kMostPlaces = 4096;  // asked of the index at once

/// Workers hand their records over in turns, so that a file is only nearly in order.
void newest_first(TrailFindings& found, std::size_t limit) {
  std::ranges::sort(found.records, [](const TrailRecord& a, const TrailRecord& b) {
    return a.when != b.when ? a.when > b.when : a.session > b.session;
  });
  if (found.records.size() > limit) found.records.resize(limit);
}

/// The newest records of one file that fit, at most `wanted`; false when the file is damaged.
bool scan(const std::string& bytes, const TrailQuery& query, std::size_t wanted, std::vector<TrailRecord>& out) {
  std::deque<TrailRecord> newest;  // oldest first
  bool whole = true;
  std::string_view rest = bytes;
  while (!rest.empty()) {
    auto record = TrailRecord::decode(rest);
    if (!record) {
      whole = false;
      break;
    }
    if (!fits(*record, query)) continue;
    newest.push_back(std::move(*record));
    if (newest.size() > wanted) newest.pop_front();
  }
  for (auto record = newest.rbegin(); record != newest.rend(); ++record) out.push_back(std::move(*record));
  return whole;
}

/// Reads single records of files, each file opened once.
class Places {
 public:
  Places(Env& env, const std::string& dir) : env_(env), dir_(dir) {}
  std::optional<TrailRecord> record(const TrailIndexReader::Place& place) {
    File* file = file_of(place.segment);
    if (!file) return std::nullopt;
    std::string bytes(kFirstRead, '\0');
    for (;;) {
      bytes.resize(file->read(bytes, place.offset).value_or(0));
      std::string_view rest = bytes;
      std::size_t size = 0;
      static_cast<void>(TrailRecord::client_of(rest, size));
      if (size == 0 && bytes.size() >= kFirstRead && bytes.size() < kMostRead) {
        bytes.resize(kMostRead);
        continue;
      }
      auto record = TrailRecord::decode(rest);
      return record ? std::optional(std::move(*record)) : std::nullopt;
    }
  }

 private:
  static constexpr std::size_t kFirstRead = 16 << 10;
  static constexpr std::size_t kMostRead = (1 << 20) + 64;
  File* file_of(const std::string& name) {
    auto known = files_.find(name);
    if (known == files_.end()) {
      auto opened = env_.open(dir_ + "/" + name, OpenMode::kRead);
      known = files_.emplace(name, opened ? std::move(*opened) : nullptr).first;
    }
    return known->second.get();
  }
  Env& env_;
  const std::string& dir_;
  std::map<std::string, std::unique_ptr<File>> files_;
};

/// Asks the index; false when it turns out to be damaged.
bool ask_index(Env& env, const std::string& dir, TrailIndexReader& index, const std::set<std::string>& trusted,
               const TrailQuery& query, std::vector<TrailRecord>& out) {
  Places places(env, dir);
  std::int64_t before = std::numeric_limits<std::int64_t>::max();
  std::size_t at_once = std::min(query.limit + 8, kMostPlaces);
  std::size_t found = 0;
  while (found < query.limit) {
    const auto page = index.find(query, before, at_once);
    if (!page) return false;
    for (const TrailIndexReader::Place& place : *page) {
      before = place.record;
      if (!trusted.contains(place.segment)) continue;
      auto record = places.record(place);
      if (!record || !fits(*record, query)) continue;
      out.push_back(std::move(*record));
      ++found;
    }
    if (page->size() < at_once) break;
    at_once = kMostPlaces;
  }
  return true;
}

/// A file that may have records within the query's times; `next`: the file after it, or nothing.
bool within_times(const std::string& name, const std::string* next, const TrailQuery& query) {
  if (query.until && trail_file_time(name) > *query.until + kDisorder) return false;
  return !(query.since && next && trail_file_time(*next) < *query.since - kDisorder);
}

}  // namespace

TrailFindings find_trails(Env& env, const std::string& dir, const TrailQuery& query) {
  TrailFindings out;
  const std::vector<std::string> names = trail_files(env, dir);
  auto index = terms_of(query).empty() ? nullptr : TrailIndexReader::open(dir);
  std::set<std::string> trusted;
  if (index) {
    for (const std::string& name : names) {
      const auto known = index->segments().find(name);
      if (known == index->segments().end()) continue;
      auto file = env.open(dir + "/" + name, OpenMode::kRead);
      if (file && (*file)->size().value_or(0) == known->second.size) trusted.insert(name);
    }
    if (!ask_index(env, dir, *index, trusted, query, out.records)) {
      trusted.clear();
      out.records.clear();
    }
  }
  std::size_t scanned = 0;
  for (std::size_t i = names.size(); i-- > 0 && scanned < query.limit;) {
    const std::string& name = names[i];
    if (trusted.contains(name) || !within_times(name, i + 1 < names.size() ? &names[i + 1] : nullptr, query)) continue;
    const std::size_t before = out.records.size();
    if (!scan(read_trail_file(env, dir + "/" + name), query, query.limit - scanned, out.records))
      out.damaged.push_back(name);
    ++out.scanned;
    scanned += out.records.size() - before;
  }
  newest_first(out, query.limit);
  return out;
}

std::optional<WallTime> parse_when(std::string_view text, WallTime now) {
  if (const auto ago = parse_duration(text))
    return *ago >= Duration{} ? std::optional(now - std::chrono::duration_cast<WallTime::duration>(*ago))
                              : std::nullopt;
  if (const auto when = parse_rfc3339(text)) return when;
  return parse_rfc3339(std::string(text) + "T00:00:00Z");
}

}  // namespace postern
