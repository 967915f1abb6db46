#include "core/offline/mail_run.h"

#include <algorithm>

#include "core/offline/outcomes.h"
#include "core/pipeline/root_run.h"
#include "core/pipeline/trail_reader.h"
#include "postern/message.h"

namespace postern {
namespace {

constexpr std::size_t kBodyPiece = 256 * 1024;  // octets of a text that are read at once

Result<Address> parsed(std::string_view text, bool sender) {
  if (sender && text.empty()) return Address();
  Address::Options options;
  options.allow_postmaster = !sender;
  auto address = Address::parse(text, options);
  if (!address) return fault("offline.address", "\"" + std::string(text) + "\": " + address.error().to_string());
  return std::move(*address);
}

/// The state of one run, so that its parts need not hand everything on.
struct Run {
  OfflineParts parts;
  const OfflineMail& mail;
  SessionState session;
  SpecResult result;
  std::vector<std::size_t> places{};  ///< of the accepted recipients in result.outcomes
};

void finish_trail(Run& run, const Trail& trail) {
  if (auto entries = Trail::decode(trail.bytes())) run.result.trail = std::move(*entries);
  if (!run.mail.trail_only) run.result.story = render_story(run.result.trail);
}

Task<Verdict> ask_stage(Policy& policy, SessionState& session, Stage stage) {
  switch (stage) {
    case Stage::kConnect:
      return policy.connect(session);
    case Stage::kStarttls:
      return policy.starttls(session);
    case Stage::kAuth:
      return policy.auth(session);
    default:
      return policy.ehlo(session);
  }
}

/// True when the session reached MAIL.
Task<bool> open_session(Run* run) {
  for (const OfflineMail::Step& step : run->mail.steps) {
    run->session.client = step.client;
    const Verdict verdict = co_await ask_stage(run->parts.policy, run->session, step.stage);
    if (!verdict.refuses()) continue;
    refuse_rest(run->result, run->mail.recipients, step.stage, verdict);
    co_return false;
  }
  for (const auto& [name, value] : run->mail.notes) {
    if (run->mail.notes_win)
      run->session.notes.insert_or_assign(name, value);
    else
      run->session.notes.try_emplace(name, value);
  }
  co_return true;
}

Task<void> name_recipients(Run* run, Transaction* transaction) {
  for (const Recipient& recipient : run->mail.recipients) {
    const Verdict verdict = co_await run->parts.policy.rcpt(*transaction, recipient);
    SpecOutcome& outcome = run->result.outcomes.emplace_back();
    outcome.recipient = recipient.address.to_string();
    outcome.stage = Stage::kRcpt;
    outcome.reply = Reply{250, "2.1.5", "recipient ok"};
    if (!verdict.refuses()) {
      outcome.action = "accept";
      run->places.push_back(run->result.outcomes.size() - 1);
      continue;
    }
    outcome.reply = verdict.reply;
    outcome.rule = verdict.rule;
    outcome.action = verdict.reply.temporary() ? "defer" : "reject";
  }
}

/// The text goes into a draft, with the hook "data" where its header ends. A refusal, or nothing.
Task<Result<Verdict>> take_text(Run* run, Transaction* transaction, Draft* draft) {
  const std::string_view text = *run->mail.text;
  const std::size_t header = HeaderBlock(text).body_offset();
  if (auto stored = co_await draft->append(text.substr(0, header)); !stored)
    co_return fault("offline.text", stored.error().detail);
  transaction->draft = draft;
  transaction->received_count = static_cast<std::uint32_t>(HeaderBlock(draft->header()).count("Received"));
  Verdict verdict = co_await run->parts.policy.data(*transaction);
  if (header < text.size())
    if (auto stored = co_await draft->append(text.substr(header)); !stored)
      co_return fault("offline.text", stored.error().detail);
  transaction->size = draft->size();
  co_return verdict;
}

Task<Result<std::string>> body_of(Draft* draft) {
  std::string body;
  while (true) {
    auto piece = co_await draft->read_body(body.size(), kBodyPiece);
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) co_return body;
    body += *piece;
  }
}

std::string edited_header(const Draft& draft, const HeaderEdits& edits) {
  if (edits.empty()) return std::string(draft.header());
  return edits.apply(HeaderBlock(draft.header())).join();
}

Task<Result<SpecResult>> describe_brought(SettledMail* mail);

/// The mails beside the main one: brought in by rules, or with another body for some of its recipients.
Task<Result<void>> describe_settled(Transaction* transaction, SpecResult* result) {
  for (const std::shared_ptr<SettledMail>& one : transaction->settled) {
    if (one->session) {
      Result<SpecResult> brought = co_await describe_brought(one.get());
      if (!brought) co_return std::unexpected(brought.error());
      result->brought.push_back(std::move(*brought));
      continue;
    }
    Result<std::string> body = co_await body_of(&one->draft);
    if (!body) co_return std::unexpected(body.error());
    settle_apart(*result, *one, edited_header(one->draft, one->transaction->edits), *body);
  }
  co_return Result<void>();
}

Task<Result<SpecResult>> describe_brought(SettledMail* mail) {
  SpecResult result;
  std::vector<std::size_t> places;
  Transaction& transaction = *mail->transaction;
  for (std::size_t i = 0; i < mail->decision.outcomes.size(); ++i) {
    places.push_back(i);
    result.outcomes.emplace_back().recipient = transaction.envelope.recipients.at(i).address.to_string();
  }
  if (auto entries = Trail::decode(transaction.trail.bytes())) result.trail = std::move(*entries);
  result.story = render_story(result.trail);
  result.sender = transaction.envelope.sender.to_string();
  Result<std::string> body = co_await body_of(&mail->draft);
  if (!body) co_return std::unexpected(body.error());
  settle_outcomes(result, places, transaction, mail->decision, edited_header(mail->draft, transaction.edits), *body);
  if (auto done = co_await describe_settled(&transaction, &result); !done) co_return std::unexpected(done.error());
  co_return std::move(result);
}

/// From DATA on.
Task<Result<void>> send_text(Run* run, Transaction* transaction) {
  Executor& executor = co_await this_executor();
  Draft draft = run->parts.spool.begin(executor, run->mail.text->size());
  const auto refusal = co_await take_text(run, transaction, &draft);
  if (!refusal) co_return std::unexpected(refusal.error());
  if (refusal->refuses()) {
    for (const std::size_t place : run->places) {
      SpecOutcome& outcome = run->result.outcomes[place];
      outcome.stage = Stage::kData;
      outcome.reply = refusal->reply;
      outcome.rule = refusal->rule;
      outcome.action = refusal->reply.temporary() ? "defer" : "reject";
    }
    finish_trail(*run, transaction->trail);
    co_return Result<void>();
  }
  const Decision decision = co_await run->parts.policy.message(*transaction);
  finish_trail(*run, transaction->trail);
  if (run->mail.trail_only) co_return Result<void>();
  Result<std::string> body = co_await body_of(&draft);
  if (!body) co_return std::unexpected(body.error());
  settle_outcomes(run->result, run->places, *transaction, decision, edited_header(draft, transaction->edits), *body);
  run->result.sender = transaction->envelope.sender.to_string();
  co_return co_await describe_settled(transaction, &run->result);
}

Task<Result<void>> run_transaction(Run* run) {
  Transaction transaction(run->session);
  transaction.envelope = run->mail.envelope;
  transaction.answers_each = run->mail.answers_each;
  const Verdict verdict = co_await run->parts.policy.mail(transaction);
  if (verdict.refuses()) {
    refuse_rest(run->result, run->mail.recipients, Stage::kMail, verdict);
    finish_trail(*run, transaction.trail);
    co_return Result<void>();
  }
  co_await name_recipients(run, &transaction);
  if (!run->places.empty() && run->mail.text) co_return co_await send_text(run, &transaction);
  finish_trail(*run, transaction.trail);
  co_return Result<void>();
}

}  // namespace

std::string with_crlf(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 32);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
    out += text[i];
  }
  return out;
}

std::vector<OfflineMail::Step> steps_of(const ClientInfo& client) {
  ClientInfo now = client;
  now.ehlo.clear();
  now.esmtp = false;
  now.auth_user.clear();
  now.auth_mechanism.clear();
  const bool tls_first = client.role == SessionRole::kSubmissions;
  const bool login_first = client.role == SessionRole::kLocal;
  if (!tls_first) now.tls_version = now.tls_cipher = now.tls_sni = now.tls_peer = {};
  if (login_first) now.auth_user = client.auth_user, now.auth_mechanism = client.auth_mechanism;
  std::vector<OfflineMail::Step> steps{{Stage::kConnect, now}};
  const auto hello = [&] {
    now.ehlo = client.ehlo;
    now.esmtp = client.esmtp;
    steps.push_back({Stage::kEhlo, now});
  };
  hello();
  if (client.secure() && !tls_first) {
    now.tls_version = client.tls_version;
    now.tls_cipher = client.tls_cipher;
    now.tls_sni = client.tls_sni;
    now.tls_peer = client.tls_peer;
    steps.push_back({Stage::kStarttls, now});
    hello();
  }
  if (client.authenticated() && !login_first) {
    now.auth_user = client.auth_user;
    now.auth_mechanism = client.auth_mechanism;
    steps.push_back({Stage::kAuth, now});
  }
  return steps;
}

Result<OfflineMail> offline_mail(const SpecMail& mail) {
  OfflineMail out;
  out.steps = steps_of(mail.client);
  if (!mail.client.reverse_name.empty())
    out.reverse = SessionState::Reverse{.status = mail.client.reverse_verified ? ReverseName::Status::kConfirmed
                                                                               : ReverseName::Status::kUnconfirmed};
  auto sender = parsed(mail.sender, true);
  if (!sender) return std::unexpected(sender.error());
  out.envelope.sender = std::move(*sender);
  for (const std::string& text : mail.recipients) {
    auto address = parsed(text, false);
    if (!address) return std::unexpected(address.error());
    out.recipients.push_back({std::move(*address), "", kNotifyUnset});
  }
  out.text = with_crlf(mail.text);
  out.answers_each = mail.client.role == SessionRole::kLmtp;
  return out;
}

namespace {

Task<Result<SpecResult>> lead(OfflineParts parts, const OfflineMail* mail) {
  Run run{parts, *mail, SessionState(mail->session), {}};
  run.session.proxy = mail->proxy;
  run.session.reverse = mail->reverse;
  run.result.sender = mail->envelope.sender.to_string();
  Result<void> done;
  if (co_await open_session(&run) && mail->mails)
    done = co_await run_transaction(&run);
  else
    finish_trail(run, run.session.trail);
  co_await parts.policy.disconnect(run.session);
  if (!done) co_return std::unexpected(done.error());
  co_return std::move(run.result);
}

}  // namespace

Task<Result<SpecResult>> run_offline(OfflineParts parts, const OfflineMail* mail) {
  std::string threw;
  try {
    co_return co_await lead(parts, mail);
  } catch (...) {
    threw = fault_of_current_exception().detail;
  }
  co_return fault("offline.threw", std::move(threw));
}

}  // namespace postern
