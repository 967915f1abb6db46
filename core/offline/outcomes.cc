#include "core/offline/outcomes.h"

#include <algorithm>

#include "postern/message.h"

namespace postern {
namespace {

std::string_view action_of(const Reply& reply) {
  return reply.temporary() ? "defer" : "reject";
}

std::string_view action_of(PlanStep::Kind kind) {
  switch (kind) {
    case PlanStep::Kind::kDeliver:
      return "deliver";
    case PlanStep::Kind::kRelay:
      return "relay";
    case PlanStep::Kind::kDiscard:
      return "discard";
    case PlanStep::Kind::kQuarantine:
      return "quarantine";
    case PlanStep::Kind::kBounce:
      return "bounce";
  }
  return "unknown";
}

void take_step(SpecOutcome& outcome, const PlanStep& step, const std::string& header, const std::string& body) {
  outcome.action = action_of(step.kind);
  outcome.account = step.account;
  outcome.folder = step.folder;
  outcome.options = step.options;
  outcome.reason = step.reason;
  outcome.header = header;
  outcome.body = body;
  if (step.header_edits.empty()) return;
  if (const auto edits = HeaderEdits::decode(step.header_edits))
    outcome.header = edits->apply(HeaderBlock(header)).join();
}

/// The recipient that the client named for which `address` stands: aliases leave "named -> address" in the trail.
std::string named_for(const SpecResult& result, const std::string& address) {
  const std::string end = " -> " + address;
  for (const TrailEntry& entry : result.trail)
    if (entry.kind == TrailEntry::Kind::kFact && entry.name == "alias" && entry.answer.ends_with(end))
      return entry.answer.substr(0, entry.answer.size() - end.size());
  return {};
}

}  // namespace

void refuse_rest(SpecResult& result, const std::vector<Recipient>& recipients, Stage stage, const Verdict& verdict) {
  for (std::size_t i = result.outcomes.size(); i < recipients.size(); ++i) {
    SpecOutcome& outcome = result.outcomes.emplace_back();
    outcome.recipient = recipients[i].address.to_string();
    outcome.stage = stage;
    outcome.reply = verdict.reply;
    outcome.rule = verdict.rule;
    outcome.action = action_of(verdict.reply);
  }
}

void settle_outcomes(SpecResult& result, const std::vector<std::size_t>& places, const Transaction& transaction,
                     const Decision& decision, const std::string& header, const std::string& body) {
  const std::vector<Recipient>& recipients = transaction.envelope.recipients;
  const bool told_each = transaction.answers_each;
  std::vector<SpecOutcome*> outcomes;
  const std::size_t known = result.outcomes.size();
  result.outcomes.resize(known + recipients.size() - places.size());
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    SpecOutcome& outcome = result.outcomes[i < places.size() ? places[i] : known + i - places.size()];
    outcomes.push_back(&outcome);
    outcome.stage = Stage::kMessage;
    outcome.reply = decision.reply();
    if (i >= places.size()) {
      outcome.recipient = recipients[i].address.to_string();
      const std::string named = named_for(result, outcome.recipient);
      for (std::size_t at = 0; at < places.size(); ++at)
        if (result.outcomes[places[at]].recipient == named) outcome.rule = decision.outcomes[at].rule;
      continue;
    }
    const RecipientOutcome& own = decision.outcomes.at(i);
    outcome.rule = own.rule;
    if (own.reply.positive()) continue;
    if (told_each || decision.refuses_all()) outcome.reply = own.reply;
    outcome.action = action_of(own.reply);
  }
  if (decision.refuses_all()) return;
  for (const PlanStep& step : decision.plan.steps)
    for (const std::uint32_t number : step.recipients)
      if (number < outcomes.size()) take_step(*outcomes[number], step, header, body);
}

void settle_apart(SpecResult& result, const SettledMail& apart, const std::string& header, const std::string& body) {
  for (const PlanStep& step : apart.decision.plan.steps) {
    for (const std::uint32_t number : step.recipients) {
      if (number >= apart.transaction->envelope.recipients.size()) continue;
      const std::string address = apart.transaction->envelope.recipients[number].address.to_string();
      auto found = std::ranges::find(result.outcomes, address, &SpecOutcome::recipient);
      if (found == result.outcomes.end())
        found = std::ranges::find(result.outcomes, named_for(result, address), &SpecOutcome::recipient);
      if (found != result.outcomes.end()) take_step(*found, step, header, body);
    }
  }
}

}  // namespace postern
