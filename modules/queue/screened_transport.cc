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
    std::optional<Suppression> entry;
    if (list_.may_be_listed(request->envelope.sender, address))
      entry = co_await list_.find(request->envelope.sender, address);
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
  std::vector<AttemptResult> answers = co_await inner_.attempt(std::move(request));
  for (const AttemptResult& answer : answers)
    if (answer.kind == AttemptResult::Kind::kRefused && !answer.host.empty())
      static_cast<void>(  // what is not remembered is learnt from the next refusal
          co_await list_.learn(envelope.sender, envelope.recipients.at(answer.recipient).address, answer.reply));
  results.insert(results.end(), std::make_move_iterator(answers.begin()), std::make_move_iterator(answers.end()));
  co_return results;
}

}  // namespace postern::queue
