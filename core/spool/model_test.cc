// The same random operations on the spool on disk and on the model in memory give the same answers, also after
// restarts.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/spool/testing.h"

using namespace postern;
using namespace postern::spool;

namespace {

struct Pair {
  MessageId real, model;
  std::uint32_t recipients;
};

class Comparison {
 public:
  explicit Comparison(std::uint64_t seed) : random_(seed), env_(seed), world_(seed) {
    model_ = make_memory_spool(settings_);
    restart();
  }

  void act() {
    switch (random_.below(12)) {
      case 0:
      case 1:
      case 2:
        accept();
        break;
      case 3:
        compare_content();
        break;
      case 4:
        compare_lists();
        break;
      case 5:
        if (random_.chance(0.1)) restart();
        break;
      default:
        change();
    }
  }

  void compare_lists() {
    auto real = world_.wait(real_->list(world_, MessageId(), 10'000));
    auto model = world_.wait(model_->list(world_, MessageId(), 10'000));
    std::map<MessageId, const MessageInfo*> by_model;
    for (const MessageInfo& info : *model) by_model[info.id] = &info;
    REQUIRE(real->size() == model->size());
    for (const MessageInfo& info : *real) {
      auto pair = std::ranges::find(messages_, info.id, &Pair::real);
      REQUIRE(pair != messages_.end());
      auto found = by_model.find(pair->model);
      REQUIRE(found != by_model.end());
      compare(info, *found->second);
    }
    auto real_stats = world_.wait(real_->stats(world_)), model_stats = world_.wait(model_->stats(world_));
    CHECK(real_stats->recipients == model_stats->recipients);
    CHECK(real_stats->message_bytes == model_stats->message_bytes);
  }

 private:
  void restart() {
    real_.reset();
    auto opened = open_spool(settings_, world_.host(env_));
    REQUIRE(opened);
    CHECK(opened->reports.empty());
    real_ = std::move(opened->spool);
  }

  void accept() {
    std::string content = make_message(random_.next(), random_.below(20) == 0 ? 60'000 : random_.below(4'000));
    auto recipients = static_cast<std::uint32_t>(1 + random_.below(4));
    AcceptMeta meta{.envelope = content.substr(0, random_.below(100)),
                    .client = "c",
                    .plan = "p",
                    .trail = std::string(random_.below(500), 't'),
                    .recipients = recipients};
    auto real = put(world_, *real_, content, meta);
    auto model = put(world_, *model_, content, meta);
    REQUIRE(real);
    REQUIRE(model);
    messages_.push_back({*real, *model, recipients});
  }

  const Pair* pick() { return messages_.empty() ? nullptr : &messages_[random_.below(messages_.size())]; }

  void change() {
    const Pair* pair = pick();
    if (!pair) return;
    static constexpr Mark kMarks[] = {Mark::kPlaced,  Mark::kDone, Mark::kDone,  Mark::kDone,  Mark::kAttempt,
                                      Mark::kDotSent, Mark::kHold, Mark::kRoute, Mark::kRecall};
    Change change{.id = pair->real,
                  .mark = kMarks[random_.below(std::size(kMarks))],
                  .recipient = static_cast<std::uint32_t>(random_.below(pair->recipients)),
                  .count = static_cast<std::uint32_t>(random_.below(9)),
                  .time = WallTime(std::chrono::microseconds(random_.below(1000))),
                  .text = std::string(random_.below(200), 'n')};
    Change same = change;
    same.id = pair->model;
    CHECK(world_.wait(real_->change(world_, change)));
    CHECK(world_.wait(model_->change(world_, same)));
  }

  void compare_content() {
    const Pair* pair = pick();
    if (!pair) return;
    auto real = world_.wait(real_->open(world_, pair->real));
    auto model = world_.wait(model_->open(world_, pair->model));
    REQUIRE(real.has_value() == model.has_value());
    if (!real) {
      CHECK(real.error().code == model.error().code);
      return;
    }
    CHECK(real->envelope() == model->envelope());
    CHECK(real->trail() == model->trail());
    CHECK(real->header() == model->header());
    CHECK(*content_of(world_, *real) == *content_of(world_, *model));
  }

  static void compare(const MessageInfo& real, const MessageInfo& model) {
    CHECK(real.size == model.size);
    CHECK(real.held_until == model.held_until);
    CHECK(real.hold_reason == model.hold_reason);
    REQUIRE(real.recipients.size() == model.recipients.size());
    for (std::size_t i = 0; i < real.recipients.size(); ++i) {
      CHECK(real.recipients[i].state == model.recipients[i].state);
      CHECK(real.recipients[i].attempts == model.recipients[i].attempts);
      CHECK(real.recipients[i].next_attempt == model.recipients[i].next_attempt);
      CHECK(real.recipients[i].note == model.recipients[i].note);
      CHECK(real.recipients[i].route == model.recipients[i].route);
    }
  }

  SpoolSettings settings_{.dir = "/spool",
                          .segment_size = 64 * 1024,
                          .large_body_threshold = 8 * 1024,
                          .max_blank_body_bytes = 128 * 1024,
                          .header_limit = 4096,
                          .min_free = 0};
  Prng random_;
  FaultEnv env_;
  ManualWorld world_;
  std::unique_ptr<Spool> real_, model_;
  std::vector<Pair> messages_;
};

}  // namespace

TEST_CASE("the spool on disk answers as its model does, through restarts, recycling and compaction") {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    Comparison comparison(seed);
    for (int i = 0; i < 600; ++i) comparison.act();
    comparison.compare_lists();
  }
}
