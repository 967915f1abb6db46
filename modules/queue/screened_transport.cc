#include "screened_transport.h"

#include <fmt/format.h>

#include <iterator>

namespace postern::queue {

/// Takes those who are on the list out of the request; returns their refusals.
Task<std::vector<AttemptResult>> ScreenedTransport::screen(AttemptRequest* request) {
  std::vector<AttemptResult> refused;
  std::vector<std::uint32_t> left;
  for (const std::uint32_t one : request->recipients) {
    const Address& address = request->envelope.recipients.at(one).address;
    const std::optional<Suppression> entry = co_await list_.find(request->envelope.sender, address);
    if (!entry) {
      left.push_back(one);
      continue;
    }
    AttemptResult result;
    result.recipient = one;
    result.kind = AttemptResult::Kind::kRefused;
    result.reply = {550, "5.7.1",
                    fmt::format("Not sent: mail to this address is suppressed ({})", to_string(entry->reason))};
    refused.push_back(std::move(result));
  }
  request->recipients = std::move(left);
  co_return refused;
}

Task<std::vector<AttemptResult>> ScreenedTransport::attempt(AttemptRequest request) {
  std::vector<AttemptResult> results = co_await screen(&request);
  if (request.recipients.empty()) co_return results;
  const Envelope& envelope = request.envelope;  // it outlives the attempt
  std::vector<AttemptResult> answers =
      proves(request) ? co_await attempt_with_proof(std::move(request)) : co_await inner_.attempt(std::move(request));
  for (const AttemptResult& answer : answers)
    if (answer.kind == AttemptResult::Kind::kRefused && !answer.host.empty())
      list_.learn_later(envelope.sender, envelope.recipients.at(answer.recipient).address, answer.reply);
  results.insert(results.end(), std::make_move_iterator(answers.begin()), std::make_move_iterator(answers.end()));
  co_return results;
}

/// A copy that several share would let each of them speak for the others.
bool ScreenedTransport::proves(const AttemptRequest& request) const {
  const Address& sender = request.envelope.sender;
  return proof_ && request.recipients.size() == 1 && !sender.is_null() &&
         directory_->domain_kind(sender.domain().ascii()) != DomainKind::kForeign;
}

Task<std::vector<AttemptResult>> ScreenedTransport::attempt_with_proof(AttemptRequest request) {
  PlanStep step = request.step;  // outlives the attempt, as the transport wants it
  HeaderEdits edits;
  if (!step.header_edits.empty())
    if (auto known = HeaderEdits::decode(step.header_edits)) edits = std::move(*known);
  const Envelope& envelope = request.envelope;
  edits.add_top(FeedbackProof::kField,
                proof_->make(envelope.sender, envelope.recipients.at(request.recipients.front()).address,
                             (co_await this_executor()).wall()));
  step.header_edits.clear();
  edits.encode(step.header_edits);
  co_return co_await inner_.attempt({.id = request.id,
                                     .envelope = envelope,
                                     .step = step,
                                     .recipients = std::move(request.recipients),
                                     .attempts = request.attempts,
                                     .size = request.size,
                                     .accepted = request.accepted,
                                     .gate = request.gate});
}

}  // namespace postern::queue
