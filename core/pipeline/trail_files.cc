#include "core/pipeline/trail_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace postern {
namespace {

constexpr std::string_view kSuffix = ".trail";
constexpr std::size_t kDigits = 16;

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

int TrailFiles::write(std::string_view records, WallTime now) {
  // Also by time, so that what is old does not stay because something new is in its file.
  if (file_ && (size_ + records.size() > limits_.segment || now - trail_file_time(last_name_) > limits_.keep_for / 4))
    file_.reset();
  if (!file_)
    if (const int error = begin_file(now)) return error;
  const std::string_view parts[] = {records};
  const int error = file_->write(parts, size_);
  if (error) {
    file_.reset();  // a record may have been torn: nothing is written behind it
    return error;
  }
  size_ += records.size();
  return 0;
}

int TrailFiles::begin_file(WallTime now) {
  if (const int error = env_.make_dir(dir_)) return error;
  forget_old(now);
  std::string name = trail_file_name(now);
  // Two files within one microsecond, or a clock that went back: never write into an older file.
  while (name <= last_name_) name = trail_file_name(trail_file_time(last_name_) + WallTime::duration(1));
  auto file = env_.open(dir_ + "/" + name, OpenMode::kCreate);
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  file_ = std::move(*file);
  size_ = *size;
  last_name_ = std::move(name);
  return 0;
}

void TrailFiles::forget_old(WallTime now) {
  const std::vector<std::string> names = trail_files(env_, dir_);
  std::uint64_t total = limits_.segment;  // room for the file that begins
  std::size_t keep_from = names.size();
  while (keep_from > 0) {
    total += size_of(env_, dir_ + "/" + names[keep_from - 1]);
    // All records of a file are older than the first of the next one.
    const WallTime newest = keep_from < names.size() ? trail_file_time(names[keep_from]) : now;
    if (total > limits_.keep_bytes || now - newest > limits_.keep_for) break;
    --keep_from;
  }
  for (std::size_t i = 0; i < keep_from; ++i) env_.unlink(dir_ + "/" + names[i]);
}

}  // namespace postern
