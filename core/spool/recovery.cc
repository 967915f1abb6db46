#include "core/spool/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <system_error>

#include "core/spool/footer.h"
#include "core/spool/scan.h"

namespace postern::spool {

namespace {

constexpr std::uint64_t kMaxSegment = 1ULL << 30;

std::unexpected<Fault> cannot(std::string_view what, int error) {
  return fault("spool.open", fmt::format("{}: {}", what, std::generic_category().message(error)));
}

struct Found {
  SegmentPtr segment;
  SegmentHeader header;
};

class Recovery {
 public:
  explicit Recovery(Store& store) : store_(store) {}

  Result<Recovered> run() {
    if (auto ok = find_segments(); !ok) return std::unexpected(ok.error());
    replay_all();
    drop_free_segments();
    if (auto ok = find_bodies(); !ok) return std::unexpected(ok.error());
    if (auto ok = sync_all(); !ok) return std::unexpected(ok.error());
    return recovered_;
  }

 private:
  void note(SpoolReport::Kind kind, std::string detail, MessageId id = {}) {
    store_.report(kind, std::move(detail), id);
  }
  Result<void> find_segments();
  Result<void> look_at(const std::string& name, std::uint32_t number);
  void put_away(const std::string& name, std::string_view why);
  void spare(SegmentPtr segment);
  void replay_all();
  void learn_what_is_free(const Found& newest);
  static std::string octets_of_segment(Segment& segment);
  void replay(const Found& found, std::uint64_t expected_last, bool is_last);
  bool replay_footer(const Found& found, std::uint64_t expected_last);
  void replay_records(const Found& found, std::uint64_t expected_last, bool is_last);
  void damage(Segment& segment, Scanner& scanner, std::string_view octets, std::uint64_t begin, std::uint64_t end);
  void apply(Segment& segment, const RecordHeader& header, std::uint64_t offset, std::string_view payload);
  void end_of(const BatchEnd& end);
  void drop_free_segments();
  Result<void> find_bodies();
  void check_body(std::uint64_t id, std::uint32_t number, const std::set<std::uint32_t>& present);
  Result<void> sync_all();

  Store& store_;
  std::vector<Found> found_;
  Recovered recovered_;
  std::uint64_t first_sequence_ = 0;
  std::string newest_octets_;                      ///< of the newest segment, read once
  std::map<std::uint64_t, AcceptHead> body_refs_;  ///< by message id
};

/// Moves a file that cannot be used to damaged/, where a person can look at it.
void Recovery::put_away(const std::string& name, std::string_view why) {
  store_.env.make_dir(store_.damaged_dir);
  store_.env.rename(store_.segment_dir + "/" + name, store_.damaged_dir + "/" + name);
  note(SpoolReport::Kind::kDamage, fmt::format("{}: {}; it was moved to damaged/", name, why));
}

void Recovery::spare(SegmentPtr segment) {
  if (segment->size == store_.settings.segment_size)
    store_.spares.push_back(std::move(segment));
  else
    store_.remove_segment(*segment);
}

Result<void> Recovery::find_segments() {
  auto names = store_.env.list(store_.segment_dir);
  if (!names) return cannot(store_.segment_dir, names.error());
  for (const std::string& name : *names) {
    std::uint32_t number = number_in(name, ".seg");
    if (number == 0) continue;
    store_.last_number = std::max(store_.last_number, number);
    if (auto ok = look_at(name, number); !ok) return ok;
  }
  std::ranges::sort(found_, {}, [](const Found& found) { return found.header.sequence; });
  return {};
}

Result<void> Recovery::look_at(const std::string& name, std::uint32_t number) {
  auto file = store_.env.open(store_.segment_dir + "/" + name, OpenMode::kUpdate);
  if (!file) return cannot(name, file.error());
  auto size = (*file)->size();
  if (!size) return cannot(name, size.error());
  std::array<char, sizeof(SegmentHeader)> octets{};
  auto got = (*file)->read(octets, 0);
  if (!got) return cannot(name, got.error());
  SegmentHeader header = *take<SegmentHeader>({octets.data(), octets.size()});
  auto segment = std::make_shared<Segment>();
  segment->number = number;
  segment->file = std::move(*file);
  segment->used = kHeaderRoom;
  if (std::ranges::all_of(octets, [](char c) { return c == 0; })) {  // made, never written; perhaps not to its end
    segment->size = *size;
    spare(std::move(segment));
    return {};
  }
  if (header.magic == kSegmentMagic && header.version != kFormatVersion && header.version != 0)
    return fault("spool.version",
                 fmt::format("{} has format {}, this program knows {}", name, header.version, kFormatVersion));
  if (!intact(header) || header.size > *size || header.size < kHeaderRoom || header.size > kMaxSegment ||
      header.sequence == 0 ||
      std::ranges::any_of(found_, [&](const Found& other) { return other.header.sequence == header.sequence; })) {
    put_away(name, "its header is damaged");
    return {};
  }
  segment->size = header.size;
  segment->sequence = header.sequence;
  segment->stamp = header.stamp;
  found_.push_back({std::move(segment), header});
  return {};
}

void Recovery::replay_all() {
  if (found_.empty()) return;
  learn_what_is_free(found_.back());
  store_.last_sequence = found_.back().header.sequence;
  for (std::size_t i = 0; i < found_.size(); ++i) {
    Found& found = found_[i];
    store_.id_floor = std::max(store_.id_floor.load(), found.header.last_id);
    if (found.header.sequence < first_sequence_) {
      spare(std::move(found.segment));
      continue;
    }
    bool is_last = i + 1 == found_.size();
    if (store_.log.empty()) recovered_.previous_batch = found.header.previous_batch;
    store_.log.push_back(found.segment);
    // Only the next of the log proves what the end of this one was; free ones may lie between that are in use again.
    bool has_next = !is_last && found_[i + 1].header.sequence == found.header.sequence + 1;
    replay(found, has_next ? found_[i + 1].header.previous_batch : 0, is_last);
    recovered_.last_batch = std::max(recovered_.last_batch, recovered_.previous_batch);
  }
}

/// A header repeats what was known to be free when it was written, and the batches behind it know more. Nothing that is
/// free need be read, and must not be judged: the power may have gone while it was written anew.
void Recovery::learn_what_is_free(const Found& newest) {
  first_sequence_ = newest.header.first_sequence;
  newest_octets_ = octets_of_segment(*newest.segment);
  Scanner scanner(newest_octets_, newest.segment->stamp);
  std::uint64_t done = newest.header.previous_batch;
  std::uint64_t at = kHeaderRoom;
  while (auto batch = scanner.next_batch(at, done)) {
    first_sequence_ = std::max(first_sequence_, batch->last.first_sequence);
    done = batch->number;
    at = batch->end;
  }
}

std::string Recovery::octets_of_segment(Segment& segment) {
  std::string octets(segment.size, '\0');
  auto got = segment.file->read(octets, 0);
  octets.resize(got ? *got : 0);
  return octets;
}

void Recovery::replay(const Found& found, std::uint64_t expected_last, bool is_last) {
  if (is_last || !replay_footer(found, expected_last)) replay_records(found, expected_last, is_last);
}

/// A crash may leave a footer that was written before its segment, found last, went on to be filled: the next header
/// knows of later batches than such a footer does, and the records themselves are read instead.
bool Recovery::replay_footer(const Found& found, std::uint64_t expected_last) {
  auto footer = read_footer(*found.segment->file, found.header);
  if (!footer || expected_last > footer->header.last_batch) return false;
  bool sound = for_each_entry(*footer, [](const FooterEntry&, std::string_view) {});
  if (!sound) return false;
  for_each_entry(*footer, [&](const FooterEntry& entry, std::string_view extra) {
    if (intact(entry.header) && entry.offset + record_size(entry.header.length) <= footer->header.end)
      apply(*found.segment, entry.header, entry.offset, extra);
  });
  found.segment->used = footer->header.end;
  recovered_.previous_batch = std::max(recovered_.previous_batch, footer->header.last_batch);
  end_of(footer->header.last_end);
  return true;
}

void Recovery::end_of(const BatchEnd& end) {
  first_sequence_ = std::max(first_sequence_, end.first_sequence);
  store_.id_floor = std::max(store_.id_floor.load(), end.last_id);
}

void Recovery::replay_records(const Found& found, std::uint64_t expected_last, bool is_last) {
  Segment& segment = *found.segment;
  const std::string octets = is_last ? std::move(newest_octets_) : octets_of_segment(segment);
  Scanner scanner(octets, segment.stamp);
  std::uint64_t& done = recovered_.previous_batch;
  std::uint64_t at = kHeaderRoom;
  while (auto batch = scanner.next_batch(at, done)) {
    if (batch->begin != at) damage(segment, scanner, octets, at, batch->begin);
    for (const ScannedRecord& record : batch->records)
      apply(segment, record.header, record.offset, scanner.payload(record));
    end_of(batch->last);
    done = batch->number;
    at = batch->end;
  }
  segment.used = at;
  std::uint64_t remnant = scanner.greatest_batch(at);
  recovered_.last_batch = std::max(recovered_.last_batch, remnant);
  if (!is_last && expected_last > done) {  // a later segment proves that there was more here
    damage(segment, scanner, octets, at, octets.size());
    done = expected_last;
  } else if (is_last && remnant > done) {
    note(SpoolReport::Kind::kTornTail,
         fmt::format("segment {}: an unfinished batch at {} was cut; nothing in it had been promised", segment.number,
                     at));
  }
}

/// Octets that had been synced and are not what they were.
void Recovery::damage(Segment& segment, Scanner& scanner, std::string_view octets, std::uint64_t begin,
                      std::uint64_t end) {
  auto records = scanner.records_between(begin, end, recovered_.previous_batch);
  std::string name = fmt::format("{:08}-{}.octets", segment.sequence, begin);
  store_.set_aside(name, octets.substr(begin, end - begin));
  note(
      SpoolReport::Kind::kDamage,
      fmt::format("segment {}: octets {} to {} are damaged; {} whole records among them are used; copied to damaged/{}",
                  segment.number, begin, end, records.size(), name));
  for (const ScannedRecord& record : records) apply(segment, record.header, record.offset, scanner.payload(record));
}

void Recovery::apply(Segment& segment, const RecordHeader& header, std::uint64_t offset, std::string_view payload) {
  if (!is_accept(header.type)) {
    store_.index.change(header, payload);
    return;
  }
  auto head = accept_head(header, payload);
  if (!head || header.id == 0) return;
  store_.id_floor = std::max(store_.id_floor.load(), header.id);
  store_.index.accept(header.id, *head, segment, offset, record_size(header.length),
                      payload.substr(std::min(sizeof(AcceptHead), payload.size()), head->envelope));
  if (head->body_file != 0) body_refs_[header.id] = *head;
}

/// The last batch says where the log begins; what lies before it had been freed when the power went.
void Recovery::drop_free_segments() {
  std::vector<std::uint64_t> free_ids;
  for (const auto& [id, entry] : store_.index.entries())
    if (entry.segment->sequence < first_sequence_) free_ids.push_back(id);
  for (std::uint64_t id : free_ids) store_.index.forget(id);
  while (store_.log.size() > 1 && store_.log.front()->sequence < first_sequence_) {
    spare(std::move(store_.log.front()));
    store_.log.pop_front();
  }
  for (std::size_t i = 1; i < store_.log.size(); ++i)
    if (store_.log[i]->sequence != store_.log[i - 1]->sequence + 1)
      note(SpoolReport::Kind::kDamage, fmt::format("segments between {} and {} of the log are missing",
                                                   store_.log[i - 1]->sequence, store_.log[i]->sequence));
}

Result<void> Recovery::find_bodies() {
  std::string dir = store_.settings.dir + "/bodies";
  auto names = store_.env.list(dir);
  if (!names) return cannot(dir, names.error());
  std::set<std::uint32_t> used, present;
  for (const auto& [id, entry] : store_.index.entries())
    if (entry.body_file != 0) used.insert(entry.body_file);
  for (const std::string& name : *names) {
    std::uint32_t number = number_in(name, ".body");
    if (number == 0) continue;
    auto file = store_.env.open(dir + "/" + name, OpenMode::kRead);
    auto size = file ? (*file)->size() : std::unexpected(file.error());
    if (!size) return cannot(name, size.error());
    present.insert(number);
    store_.bodies.found(number, *size, used.contains(number));
  }
  for (const auto& [id, entry] : store_.index.entries())
    if (entry.body_file != 0) check_body(id, entry.body_file, present);
  return {};
}

void Recovery::check_body(std::uint64_t id, std::uint32_t number, const std::set<std::uint32_t>& present) {
  const AcceptHead& head = body_refs_[id];
  bool good = present.contains(number);
  if (good) {
    auto file = store_.bodies.open(number);
    std::array<char, sizeof(BodyHeader)> octets{};
    auto size = file ? (*file)->size() : std::unexpected(file.error());
    good = size && *size >= kHeaderRoom + head.body && (*file)->read(octets, 0);
    BodyHeader header = *take<BodyHeader>({octets.data(), octets.size()});
    good = good && intact(header) && header.stamp == head.body_stamp && header.number == number;
  }
  if (!good)
    note(SpoolReport::Kind::kMissingBody, fmt::format("body file {} is not what the log says", body_name(number)),
         MessageId(id));
}

/// What a crashed process wrote but did not sync is relied upon from now on, so it is synced first.
Result<void> Recovery::sync_all() {
  for (const SegmentPtr& segment : store_.log)
    if (int error = segment->file->sync()) return cannot(segment_name(segment->number), error);
  for (const SegmentPtr& segment : store_.spares)
    if (int error = segment->file->sync()) return cannot(segment_name(segment->number), error);
  if (int error = store_.env.sync_dir(store_.segment_dir)) return cannot(store_.segment_dir, error);
  if (int error = store_.bodies.sync_names()) return cannot("bodies", error);
  return {};
}

}  // namespace

Result<Recovered> recover(Store& store) {
  return Recovery(store).run();
}

}  // namespace postern::spool
