#include "tls_report_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "postern/text.h"
#include "tls_report_json.h"

namespace postern::relay {

namespace {

constexpr std::size_t kDayText = 10;

}  // namespace

Result<void> TlsReportFiles::prepare() {
  if (const int error = env_.make_dir(folder_)) return fault("tlsrpt.folder", folder_ + ": " + std::strerror(error));
  remove_drafts(env_, folder_);
  return {};
}

std::string TlsReportFiles::read_text(const std::string& name) {
  return read_file(env_, folder_ + "/" + name, kMaxFile).value_or(std::string());
}

TlsReportDay TlsReportFiles::read_day(UtcDay day, const std::string& name) {
  return day_from_json(day, read_text(name));
}

TlsReportDay TlsReportFiles::read(UtcDay day, unsigned worker) {
  return read_day(day, fmt::format("{}.w{}.json", day_text(day), worker));
}

Result<void> TlsReportFiles::write(const TlsReportDay& day, unsigned worker) {
  const std::string name = fmt::format("{}.w{}.json", day_text(day.day), worker);
  if (const int error = replace_file(env_, folder_, name, day_to_json(day)))
    return fault("tlsrpt.write", folder_ + "/" + name + ": " + std::strerror(error));
  return {};
}

std::vector<std::string> TlsReportFiles::names_of(UtcDay day) {
  std::vector<std::string> out;
  const std::string prefix = day_text(day) + ".";
  if (auto names = env_.list(folder_))
    for (std::string& name : *names)
      if (name.starts_with(prefix)) out.push_back(std::move(name));
  return out;
}

std::vector<UtcDay> TlsReportFiles::days() {
  std::vector<UtcDay> out;
  auto names = env_.list(folder_);
  if (!names) return out;
  for (const std::string& name : *names)
    if (const auto day = parse_day(std::string_view(name).substr(0, kDayText)); day && name.size() > kDayText)
      if (out.empty() || out.back() != *day) out.push_back(*day);
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

TlsReportDay TlsReportFiles::merged(UtcDay day) {
  TlsReportDay all{.day = day, .domains = {}};
  for (const std::string& name : names_of(day))
    if (name.ends_with(".json")) all.merge(read_day(day, name));
  return all;
}

std::set<std::string> TlsReportFiles::sent(UtcDay day) {
  std::set<std::string> out;
  const std::string text = read_text(day_text(day) + ".sent");
  for (const std::string_view line : split(text, '\n'))
    if (!line.empty()) out.emplace(line);
  return out;
}

Result<void> TlsReportFiles::mark_sent(UtcDay day, const std::string& domain) {
  const std::string path = folder_ + "/" + day_text(day) + ".sent";
  auto file = env_.open(path, OpenMode::kCreate);
  const auto size = file ? (*file)->size() : IoResult<std::uint64_t>(0);
  if (!file || !size) return fault("tlsrpt.write", path + ": " + std::strerror(file ? size.error() : file.error()));
  const std::string_view parts[] = {domain, "\n"};
  int error = (*file)->write(parts, *size);
  if (!error) error = (*file)->sync();
  if (!error) error = env_.sync_dir(folder_);
  if (error) return fault("tlsrpt.write", path + ": " + std::strerror(error));
  return {};
}

void TlsReportFiles::remove(UtcDay day) {
  // The list of those who were told goes last: until then a crash tells nobody twice.
  const auto names = names_of(day);
  for (const bool last : {false, true})
    for (const std::string& name : names)
      if (name.ends_with(".sent") == last) env_.unlink(folder_ + "/" + name);
}

}  // namespace postern::relay
