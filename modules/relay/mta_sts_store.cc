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
  remove_drafts(env_, folder_);
  return {};
}

std::optional<StsEntry> StsStore::read(const std::string& name) {
  const auto text = read_file(env_, folder_ + "/" + name, kMaxFile);
  return text ? StsEntry::parse(*text) : std::nullopt;
}

std::optional<StsEntry> StsStore::load(const std::string& domain) {
  return good_domain(domain) ? read(domain + std::string(kEnding)) : std::nullopt;
}

std::vector<std::string> StsStore::domains(std::size_t most) {
  std::vector<std::string> out;
  auto names = env_.list(folder_);
  if (!names) return out;
  for (std::string& name : *names) {
    if (out.size() >= most) break;
    if (!name.ends_with(kEnding)) continue;
    name.resize(name.size() - kEnding.size());
    if (good_domain(name)) out.push_back(std::move(name));
  }
  return out;
}

Result<void> StsStore::save(const std::string& domain, const StsEntry& entry) {
  if (!good_domain(domain)) return fault("sts.save", "\"" + domain + "\" cannot be a file's name");
  const std::string name = domain + std::string(kEnding);
  if (!env_.open(folder_ + "/" + name, OpenMode::kRead)) make_room();
  if (const int error = replace_file(env_, folder_, name, entry.to_text()))
    return fault("sts.save", folder_ + "/" + name + ": " + std::strerror(error));
  return {};
}

void StsStore::make_room() {
  auto names = env_.list(folder_);
  if (!names) return;
  std::erase_if(*names, [](const std::string& name) { return !name.ends_with(kEnding); });
  while (!names->empty() && names->size() >= max_files_) {
    std::size_t stalest = 0;
    WallTime least = WallTime::max();
    for (std::size_t i = 0; i < std::min(kSample, names->size()); ++i) {
      const std::size_t at = env_.random() % names->size();
      const auto entry = read((*names)[at]);
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
