#include "pickup.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "postern/mail_date.h"
#include "postern/nursery.h"
#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr mode_t kFolderMode = 03733;
constexpr std::string_view kDefaultState = "/var/lib/postern";          // core/loader/settings.h
constexpr std::string_view kDefaultFolder = "/var/spool/postern/drop";  // core/sendmail/settings.h
constexpr Duration kTmpAge = 24h;                                       // of files whose writer has died

int sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

void remove_if_old(const std::string& path, WallTime now) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return;
  const WallTime changed{std::chrono::seconds(info.st_mtime)};
  if (now - changed > kTmpAge) ::unlink(path.c_str());
}

/// Names of whole messages, oldest claims first; sweeps what writers left behind.
Result<std::vector<std::string>> list_folder(const std::string& folder, WallTime now, std::size_t limit) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return fault("pickup.folder", folder + ": " + std::strerror(errno));
  std::vector<std::string> out;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with("tmp.")) remove_if_old(folder + "/" + std::string(name), now);
    if ((name.starts_with("new.") || name.starts_with("claim.")) && out.size() < limit) out.emplace_back(name);
  }
  ::closedir(dir);
  std::ranges::sort(out);
  return out;
}

/// The last part of a name, which it keeps for its life.
std::string_view stem(std::string_view name) {
  return name.substr(name.rfind('.') + 1);
}

PlanStep bounce_step(std::uint32_t recipient, const Reply& reply, std::string_view rule) {
  PlanStep step;
  step.kind = PlanStep::Kind::kBounce;
  step.recipients.push_back(recipient);
  step.options = {{"code", std::to_string(reply.code)}, {"enhanced", reply.enhanced}, {"text", reply.text}};
  step.reason = rule;
  return step;
}

/// Tells of new files. Without inotify (or in a simulation) only the poll does.
class FolderWatch {
 public:
  FolderWatch(Executor& executor, const std::string& folder, Event& wake)
      : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (fd_ < 0 || ::inotify_add_watch(fd_, folder.c_str(), IN_MOVED_TO) < 0) return;
    try {
      watch_ = executor.watch(fd_, [this, &wake](bool, bool) {
        std::array<char, 4096> events;
        while (::read(fd_, events.data(), events.size()) > 0) {
        }
        wake.set();
      });
      watch_->update(true, false);
    } catch (const std::exception&) {
      watch_.reset();
    }
  }
  ~FolderWatch() {
    watch_.reset();
    if (fd_ >= 0) ::close(fd_);
  }
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

 private:
  int fd_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace

void describe(Schema<PickupSettings>& s) {
  s.table("pickup", "Mail that programs of this machine leave in a folder (postern-sendmail).");
  s.applies(Apply::kRestart);
  s.field("enabled", &PickupSettings::enabled, "Whether the folder is made and looked at.");
  s.field(
       "folder", &PickupSettings::folder,
       "The drop folder. Who may reach it may send as a local user. Empty: /var/spool/postern/drop, where "
       "postern-sendmail "
       "looks, if the state folder is /var/lib/postern; else drop in the state folder, which only root and the server "
       "reach.")
      .example("/var/spool/postern/drop");
  s.field("poll", &PickupSettings::poll, "How often it is looked at when the system tells of nothing.").range(1s, 1h);
  s.field("max_message_size", &PickupSettings::max_message_size, "Larger messages are set aside as bad.")
      .range(64_KiB, 10_GiB);
}

/// One file on its way.
struct Pickup::Job {
  explicit Job(DropFile the_file) : file(std::move(the_file)), session("pickup") {}
  std::string name;
  DropFile file;
  SessionState session;
  std::optional<Transaction> transaction;
  std::vector<std::pair<Recipient, Verdict>> refused;
  MessageId id;
};

struct Pickup::Round {
  std::vector<std::string> names;
  std::size_t next = 0;
  std::size_t taken = 0;
};

std::string Pickup::folder_for(const PickupSettings& settings, const std::string& state) {
  if (!settings.folder.empty()) return settings.folder.string();
  return state == kDefaultState ? std::string(kDefaultFolder) : state + "/drop";
}

Result<void> Pickup::make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return fault("pickup.folder", folder + ": " + std::strerror(errno));
  struct stat info{};
  if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return fault("pickup.folder", folder + " is no folder");
  if (info.st_uid != ::geteuid())
    return fault("pickup.folder", folder + " belongs to another user: what is dropped there could not be taken away");
  if ((info.st_mode & 07777) != kFolderMode && ::chmod(folder.c_str(), kFolderMode) != 0)
    return fault("pickup.folder", folder + ": " + std::strerror(errno));
  return {};
}

Task<void> Pickup::run() {
  Executor& executor = co_await this_executor();
  const Result<void> made = co_await run_blocking(Pool::kDisk, [this] { return make_folder(parts_.folder); });
  if (!made) {
    parts_.log.error("pickup.off", {{"code", made.error().code}, {"why", made.error().detail}});
    co_return;
  }
  const FolderWatch watch(executor, parts_.folder, wake_);
  while (true) {
    wake_.reset();
    co_await look();
    try {
      co_await wake_.wait(Deadline::after(parts_.settings.poll));
    } catch (const TimedOut&) {
    }
  }
}

Task<std::size_t> Pickup::look() {
  Executor& executor = co_await this_executor();
  const WallTime now = executor.wall();
  Round round;
  auto names = co_await run_blocking(Pool::kDisk, [this, now] { return list_folder(parts_.folder, now, kMaxListed); });
  if (!names) {
    parts_.log.error("pickup.folder", {{"why", names.error().detail}});
    co_return 0;
  }
  round.names = std::move(*names);
  skip_waiting(round.names, executor.now());
  if (round.names.empty()) co_return 0;
  Nursery nursery(executor, CancelToken((co_await this_context()).cancel));
  nursery.on_error = [this](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& caught) {
      parts_.log.error("pickup.error", {{"what", caught.what()}});
    }
  };
  for (std::size_t i = 0; i < std::min(kAtOnce, round.names.size()); ++i) nursery.spawn(lane(&round));
  co_await nursery.join();
  co_return round.taken;
}

Task<void> Pickup::lane(Round* round) {
  Executor& executor = co_await this_executor();
  while (round->next < round->names.size()) {
    const std::string name = std::move(round->names[round->next++]);
    const Done done = co_await take(name);
    note(name, done, executor.now());
    if (done == Done::kTaken) ++round->taken;
  }
}

/// Leaves those out whose time has not come, and forgets those that are not there any more.
void Pickup::skip_waiting(std::vector<std::string>& names, Instant now) {
  std::map<std::string, Wait, std::less<>> left;
  std::erase_if(names, [&](const std::string& name) {
    const auto found = waits_.find(stem(name));
    if (found == waits_.end()) return false;
    left.insert(*found);
    return found->second.until > now;
  });
  waits_ = std::move(left);
}

void Pickup::note(const std::string& name, Done done, Instant now) {
  const std::string key(stem(name));
  if (done != Done::kLater) {
    waits_.erase(key);
    return;
  }
  Wait& wait = waits_[key];
  wait.length = wait.length == Duration{} ? kFirstWait : std::min(2 * wait.length, kLongestWait);
  wait.until = now + wait.length;
}

/// What cannot be read is kept for an administrator.
Task<Pickup::Done> Pickup::give_up(std::string name, Fault why) {
  if (why.code == "drop.gone") co_return Done::kGone;
  parts_.log.error("pickup.bad", {{"file", name}, {"code", why.code}, {"why", why.detail}});
  if (why.code == "drop.io") co_return Done::kLater;
  co_await run_blocking(Pool::kDisk, [this, &name] {
    return ::rename(path_of(name).c_str(), path_of("bad." + std::string(stem(name))).c_str());
  });
  co_return Done::kGone;
}

/// Whether the file is a claim whose message is in the spool already.
Task<Result<bool>> Pickup::is_claimed(std::string name) {
  if (!name.starts_with("claim.")) co_return false;
  const auto id = MessageId::parse(std::string_view(name).substr(6, 13));
  if (!id) co_return false;
  Executor& executor = co_await this_executor();
  auto reader = co_await parts_.spool.open(executor, *id);
  if (reader || reader.error().code == "spool.damaged") co_return true;
  if (reader.error().code == "spool.gone") co_return false;
  co_return std::unexpected(reader.error());
}

Task<Pickup::Done> Pickup::take(std::string name) {
  Executor& executor = co_await this_executor();
  auto claimed = co_await is_claimed(name);
  if (!claimed) co_return Done::kLater;
  if (*claimed) {
    co_await run_blocking(Pool::kDisk, [this, &name] { return ::unlink(path_of(name).c_str()); });
    co_return Done::kGone;
  }
  auto file = co_await run_blocking(Pool::kDisk, [this, &name] { return DropFile::open(path_of(name)); });
  if (!file) co_return co_await give_up(std::move(name), file.error());
  auto job = std::make_unique<Job>(std::move(*file));
  job->name = std::move(name);
  auto head = co_await run_blocking(Pool::kDisk, [&job] { return job->file.read(0, kMaxDropHeader); });
  if (!head) co_return co_await give_up(job->name, head.error());
  const std::string domain = parts_.directory ? parts_.directory->default_domain() : std::string();
  auto envelope = parse_drop(*head, domain.empty() ? parts_.hostname : domain);
  if (!envelope) co_return co_await give_up(job->name, envelope.error());
  const std::uint64_t size = job->file.size() - std::min<std::uint64_t>(job->file.size(), envelope->length);
  if (size > parts_.settings.max_message_size.bytes)
    co_return co_await give_up(job->name, {"drop.too_large", fmt::format("{} octets", size)});
  head = std::string();

  job->session.client.role = SessionRole::kLocal;
  job->session.client.ip = job->session.client.local_ip = IpAddress::v4(0x7F000001);
  job->session.client.listener = "pickup";
  job->session.client.ehlo = parts_.hostname;
  job->session.client.auth_user = "unix:" + job->file.owner_name();
  job->session.client.auth_mechanism = "OWNER";
  job->session.executor = &executor;
  Draft draft = parts_.spool.begin(executor, size);
  job->id = draft.id();
  job->session.id = "pickup-" + job->id.to_string();
  job->transaction.emplace(job->session);
  Transaction& transaction = *job->transaction;
  std::vector<Recipient> wanted = std::exchange(envelope->envelope.recipients, {});
  transaction.envelope = std::move(envelope->envelope);
  if (!co_await ask_for_recipients(*job, std::move(wanted))) co_return Done::kLater;
  if (auto read = co_await read_message(*job, draft, envelope->length); !read) {
    if (read.error().code.starts_with("drop.")) co_return co_await give_up(job->name, read.error());
    parts_.log.warn("pickup.later", {{"file", job->name}, {"code", read.error().code}});
    co_return Done::kLater;
  }
  co_return co_await submit(*job, std::move(draft));
}

/// As much as the file had when it was opened: a writer who goes on could go on for ever.
Task<Result<void>> Pickup::read_message(Job& job, Draft& draft, std::uint64_t offset) {
  LineMender mender;
  std::string mended;
  while (true) {
    const std::size_t wanted = std::min<std::uint64_t>(kDropChunk, job.file.size() - std::min(offset, job.file.size()));
    auto piece = co_await run_blocking(Pool::kDisk, [&job, offset, wanted] { return job.file.read(offset, wanted); });
    if (!piece) co_return std::unexpected(piece.error());
    offset += piece->size();
    mended.clear();
    if (piece->empty())
      mender.finish(mended);
    else
      mender.feed(*piece, mended);
    if (!mended.empty())
      if (auto ok = co_await draft.append(mended); !ok) co_return ok;
    if (piece->empty()) break;
  }
  if (mender.nul()) co_return fault("drop.syntax", "the message has a NUL octet in it");
  co_return Result<void>();
}

/// False: later. Recipients that are refused for good are put aside; of them the sender gets a report.
Task<bool> Pickup::ask_for_recipients(Job& job, std::vector<Recipient> wanted) {
  Transaction& transaction = *job.transaction;
  const Verdict sender = co_await parts_.policy.mail(transaction);
  if (sender.kind == Verdict::Kind::kDefer) co_return false;
  for (Recipient& one : wanted) {
    Verdict verdict = sender;
    if (!sender.refuses()) verdict = co_await parts_.policy.rcpt(transaction, one);
    if (!verdict.refuses()) continue;
    if (verdict.reply.temporary()) {
      parts_.log.info("pickup.later",
                      {{"file", job.name}, {"rcpt", one.address.to_string()}, {"reply", verdict.reply.text}});
      co_return false;
    }
    if (job.refused.size() < kMaxRejections)
      parts_.log.info("pickup.refused", {{"id", job.id.to_string()},
                                         {"user", job.file.owner_name()},
                                         {"rcpt", one.address.to_string()},
                                         {"reply", verdict.reply.text}});
    job.refused.emplace_back(std::move(one), std::move(verdict));
  }
  co_return true;
}

void Pickup::trace(const Job& job, Draft& draft) const {
  std::string received = fmt::format("Received: by {} (Postern, from userid {})\r\n\tid {};\r\n\t", parts_.hostname,
                                     job.file.owner(), draft.id().to_string());
  append_mail_date(received, job.session.executor->wall());
  draft.prepend(received + "\r\n");
}

/// The plan with a bounce for each who was refused, at RCPT or by "root": nobody is there to be told otherwise.
Decision Pickup::with_refusals(Job& job, Decision decision) const {
  Envelope& envelope = job.transaction->envelope;
  if (decision.refuses_all()) {
    decision.plan.steps.clear();
    for (std::uint32_t i = 0; i < decision.outcomes.size(); ++i)
      decision.plan.steps.push_back(bounce_step(i, decision.outcomes[i].reply, decision.outcomes[i].rule));
  }
  for (auto& [recipient, verdict] : job.refused) {
    const auto number = static_cast<std::uint32_t>(envelope.recipients.size());
    envelope.recipients.push_back(std::move(recipient));
    decision.plan.steps.push_back(bounce_step(number, verdict.reply, verdict.rule));
  }
  decision.outcomes.assign(envelope.recipients.size(), {Reply{250, "2.0.0", "taken"}, {}});
  return decision;
}

Task<Result<void>> Pickup::claim(Job& job) {
  const std::string name = fmt::format("claim.{}.{}", job.id.to_string(), stem(job.name));
  const int error = co_await run_blocking(Pool::kDisk, [this, &job, &name] {
    if (::rename(path_of(job.name).c_str(), path_of(name).c_str()) != 0) return errno;
    return sync_folder(parts_.folder);
  });
  if (error) co_return fault("drop.io", fmt::format("{}: {}", job.name, std::strerror(error)));
  job.name = name;
  co_return Result<void>();
}

Task<Pickup::Done> Pickup::submit(Job& job, Draft draft) {
  Transaction& transaction = *job.transaction;
  trace(job, draft);
  transaction.draft = &draft;
  transaction.size = draft.size();
  Decision decision;
  if (!transaction.envelope.recipients.empty()) {
    for (const HeaderField& field : HeaderBlock(draft.header()))
      if (field.is("received")) ++transaction.received_count;
    decision = co_await parts_.policy.message(transaction);
    if (decision.refuses_all() && decision.reply().temporary()) {
      parts_.log.info("pickup.later", {{"file", job.name}, {"reply", decision.reply().text}});
      co_return Done::kLater;
    }
  }
  decision = with_refusals(job, std::move(decision));
  transaction.draft = nullptr;
  if (auto claimed = co_await claim(job); !claimed) {
    parts_.log.error("pickup.claim", {{"file", job.name}, {"why", claimed.error().detail}});
    co_return Done::kLater;
  }
  auto id = co_await parts_.policy.commit(transaction, std::move(draft), decision);
  if (!id) {
    parts_.log.warn("pickup.later", {{"file", job.name}, {"code", id.error().code}});
    co_return Done::kLater;
  }
  parts_.log.info("pickup.accepted", {{"id", id->to_string()},
                                      {"user", job.file.owner_name()},
                                      {"from", transaction.envelope.sender.to_string()},
                                      {"rcpts", transaction.envelope.recipients.size()},
                                      {"size", transaction.size}});
  // Durable before long: a claim that came back after its message has left would be taken again.
  co_await run_blocking(Pool::kDisk, [this, &job] {
    ::unlink(path_of(job.name).c_str());
    return sync_folder(parts_.folder);
  });
  co_return Done::kTaken;
}

}  // namespace postern::queue
