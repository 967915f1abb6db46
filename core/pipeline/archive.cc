#include "core/pipeline/archive.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/text.h"

namespace postern {
namespace {

constexpr std::string_view kSuffix = ".eml";
constexpr std::string_view kMagic = "postern-archive 1\n";
constexpr std::string_view kFact = "archived";
constexpr std::size_t kMaxFile = 32 << 20;  // octets of a file that a reader believes: [archive] largest and envelope
constexpr std::size_t kPiece = 256 << 10;

/// The message's id of a file's name; nothing for other files.
std::optional<MessageId> id_of(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  return MessageId::parse(name.substr(0, name.size() - kSuffix.size()));
}

std::string preamble(const Envelope& envelope) {
  std::string out(kMagic);
  out += fmt::format("sender {}\n", envelope.sender.to_string());
  for (const Recipient& one : envelope.recipients) out += fmt::format("recipient {}\n", one.address.to_string());
  return out + "\n";
}

/// What stands behind the envelope; nothing when this is none of our files.
std::optional<std::string_view> message_in(std::string_view file) {
  if (!file.starts_with(kMagic)) return std::nullopt;
  const std::size_t end = file.find("\n\n");
  if (end == std::string_view::npos) return std::nullopt;
  return file.substr(end + 2);
}

bool excepts(const std::vector<std::string>& except, const Address& address) {
  const std::string text = address.to_string(), domain = "@" + address.domain().to_string();
  return std::ranges::any_of(
      except, [&](const std::string& one) { return equal_folded(one.starts_with('@') ? domain : text, one); });
}

std::vector<std::string> archive_files(Env& env, const std::string& dir) {
  auto names = env.list(dir);
  if (!names) return {};
  std::erase_if(*names, [](const std::string& name) { return !id_of(name); });
  std::ranges::sort(*names);  // ids sort by time
  return std::move(*names);
}

}  // namespace

std::string archive_name(const TrailRecord& record) {
  const auto entries = Trail::decode(record.trail);
  if (!entries) return {};
  // A trail tells of one message; were there several, the last is this record's.
  for (auto entry = entries->rbegin(); entry != entries->rend(); ++entry)
    if (entry->kind == TrailEntry::Kind::kFact && entry->name == kFact && MessageId::parse(entry->answer))
      return entry->answer + std::string(kSuffix);
  return {};
}

std::optional<std::string> archived(Env& env, const std::string& dir, const TrailRecord& record) {
  const std::string name = archive_name(record);
  if (name.empty()) return std::nullopt;
  const auto file = read_file(env, dir + "/" + name, kMaxFile);
  if (!file) return std::nullopt;
  const auto message = message_in(*file);
  return message ? std::optional(std::string(*message)) : std::nullopt;
}

ArchiveErased erase_archived(Env& env, const std::string& dir, const Person& person, bool pretend) {
  ArchiveErased out;
  for (const std::string& name : archive_files(env, dir)) {
    const std::string path = dir + "/" + name;
    const auto file = read_file(env, path, kMaxFile);
    if (!file) {
      ++out.failed;
      continue;
    }
    if (!person.in(*file)) continue;
    if (!pretend && env.unlink(path) != 0) {
      ++out.failed;
      continue;
    }
    ++out.messages;
  }
  if (!pretend && out.messages != 0) static_cast<void>(env.sync_dir(dir));
  return out;
}

/// One message on its way to the disk. It takes its room before its body is read, which may be waited for: what many
/// mails at once read back counts, too.
class Archive::Copy final : public Runnable {
 public:
  Copy(Archive& archive, std::string name, std::string text, std::size_t size)
      : archive_(archive), size_(size), name_(std::move(name)), text_(std::move(text)) {
    fits_ = archive_.waiting_.fetch_add(size_, std::memory_order_relaxed) + size_ <= kMaxWaiting;
  }
  ~Copy() { archive_.waiting_.fetch_sub(size_, std::memory_order_relaxed); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  bool fits() const { return fits_; }
  std::string& text() { return text_; }
  void run() override {
    const std::unique_ptr<Copy> self(this);
    archive_.write(name_, text_);
  }

 private:
  Archive& archive_;
  std::size_t size_;
  std::string name_, text_;
  bool fits_ = false;
};

class Archive::Tidy final : public Runnable {
 public:
  Tidy(Archive& archive, WallTime now) : archive_(archive), now_(now) {}
  void run() override {
    const std::unique_ptr<Tidy> self(this);
    archive_.load();
    archive_.forget_old(now_);
  }

 private:
  Archive& archive_;
  WallTime now_;
};

Archive::Archive(ArchiveSettings settings, std::string dir, Env& env, std::unique_ptr<Lane> lane, Metrics& metrics)
    : settings_(std::move(settings)),
      dir_(std::move(dir)),
      env_(env),
      kept_(metrics.counter("postern_archive_messages_total", "Messages copied to state/archive.")),
      dropped_(metrics.counter("postern_archive_dropped_total",
                               "Messages that were to be kept in state/archive and could not be.")),
      lane_(std::move(lane)) {}

Archive::~Archive() = default;

bool Archive::wants(Executor& worker, const Transaction& transaction) const {
  if (settings_.keep == ArchiveKeep::kNone || !transaction.draft || transaction.brought_depth != 0) return false;
  if (settings_.keep == ArchiveKeep::kSample &&
      static_cast<double>(worker.random() >> 11) * 0x1.0p-53 >= settings_.sample)
    return false;
  if (transaction.draft->header().size() + transaction.draft->body_size() > settings_.largest.bytes) return false;
  const Envelope& envelope = transaction.envelope;
  return settings_.except.empty() || (!excepts(settings_.except, envelope.sender) &&
                                      std::ranges::none_of(envelope.recipients, [&](const Recipient& one) {
                                        return excepts(settings_.except, one.address);
                                      }));
}

Task<void> Archive::keep(Executor& worker, Transaction& transaction) {
  Draft& draft = *transaction.draft;
  const std::string id = draft.id().to_string();
  std::string head = preamble(transaction.envelope);
  const std::size_t size = head.size() + draft.header().size() + draft.body_size();
  auto copy = std::make_unique<Copy>(*this, id + std::string(kSuffix), std::move(head), size);
  if (!copy->fits()) {
    dropped_.add(worker.index());
    co_return;
  }
  std::string& text = copy->text();
  text.reserve(size);
  text += draft.header();
  for (std::uint64_t at = 0; at < draft.body_size();) {
    const Result<std::string> piece = co_await draft.read_body(at, kPiece);
    if (!piece || piece->empty()) {
      dropped_.add(worker.index());
      co_return;
    }
    text += *piece;
    at += piece->size();
  }
  transaction.trail.fact(Stage::kMessage, kFact, id);
  lane_->post(*copy.release());
}

void Archive::write(const std::string& name, std::string_view text) {
  load();
  const std::string path = dir_ + "/" + name;
  bool good = false;
  {
    auto file = env_.open(path, OpenMode::kCreate);
    const std::string_view parts[] = {text};
    good = file && (*file)->truncate(0) == 0 && (*file)->write(parts, 0) == 0;
  }
  if (!good) {
    env_.unlink(path);  // half a message would be replayed as another one
    dropped_.add_shared();
    return;
  }
  files_.push_back({name, text.size()});
  total_ += text.size();
  kept_.add_shared();
  forget_old(id_of(name)->arrival());
}

void Archive::load() {
  if (std::exchange(loaded_, true)) return;
  env_.make_dir(dir_);
  for (const std::string& name : archive_files(env_, dir_)) {
    auto file = env_.open(dir_ + "/" + name, OpenMode::kRead);
    const std::uint64_t size = file ? (*file)->size().value_or(0) : 0;
    files_.push_back({name, size});
    total_ += size;
  }
}

void Archive::forget_old(WallTime now) {
  while (!files_.empty() &&
         (total_ > settings_.keep_bytes.bytes || now - id_of(files_.front().name)->arrival() > settings_.keep_for)) {
    env_.unlink(dir_ + "/" + files_.front().name);
    total_ -= files_.front().size;
    files_.pop_front();
  }
}

void Archive::tidy(WallTime now) {
  lane_->post(*std::make_unique<Tidy>(*this, now).release());
}

Task<ArchiveErased> Archive::erase(Person person, bool pretend) {
  co_return co_await on_lane(*lane_, [this, &person, pretend] {
    const ArchiveErased out = erase_archived(env_, dir_, person, pretend);
    if (out.messages != 0 && !pretend) {  // sizes and names have changed
      files_.clear();
      total_ = 0;
      loaded_ = false;
    }
    return out;
  });
}

}  // namespace postern
