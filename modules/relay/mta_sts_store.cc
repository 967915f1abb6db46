#include "mta_sts_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::string_view kMagic = "postern mta-sts 1";
constexpr std::size_t kMaxFile = StsPolicy::kMaxOctets + 1024;
constexpr std::string_view kEnding = ".sts";

/// A domain as a file's name: nothing that leads elsewhere.
bool good_domain(const std::string& domain) {
  return !domain.empty() && domain.size() <= 240 && domain.front() != '.' &&
         std::ranges::all_of(domain, [](char c) { return is_ascii_alnum(c) || c == '-' || c == '.' || c == '_'; });
}

}  // namespace

std::string StsEntry::to_text() const {
  return fmt::format("{}\nid {}\nfetched {}\n\n{}", kMagic, id,
                     std::chrono::duration_cast<std::chrono::seconds>(fetched.time_since_epoch()).count(), body);
}

std::optional<StsEntry> StsEntry::parse(std::string_view text) {
  StsEntry entry;
  if (take_until(text, '\n') != kMagic) return std::nullopt;
  std::string_view id = take_until(text, '\n'), fetched = take_until(text, '\n');
  if (!id.starts_with("id ") || !fetched.starts_with("fetched ") || !take_until(text, '\n').empty())
    return std::nullopt;
  const auto seconds = to_number<std::int64_t>(fetched.substr(8), 0, 1LL << 40);
  auto policy = StsPolicy::parse(text);
  if (!seconds || !policy) return std::nullopt;
  entry.id = id.substr(3);
  entry.fetched = WallTime(std::chrono::seconds(*seconds));
  entry.body = text;
  entry.policy = std::move(*policy);
  return entry;
}

Result<void> StsStore::prepare() {
  if (const int error = env_.make_dir(folder_)) return fault("sts.folder", folder_ + ": " + std::strerror(error));
  return {};
}

std::optional<StsEntry> StsStore::read(const std::string& path) {
  auto file = env_.open(path, OpenMode::kRead);
  if (!file) return std::nullopt;
  const auto size = (*file)->size();
  if (!size || *size > kMaxFile) return std::nullopt;
  std::string text(*size, '\0');
  const auto got = (*file)->read(text, 0);
  if (!got) return std::nullopt;
  text.resize(*got);
  return StsEntry::parse(text);
}

std::optional<StsEntry> StsStore::load(const std::string& domain) {
  return good_domain(domain) ? read(path_of(domain)) : std::nullopt;
}

Result<void> StsStore::save(const std::string& domain, const StsEntry& entry) {
  if (!good_domain(domain)) return fault("sts.save", "\"" + domain + "\" cannot be a file's name");
  make_room();
  // Another worker may save the same domain at this moment.
  const std::string path = path_of(domain), draft = fmt::format("{}.{:016x}.tmp", path, env_.random());
  const std::string text = entry.to_text();
  const std::string_view parts[] = {text};
  int error = 0;
  {
    auto file = env_.open(draft, OpenMode::kCreate);
    error = file ? (*file)->write(parts, 0) : file.error();
    if (!error) error = (*file)->sync();
  }
  if (!error) error = env_.rename(draft, path);
  if (!error) error = env_.sync_dir(folder_);
  if (!error) return {};
  env_.unlink(draft);
  return fault("sts.save", path + ": " + std::strerror(error));
}

void StsStore::make_room() {
  auto names = env_.list(folder_);
  if (!names) return;
  // Drafts of a process that ended before it renamed them; one of ours that is taken away is fetched again.
  std::erase_if(*names, [this](const std::string& name) {
    if (!name.ends_with(".tmp")) return !name.ends_with(kEnding);
    if (env_.random() % 64 == 0) env_.unlink(folder_ + "/" + name);
    return true;
  });
  while (!names->empty() && names->size() >= max_files_) {
    std::size_t stalest = 0;
    WallTime least = WallTime::max();
    for (std::size_t i = 0; i < std::min(kSample, names->size()); ++i) {
      const std::size_t at = env_.random() % names->size();
      const auto entry = read(folder_ + "/" + (*names)[at]);
      const WallTime ends = entry ? entry->fetched + entry->policy.max_age : WallTime::min();
      if (ends >= least) continue;
      least = ends;
      stalest = at;
    }
    env_.unlink(folder_ + "/" + (*names)[stalest]);
    names->erase(names->begin() + static_cast<std::ptrdiff_t>(stalest));
  }
}

}  // namespace postern::relay
