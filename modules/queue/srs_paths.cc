#include "srs_paths.h"

#include <fmt/format.h>

#include "envelope_head.h"
#include "postern/text.h"
#include "secrets.h"

namespace postern::queue {

SrsPaths::SrsPaths(const SrsSettings& settings, const std::string& state)
    : accept_(settings.accept),
      file_(settings.secret_file.empty() ? state + "/srs.secret" : settings.secret_file.string()) {
  options_.domain = Domain::parse(settings.domain).value_or(Domain());
  options_.max_age_days = static_cast<int>(std::chrono::ceil<std::chrono::days>(settings.max_age).count());
}

Result<bool> SrsPaths::load() {
  auto secrets = load_secrets(file_, true);
  if (!secrets) return std::unexpected(secrets.error());
  SrsOptions options = options_;
  options.keys = std::move(secrets->all);
  const std::lock_guard lock(mutex_);
  all_.push_back(std::make_unique<const Srs>(std::move(options)));
  current_.store(all_.back().get());
  return secrets->fresh;
}

Result<Address> SrsPaths::forward(const Address& sender, WallTime now) const {
  const Srs* srs = current_.load();
  if (!srs) return fault("srs.off", "the secrets have not been read");
  return srs->forward(sender, now);
}

bool SrsPaths::is_return_path(const Address& recipient) const {
  const Srs* srs = current_.load();
  return srs && srs->is_srs(recipient);
}

Result<Address> SrsPaths::reverse(const Address& recipient, WallTime now) const {
  const Srs* srs = current_.load();
  if (!srs) return fault("srs.off", "the secrets have not been read");
  return srs->reverse(recipient, now);
}

bool SrsPaths::takes_from(const Address& sender) const {
  if (sender.is_null() || accept_ == SrsSenders::kAny) return true;
  return accept_ == SrsSenders::kReports && (sender.is_postmaster() || equal_folded(sender.local(), "mailer-daemon"));
}

std::string SrsPaths::terms() const {
  static constexpr std::string_view kWho[] = {"from the null sender", "from the null sender, MAILER-DAEMON, postmaster",
                                              "from any sender"};
  return fmt::format("{}, {}, {} days old at most", options_.domain.ascii(), kWho[static_cast<std::size_t>(accept_)],
                     options_.max_age_days);
}

namespace {

/// The sender that a step wants; nothing when it has none of its own.
std::optional<Address> sender_of(const PlanStep& step) {
  const auto option = step.options.find(std::string(kSenderOption));
  if (option == step.options.end()) return std::nullopt;
  auto sender = Address::parse(option->second, {.max_local_part = kMaxPath});
  if (!sender) return std::nullopt;  // the true one is the better choice then
  return std::move(*sender);
}

}  // namespace

/// Routes may go by sender, and must be those that the attempt will find.
std::string SenderTransport::next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const {
  auto sender = sender_of(step);
  if (!sender) return inner_.next_hop(envelope, step, recipient);
  return inner_.next_hop(Envelope{.sender = std::move(*sender), .recipients = {envelope.recipients.at(recipient)}},
                         step, 0);
}

Task<std::vector<AttemptResult>> SenderTransport::attempt(AttemptRequest request) {
  auto sender = sender_of(request.step);
  if (!sender) return inner_.attempt(std::move(request));
  return attempt_as(std::move(request), std::move(*sender));
}

Task<std::vector<AttemptResult>> SenderTransport::attempt_as(AttemptRequest request, Address sender) {
  Envelope envelope = envelope_head(request.envelope);  // outlives the attempt, as the transport wants it
  envelope.sender = std::move(sender);
  // As many and under their numbers, which marks have; the others stay empty: a list's thousands would be copied for
  // each of its next hops.
  envelope.recipients.resize(request.envelope.recipients.size());
  for (const std::uint32_t one : request.recipients) envelope.recipients[one] = request.envelope.recipients.at(one);
  co_return co_await inner_.attempt({.id = request.id,
                                     .envelope = envelope,
                                     .step = request.step,
                                     .recipients = std::move(request.recipients),
                                     .attempts = request.attempts,
                                     .size = request.size,
                                     .accepted = request.accepted,
                                     .gate = request.gate});
}

}  // namespace postern::queue
