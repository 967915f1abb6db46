// Rules that bring in mails and bodies, and a world that leads mails through them. For the tests of brought.h.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>

#include "core/pipeline/fixture_for_tests.h"

namespace postern {

inline constexpr std::string_view kCopy = "Subject: a copy\r\n\r\ncopied\r\n";

/// Brings in a mail to one recipient.
class Brings final : public Action {
 public:
  std::string to;
  std::string from = "alice@elsewhere.example";
  bool fixed = true;
  int times = 1;
  bool guarded = true;  ///< not for mail that came of it

  std::vector<Address> sends_to() const override { return {address(to)}; }
  Task<Result<ActionResult>> run(RuleCall call) override {
    const std::string why = "copy_to " + to;
    const auto& before = call.transaction.brought_by;
    if (guarded && std::find(before.begin(), before.end(), why) != before.end()) co_return ActionResult{};
    for (int i = 0; i < times; ++i) {
      auto draft = call.effects.begin_draft();
      if (!draft) co_return std::unexpected(draft.error());
      if (auto ok = co_await draft->append(kCopy); !ok) co_return std::unexpected(ok.error());
      BroughtMail mail{.envelope = {}, .draft = std::move(*draft), .rule = {}, .why = why, .fixed_recipients = fixed};
      if (!from.empty()) mail.envelope.sender = address(from);
      mail.envelope.recipients.push_back({address(to), "", kNotifyUnset});
      call.transaction.brought.push_back(std::move(mail));
    }
    co_return ActionResult{};
  }
};

/// Gives its recipients a body.
class Writes final : public Action {
 public:
  explicit Writes(std::string body) : body_(std::move(body)) {}
  Task<Result<ActionResult>> run(RuleCall call) override {
    auto draft = call.effects.begin_draft();
    if (!draft) co_return std::unexpected(draft.error());
    const std::string text = std::string(call.transaction.headers()) + "\r\n" + body_;
    if (auto ok = co_await draft->append(text); !ok) co_return std::unexpected(ok.error());
    ActionResult result;
    result.body = std::make_shared<Draft>(std::move(*draft));
    co_return result;
  }

 private:
  std::string body_;
};

inline std::shared_ptr<Brings> brings(std::string to) {
  auto out = std::make_shared<Brings>();
  out->to = std::move(to);
  return out;
}

inline std::shared_ptr<Action> relay_on() {
  return std::make_shared<FnAction>(
      [](const RuleCall&) {
        ActionResult result;
        result.kind = ActionResult::Kind::kFinal;
        result.step.kind = PlanStep::Kind::kRelay;
        return Result<ActionResult>(result);
      },
      true);
}

struct BroughtWorld : PolicyWorld {
  std::optional<Talk> talk;
  BroughtWorld() { policy->attach_spool(*spool, "mx.ours.example"); }
  void set(std::vector<Rule> root) {
    rules = std::make_shared<RuleSet>();
    rules->pipelines["root"] = {"root", {}, std::move(root)};
    install();
  }
  Decision decide(std::vector<std::string> recipients = {"bob@ours.example"}) {
    talk.emplace(*this);
    talk->connect();
    talk->from("alice@elsewhere.example");
    for (const std::string& to : recipients) REQUIRE_FALSE(talk->to(to).decided());
    return talk->send();
  }
  Result<MessageId> commit(const Decision& decision) {
    talk->mail->draft = nullptr;
    return talk->commit(decision);
  }
  static Task<std::string> text(PolicyWorld* world, MessageId id) {
    auto reader = co_await world->spool->open(world->sim.worker(0), id);
    REQUIRE(reader);
    std::string out;
    while (true) {
      auto piece = co_await reader->next();
      REQUIRE(piece);
      if (piece->empty()) co_return out;
      out += *piece;
    }
  }
  std::string text(MessageId id) { return run(text(this, id)); }
  /// "name: value" of the facts in the trail of the stored message.
  static Task<std::string> facts(PolicyWorld* world, MessageId id) {
    auto reader = co_await world->spool->open(world->sim.worker(0), id);
    REQUIRE(reader);
    std::string out;
    for (const TrailEntry& entry : *Trail::decode(reader->trail())) out += entry.name + ": " + entry.answer + "\n";
    co_return out;
  }
  std::string facts(MessageId id) { return run(facts(this, id)); }
};

}  // namespace postern
