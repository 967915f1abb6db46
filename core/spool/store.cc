#include "core/spool/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace postern::spool {

namespace {
constexpr std::size_t kZeroStep = 1 << 20;
}

Store::Store(SpoolSettings the_settings, Env& the_env, Report the_report)
    : settings(std::move(the_settings)),
      env(the_env),
      segment_dir(settings.dir + "/segments"),
      damaged_dir(settings.dir + "/damaged"),
      tell(std::move(the_report)),
      bodies(env, settings.dir + "/bodies", settings.max_blank_body_bytes, settings.min_free, settings.hot_bodies) {}

IoResult<SegmentPtr> Store::make_segment() {
  auto free = env.free_bytes(segment_dir);
  if (free && *free < settings.segment_size + settings.min_free) return std::unexpected(ENOSPC);
  auto segment = std::make_shared<Segment>();
  {
    std::scoped_lock lock(mutex);
    segment->number = ++last_number;
  }
  segment->size = settings.segment_size;
  std::string path = segment_dir + "/" + segment_name(segment->number);
  auto file = env.open(path, OpenMode::kCreate);
  if (!file) return std::unexpected(file.error());
  segment->file = std::move(*file);
  std::string zeros(std::min<std::uint64_t>(kZeroStep, segment->size), '\0');
  int error = 0;
  for (std::uint64_t at = 0; at < segment->size && error == 0; at += zeros.size()) {
    std::string_view part = std::string_view(zeros).substr(0, segment->size - at);
    error = segment->file->write({&part, 1}, at);
    // In small portions: the journal's own syncs wait behind what is on its way to the disk.
    if (error == 0) error = segment->file->sync();
  }
  if (error == 0) error = env.sync_dir(segment_dir);
  if (error == 0) return segment;
  env.unlink(path);
  return std::unexpected(error);
}

void Store::remove_segment(const Segment& segment) {
  env.unlink(segment_dir + "/" + segment_name(segment.number));
}

std::uint64_t Store::reserve() const {
  std::uint64_t waiting = index.waiting();
  return waiting * kRoomPerRecipient + std::min(waiting, kLoneBatches) * kRoomPerBatch + settings.segment_size / 16;
}

std::size_t Store::spares_wanted() const {
  return 1 + reserve() / settings.segment_size;
}

void Store::latch(std::string why) {
  {
    std::scoped_lock lock(mutex);
    if (latched.exchange(true)) return;
    counters.latched = why;
  }
  report(SpoolReport::Kind::kLatched, std::move(why));
}

void Store::report(SpoolReport::Kind kind, std::string detail, MessageId id) const {
  if (tell) tell({.kind = kind, .id = id, .detail = std::move(detail)});
}

void Store::set_aside(const std::string& name, std::string_view octets) const {
  env.make_dir(damaged_dir);
  auto file = env.open(damaged_dir + "/" + name, OpenMode::kCreate);
  if (!file) return;
  (*file)->write({&octets, 1}, 0);
  (*file)->sync();
}

Fault disk_fault(Store& store, int error, std::string_view what) {
  std::string detail = fmt::format("{}: {}", what, std::generic_category().message(error));
  if (error == ENOSPC || error == EDQUOT) return {"spool.full", std::move(detail)};
  store.latch(detail);
  return {"spool.latched", std::move(detail)};
}

}  // namespace postern::spool
