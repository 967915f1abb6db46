// What all file layers share: the bases, and whole files that are replaced and read.
#include "postern/env.h"

#include <fmt/format.h>

#include <cerrno>

namespace postern {

namespace {

constexpr std::string_view kDraft = ".tmp";

int write_synced(Env& env, const std::string& path, std::string_view text) {
  auto file = env.open(path, OpenMode::kCreate);
  if (!file) return file.error();
  if (const int error = (*file)->write({&text, 1}, 0)) return error;
  return (*file)->sync();
}

}  // namespace

File::~File() = default;
FileLock::~FileLock() = default;
SharedMemory::~SharedMemory() = default;
Env::~Env() = default;

int replace_file(Env& env, const std::string& folder, const std::string& name, std::string_view text) {
  const std::string path = folder + "/" + name;
  // A name of its own: somebody else may replace the same file at this moment.
  const std::string draft = fmt::format("{}.{:016x}{}", path, env.random(), kDraft);
  int error = write_synced(env, draft, text);
  if (!error) error = env.rename(draft, path);
  if (error) {
    env.unlink(draft);
    return error;
  }
  return env.sync_dir(folder);
}

void remove_drafts(Env& env, const std::string& folder, std::string_view name) {
  const auto names = env.list(folder);
  if (!names) return;
  for (const std::string& one : *names) {
    const bool ours = name.empty() || (one.starts_with(name) && one.substr(name.size()).starts_with('.'));
    if (ours && one.ends_with(kDraft)) env.unlink(folder + "/" + one);
  }
}

IoResult<std::string> read_file(Env& env, const std::string& path, std::size_t limit) {
  auto file = env.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > limit) return std::unexpected(EFBIG);
  std::string text(*size, '\0');
  const auto got = (*file)->read(text, 0);
  if (!got) return std::unexpected(got.error());
  text.resize(*got);
  return text;
}

}  // namespace postern
