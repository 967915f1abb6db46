// The power goes at any moment: a thousand seeds of random work on the spool, each cut off at a random operation of the
// disk, which then keeps, tears and reorders what was not synced. After the restart
//
//   - every message whose commit returned is there, octet by octet, unless it was ended;
//   - no recipient whose done returned is waiting again;
//   - nothing is there that was never given to the spool;
//   - the spool works on: the next life of the same disk goes through the same.
//
// The last test takes the syncs away (a disk that lies) and expects the checks to notice: they can fail.
#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <set>

#include "core/spool/format.h"
#include "core/spool/testing.h"

using namespace postern;
using namespace postern::spool;

namespace {

/// What the outside world knows of a message.
struct Known {
  std::string content;
  std::uint32_t recipients = 1;
  bool committed = false;               ///< the commit returned
  std::set<std::uint32_t> asked_done;   ///< may be done
  std::set<std::uint32_t> surely_done;  ///< the mark returned
};

class Life {
 public:
  explicit Life(std::uint64_t seed) : random_(seed), env_(seed), world_(seed) {}

  void ignore_sync() { env_.ignore_sync(true); }
  const std::string& wrong() const { return wrong_; }
  std::uint64_t moved() const { return moved_; }    ///< messages that compaction rewrote
  std::uint64_t newest() const { return newest_; }  ///< sequence of the newest segment

  /// Opens, checks, works until the power goes. False when something was wrong.
  bool live(unsigned work) {
    std::optional<OpenedSpool> opened = open();
    if (!opened) return false;
    check(*opened->spool);
    if (!wrong_.empty()) return false;
    env_.stop_after(1 + random_.below(work * 2));
    for (unsigned i = 0; i < work; ++i) act(*opened->spool);
    env_.stop_after(0);
    world_.run_until_idle();
    drafts_.clear();
    world_.run_until_idle();
    if (auto stats = world_.wait(opened->spool->stats(world_))) moved_ += stats->moved;
    for (const std::string& name : *env_.list("/spool/segments")) newest_ = std::max(newest_, sequence_of(name));
    opened->spool.reset();
    env_.power_loss(random_.next());
    return true;
  }
  bool last_check() {
    std::optional<OpenedSpool> opened = open();
    if (opened) check(*opened->spool);
    return wrong_.empty();
  }

 private:
  std::optional<OpenedSpool> open() {
    SpoolSettings settings{.dir = "/spool",
                           .segment_size = 16 * 1024,
                           .large_body_threshold = 4 * 1024,
                           .max_blank_body_bytes = 64 * 1024,
                           .header_limit = 2048,
                           .min_free = 0};
    auto opened = open_spool(settings, world_.host(env_));
    if (!opened) {
      wrong_ = "cannot open: " + opened.error().detail;
      return std::nullopt;
    }
    for (const SpoolReport& report : opened->reports)
      if (report.kind != SpoolReport::Kind::kTornTail) wrong_ = "reported: " + report.detail;
    return std::move(*opened);
  }

  std::uint64_t sequence_of(const std::string& name) const {
    auto header = take<SegmentHeader>(env_.content("/spool/segments/" + name));
    return header ? header->sequence : 0;
  }

  void act(Spool& spool) {
    switch (random_.below(8)) {
      case 0:
      case 1:
      case 2:
        accept(spool);
        break;
      case 3:
      case 4:
      case 5:
        end(spool, random_.chance(0.3));
        break;
      case 6:
        random_.chance(0.5) ? attempt(spool) : end_oldest(spool);
        break;
      default:
        for (std::uint64_t i = random_.below(60); i > 0; --i) world_.step();
    }
    if (random_.chance(0.1)) world_.advance(60ms);
  }

  void accept(Spool& spool) {
    std::size_t size = random_.chance(0.2) ? random_.below(30'000) : random_.below(3'000);
    Known known{.content = make_message(random_.next(), size),
                .recipients = static_cast<std::uint32_t>(1 + random_.below(3)),
                .asked_done = {},
                .surely_done = {}};
    drafts_.push_back(std::make_unique<Draft>(spool.begin(world_)));
    Draft& draft = *drafts_.back();
    if (!world_.append(draft, known.content)) return;
    MessageId id = draft.id();
    AcceptMeta meta{.envelope = "envelope of " + known.content.substr(0, 20),
                    .client = {},
                    .plan = {},
                    .trail = {},
                    .recipients = known.recipients};
    messages_[id] = std::move(known);
    draft.commit(std::move(meta)).then([this, id](Result<MessageId> got) {
      if (got) messages_[id].committed = true;
    });
  }

  std::optional<MessageId> pick() {
    if (messages_.empty()) return std::nullopt;
    auto at = messages_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_.below(messages_.size())));
    if (!at->second.committed) return std::nullopt;
    return at->first;
  }

  void end(Spool& spool, bool lazily) {
    auto id = pick();
    if (id) end_one(spool, *id, static_cast<std::uint32_t>(random_.below(messages_[*id].recipients)), lazily);
  }

  void end_one(Spool& spool, MessageId id, std::uint32_t recipient, bool lazily) {
    messages_[id].asked_done.insert(recipient);
    if (lazily) return spool.done_lazily(world_, id, recipient);
    spool.done(world_, id, recipient).then([this, id, recipient](Result<void> got) {
      if (got) messages_[id].surely_done.insert(recipient);
    });
  }

  /// Most of the old ones go, so that segments are freed, compacted and written again.
  void end_oldest(Spool& spool) {
    std::size_t left = messages_.size() / 2;
    for (auto& [id, known] : messages_) {
      if (left-- == 0) return;
      if (!known.committed || random_.chance(0.1)) continue;
      for (std::uint32_t i = 0; i < known.recipients; ++i)
        if (!known.asked_done.contains(i)) end_one(spool, id, i, false);
    }
  }

  void attempt(Spool& spool) {
    auto id = pick();
    if (!id) return;
    spool.change_lazily(world_, spool.attempted(*id, 0, 1, world_.wall(), "try again"));
    spool.placed(world_, *id, 0, "token").then([](Result<void>) {});
  }

  void check(Spool& spool) {
    auto listed = world_.wait(spool.list(world_, MessageId(), 100'000));
    std::map<MessageId, MessageInfo> there;
    for (const MessageInfo& info : *listed) there[info.id] = info;
    for (const auto& [id, info] : there)
      if (!messages_.contains(id)) wrong_ = "a phantom: " + id.to_string();
    for (auto at = messages_.begin(); at != messages_.end();) {
      auto found = there.find(at->first);
      if (found != there.end())
        check_one(spool, at->second, found->second);
      else if (at->second.committed && at->second.asked_done.size() < at->second.recipients)
        wrong_ = "lost: " + at->first.to_string();
      // What is not there now, must never be there again: it is forgotten here, so it would be a phantom.
      at = found == there.end() ? messages_.erase(at) : std::next(at);
    }
  }

  void check_one(Spool& spool, Known& known, const MessageInfo& info) {
    auto content = get(world_, spool, info.id);
    if (!content)
      wrong_ = "unreadable: " + content.error().detail;
    else if (*content != known.content)
      wrong_ = "other octets: " + info.id.to_string();
    if (info.recipients.size() != known.recipients) {
      wrong_ = "other recipients";
      return;
    }
    known.committed = true;  // seen, so it must stay
    for (std::uint32_t i = 0; i < known.recipients; ++i) {
      bool done = info.recipients[i].state == RecipientState::kDone;
      if (!done && known.surely_done.contains(i)) wrong_ = "came back: " + info.id.to_string();
      if (done && !known.asked_done.contains(i)) wrong_ = "done by nobody: " + info.id.to_string();
      if (done) known.surely_done.insert(i);
    }
  }

  Prng random_;
  FaultEnv env_;
  ManualWorld world_;
  std::map<MessageId, Known> messages_;
  std::vector<std::unique_ptr<Draft>> drafts_;
  std::string wrong_;
  std::uint64_t moved_ = 0, newest_ = 0;
};

/// How much of the machinery the lives went through.
struct Coverage {
  std::uint64_t moved = 0, segments = 0;
};

/// Three power cuts of one disk; what was wrong, if anything.
std::string run(std::uint64_t seed, bool lying_disk, Coverage& coverage) {
  Life life(seed);
  if (lying_disk) life.ignore_sync();
  for (int cut = 0; cut < 3; ++cut)
    if (!life.live(seed % 5 == 0 ? 700 : 40 + static_cast<unsigned>(seed % 7) * 30)) return life.wrong();
  life.last_check();
  coverage.moved += life.moved();
  coverage.segments += life.newest();
  return life.wrong();
}

}  // namespace

TEST_CASE("a thousand power cuts lose nothing that was promised, and bring nothing back") {
  Coverage coverage;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    std::string wrong = run(seed, false, coverage);
    REQUIRE_MESSAGE(wrong.empty(), "seed " << seed << ": " << wrong);
  }
  CHECK(coverage.moved > 1000);
  CHECK(coverage.segments > 5000);
}

TEST_CASE("the same power cuts on a disk that ignores syncs are detected") {
  unsigned detected = 0;
  Coverage coverage;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) detected += run(seed, true, coverage).empty() ? 0 : 1;
  CHECK(detected > 50);
}
