#include "store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "line_ends.h"
#include "mailbox.h"
#include "postern/spool.h"
#include "postern/sync.h"
#include "sweep.h"

namespace postern::maildir {

namespace {

constexpr std::size_t kMaxHost = 24;  // octets of the host's name in a file's
constexpr std::string_view kTokens = "/.tokens";

/// Writes a message's file, at once or piece by piece; the batch's sync ends it.
class WriteWork final : public DiskWork {
 public:
  WriteWork(const std::string& root, const Place& place, SyncMode sync) : root_(root), place_(place), sync_(sync) {}
  void work() noexcept override {
    write_some();
    if (error != 0) return;
    dirs = {root_ + '/' + place_.dir + "/tmp"};
    if (!token_file.empty()) dirs.push_back(root_ + std::string(kTokens));
  }
  void write_some() noexcept {
    if (error == 0 && !file) open_file();
    if (error == 0) error = write_all(file.get(), text);
    if (error == 0 && !token_file.empty()) error = replace_small(token_file, token, true);
    text.clear();
  }
  void remove() noexcept {
    file.close();
    ::unlink((root_ + '/' + place_.tmp()).c_str());
  }

  std::string text;
  std::string token_file;
  std::string token;

 private:
  void open_file() noexcept {
    const std::string path = root_ + '/' + place_.tmp();
    for (int tries = 0; tries < 2; ++tries) {
      file = Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (file) return;
      error = errno;
      if (error == ENOENT && tries == 0) error = make_maildir(root_, place_.dir, sync_ == SyncMode::kFile);
      if (error != 0) return;
    }
  }
  const std::string& root_;
  const Place& place_;
  SyncMode sync_;
};

class PublishWork final : public DiskWork {
 public:
  PublishWork(const std::string& root, const Place& place, SyncMode sync) : root_(root), place_(place), sync_(sync) {}
  void work() noexcept override {
    const std::string from = root_ + '/' + place_.tmp();
    const std::string to = root_ + '/' + place_.target();
    error = rename(from, to);
    if (error == ENOENT && exists(from))
      error = make_maildir(root_, place_.dir, sync_ == SyncMode::kFile) != 0 ? errno : rename(from, to);
    if (error == ENOENT && exists(to)) error = 0;  // an earlier try got as far as this
    if (error == 0) dirs = {root_ + '/' + place_.dir + "/tmp", to.substr(0, to.rfind('/'))};
  }

 private:
  static int rename(const std::string& from, const std::string& to) {
    return std::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  }
  const std::string& root_;
  const Place& place_;
  SyncMode sync_;
};

class LookWork final : public DiskWork {
 public:
  LookWork(const std::string& root, const Place& place) : root_(root), place_(place) {}
  void work() noexcept override {
    const std::string dir = root_ + '/' + place_.dir;
    if (::access((root_ + '/' + place_.tmp()).c_str(), F_OK) == 0) {
      staged = true;
      return;
    }
    if (errno != ENOENT) {
      error = errno;
      return;
    }
    for (const char* part : {"/tmp", "/new", "/cur"})  // its absence must outlive a power cut before `done` may
      if (exists(dir + part)) dirs.push_back(dir + part);
  }
  bool staged = false;

 private:
  const std::string& root_;
  const Place& place_;
};

std::string long_token_file(const std::string& root, std::string_view name) {
  return fmt::format("{}{}/{}", root, kTokens, name);
}

}  // namespace

MaildirStore::MaildirStore(unsigned workers, StoreOptions options) : options_(std::move(options)), batches_(workers) {
  options_.host = safe_component(options_.host).substr(0, kMaxHost);
}
MaildirStore::~MaildirStore() = default;

Result<void> MaildirStore::start(Executor& worker) {
  std::error_code error;
  std::filesystem::create_directories(options_.root + std::string(kTokens), error);
  batches_[worker.index()] = std::make_unique<Batch>(worker, options_.sync, options_.root);
  if (error) return fault("store.io", fmt::format("{}: {}", options_.root, error.message()));
  return {};
}

Result<Place> MaildirStore::place_of(const DeliveryRequest& request) const {
  auto account = account_path(request.account);
  if (!account) return std::unexpected(account.error());
  auto folder = folder_path(request.folder);
  if (!folder) return std::unexpected(folder.error());
  Place place;
  place.dir = folder->empty() ? std::move(*account) : *account + '/' + *folder;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(request.received).time_since_epoch().count();
  place.base = fmt::format("{}.{}.{}", seconds, safe_component(request.unique), options_.host);
  return place;
}

Task<Result<std::string>> MaildirStore::stage(DeliveryRequest request, MessageReader& message) {
  Executor& executor = co_await this_executor();
  auto place = place_of(request);
  if (!place) co_return std::unexpected(place.error());
  Batch& mine = batch(executor);
  const std::size_t whole = request.prefix.size() + (request.header ? request.header->size() : 0) + message.info().size;
  const bool buffered = whole <= kBuffered && mine.reserve(whole);

  WriteWork work(options_.root, *place, options_.sync);
  ToFile ends;
  std::optional<Fault> failed;
  if (buffered) work.text.reserve(whole);
  ends.feed(request.prefix, work.text);
  if (request.header) {
    ends.feed(message.prefix(), work.text);
    ends.feed(*request.header, work.text);
    message.rewind_to_body();
  } else {
    message.rewind();
  }
  while (!failed) {
    auto piece = co_await message.next();
    if (!piece) failed = piece.error();
    if (!piece || piece->empty()) break;
    ends.feed(*piece, work.text);
    if (buffered || work.text.size() < kPiece) continue;
    co_await run_blocking(Pool::kDisk, [&work] { work.write_some(); });
    if (work.error != 0) break;
  }
  if (!failed && work.error == 0) {
    ends.finish(work.text);
    const std::string letters = flag_letters(request.flags);
    place->name = fmt::format("{},S={},W={}{}{}", place->base, ends.size(), ends.wire_size(),
                              letters.empty() ? "" : ":2,", letters);
    work.token = place->token();
    if (work.token.size() > kNoteLimit) {
      const std::string name = unique_id(place->dir + place->base + '\n');  // the line end makes it a hash
      work.token_file = long_token_file(options_.root, name);
    }
    co_await mine.run(work);
  }
  if (buffered) mine.release(whole);
  if (failed || work.error != 0) {
    co_await run_blocking(Pool::kDisk, [&work] { work.remove(); });
    if (failed) co_return std::unexpected(std::move(*failed));
    co_return std::unexpected(disk_fault(work.error, place->tmp()));
  }
  co_return work.token_file.empty() ? std::move(work.token)
                                    : '@' + work.token_file.substr(work.token_file.rfind('/') + 1);
}

Task<Result<Place>> MaildirStore::resolve(std::string token) {
  if (!token.starts_with('@')) co_return Place::parse(token);
  const std::string file = long_token_file(options_.root, safe_component(std::string_view(token).substr(1)));
  constexpr std::size_t kMaxToken = 4096;
  auto text = co_await run_blocking(Pool::kDisk, [&file] { return read_small(file, kMaxToken); });
  if (!text) co_return fault("store.gone", "the long token is not there: " + token);
  co_return Place::parse(*text);
}

Task<Result<void>> MaildirStore::publish(std::string token) {
  auto place = token.starts_with('@') ? co_await resolve(token) : Place::parse(token);
  if (!place) co_return std::unexpected(place.error());
  PublishWork work(options_.root, *place, options_.sync);
  co_await batch(co_await this_executor()).run(work);
  if (work.error == ENOENT) co_return fault("store.gone", place->tmp());
  if (work.error != 0) co_return std::unexpected(disk_fault(work.error, place->target()));
  co_return Result<void>();
}

Task<Result<bool>> MaildirStore::is_staged(std::string token) {
  auto place = co_await resolve(token);
  if (!place) co_return std::unexpected(place.error());
  LookWork work(options_.root, *place);
  co_await batch(co_await this_executor()).run(work);
  if (work.error != 0) co_return std::unexpected(disk_fault(work.error, place->tmp()));
  co_return work.staged;
}

Task<void> MaildirStore::discard(std::string token) {
  auto place = co_await resolve(token);
  if (!place) co_return;
  const std::string path = options_.root + '/' + place->tmp();
  co_await run_blocking(Pool::kDisk, [&path] { ::unlink(path.c_str()); });
}

Task<std::size_t> MaildirStore::sweep(WallTime before) {
  auto domains = co_await run_blocking(Pool::kDisk, [this] { return sub_folders(options_.root); });
  std::size_t removed = 0;
  for (const std::string& domain : domains)  // a job each, so that others get their turn on the disk's threads
    removed += co_await run_blocking(
        Pool::kDisk, [this, &domain, before] { return sweep_domain(options_.root + '/' + domain, before); });
  removed += co_await run_blocking(Pool::kDisk, [this, before] {
    return sweep_folder(options_.root + std::string(kTokens),
                        before - std::chrono::duration_cast<WallTime::duration>(kTokenGrace));
  });
  co_return removed;
}

Task<Result<std::unique_ptr<Mailbox>>> MaildirStore::open(std::string account, std::string folder) {
  auto path = account_path(account);
  if (!path) co_return std::unexpected(path.error());
  auto sub = folder_path(folder);
  if (!sub) co_return std::unexpected(sub.error());
  const std::string dir = sub->empty() ? std::move(*path) : *path + '/' + *sub;
  Batch& mine = batch(co_await this_executor());
  auto loaded = co_await run_blocking(Pool::kDisk, [this, &dir] { return load_snapshot(options_.root, dir); });
  if (!loaded) co_return std::unexpected(loaded.error());
  co_return std::make_unique<MaildirMailbox>(mine, options_.root + '/' + dir, std::move(*loaded));
}

}  // namespace postern::maildir
