// A connection's beginning and end; its transactions are in connection_send.cc.
#include "connection.h"

#include <fmt/format.h>

#include "commands.h"
#include "postern/text.h"

namespace postern::relay {

namespace {

using Stage = Connection::Stage;

Reply lost_reply(std::string_view enhanced, std::string text) {
  return {451, std::string(enhanced), std::move(text)};
}

TlsOutcome::Result result_of(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kHostMismatch:
      return TlsOutcome::Result::kCertificateHostMismatch;
    case TlsFailure::kExpired:
      return TlsOutcome::Result::kCertificateExpired;
    case TlsFailure::kNotTrusted:
      return TlsOutcome::Result::kCertificateNotTrusted;
    case TlsFailure::kNoTlsa:
      return TlsOutcome::Result::kTlsaInvalid;
    default:
      return TlsOutcome::Result::kValidationFailure;
  }
}

/// A refusal before any mail was spoken of: whatever its class, the host as a whole does not want us now. RFC 7504 §3
/// and 5xx greetings are final only when no other host says otherwise, which the delivery knows.
Connection::Failure refused(Stage stage, const Reply& reply) {
  return {stage, reply, false, true};
}

}  // namespace

Connection::Connection(Executor& executor, const TimeoutSettings& timeout, Protocol protocol, std::size_t single_flight)
    : executor_(executor), timeout_(timeout), protocol_(protocol), single_flight_(single_flight) {}

bool Connection::take_reply() {
  const auto state = replies_.take(*stream_);
  if (state == ReplyReader::State::kBroken) throw ProtocolError("the host's reply is no SMTP reply");
  return state == ReplyReader::State::kDone;
}

Task<void> Connection::wait_reply(Duration timeout) {
  const Deadline deadline = Deadline::after(timeout).fixed(executor_.now());
  do co_await stream_->fill_more(deadline);
  while (!take_reply());
}

Task<Reply> Connection::ask(std::string command, Duration timeout) {
  stream_->put(command);
  stream_->put("\r\n");
  co_await stream_->flush(Deadline::after(timeout));
  if (!take_reply()) co_await wait_reply(timeout);
  co_return reply();
}

Task<std::optional<Connection::Failure>> Connection::open(Opening opening) {
  std::optional<Failure> failed;
  peer_ = opening.to;
  try {
    stream_ =
        co_await connect(executor_, {.to = opening.to, .from = opening.source}, Deadline::after(timeout_.connect));
  } catch (const TimedOut&) {
    failed = Failure{Stage::kConnect, lost_reply("4.4.1", "no answer")};
  } catch (const Closed& error) {
    failed = Failure{Stage::kConnect, lost_reply("4.4.1", fmt::format("cannot connect: {}", error.what()))};
  }
  if (failed) co_return failed;
  try {
    failed = co_await converse(opening);
  } catch (const TimedOut&) {
    failed = Failure{Stage::kHello, lost_reply("4.4.2", "the host did not answer in time")};
  } catch (const Cancelled&) {
    throw;
  } catch (const Error& error) {
    failed = Failure{Stage::kHello, lost_reply("4.4.2", fmt::format("the conversation broke: {}", error.what()))};
  }
  usable_ = !failed;
  co_return failed;
}

Task<std::optional<Connection::Failure>> Connection::converse(const Opening& opening) {
  if (opening.proxy != ProxyHeader::kNone && opening.client) {
    std::string header;
    append_proxy_header(header, *opening.client, opening.proxy);
    co_await stream_->write(header, Deadline::after(timeout_.block));
  }
  std::optional<Failure> failed;
  if (opening.target.implicit_tls) failed = co_await handshake(opening);
  if (!failed) failed = co_await greeting();
  if (!failed) failed = co_await hello(opening);
  if (!failed && !stream_->secure()) failed = co_await start_tls(opening);
  if (!failed && opening.login) failed = co_await log_in(opening);
  if (!failed && opening.xclient && opening.client && can_.xclient) failed = co_await xclient(opening);
  co_return failed;
}

Task<std::optional<Connection::Failure>> Connection::greeting() {
  if (!take_reply()) co_await wait_reply(timeout_.greeting);
  if (reply().code == 220) co_return std::nullopt;
  Reply said = reply();
  if (said.positive()) said = lost_reply("4.5.0", fmt::format("the host greets with {} {}", said.code, said.text));
  co_return refused(Stage::kGreeting, said);
}

Task<std::optional<Connection::Failure>> Connection::hello(const Opening& opening) {
  const bool lmtp = protocol_ == Protocol::kLmtp;
  Reply said = co_await ask(fmt::format("{} {}", lmtp ? "LHLO" : "EHLO", opening.ehlo), timeout_.hello);
  if (said.code == 250) {
    can_ = Capabilities::parse(said.text);
  } else if (said.permanent() && said.code != 521 && !lmtp && !opening.target.implicit_tls) {
    can_ = {};  // a host from before RFC 1425
    said = co_await ask("HELO " + opening.ehlo, timeout_.hello);
  }
  if (said.code != 250) {
    if (said.positive()) said = lost_reply("4.5.0", fmt::format("EHLO is answered with {} {}", said.code, said.text));
    co_return refused(Stage::kHello, said);
  }
  std::string_view name = said.text;
  name = name.substr(0, name.find_first_of(" \n"));
  if (!opening.way.smarthost && equal_folded(name, opening.ehlo))  // RFC 5321 §5.1: the MX is us by another name
    co_return Failure{Stage::kHello, {554, "5.4.6", "the host calls itself by our own name: the mail would loop"}};
  co_return std::nullopt;
}

Task<std::optional<Connection::Failure>> Connection::start_tls(const Opening& opening) {
  const TlsDecision& decision = opening.target.tls;
  if (decision.level == TlsLevel::kNone || !decision.context) co_return std::nullopt;
  const bool optional = decision.level == TlsLevel::kOpportunistic;
  if (opening.plaintext && optional) co_return std::nullopt;
  if (!can_.starttls) {
    report(opening, optional ? TlsOutcome::Result::kPlaintext : TlsOutcome::Result::kStarttlsNotSupported,
           "STARTTLS is not offered");
    if (optional) co_return std::nullopt;
    co_return Failure{Stage::kTls, lost_reply("4.7.4", "TLS is required, and the host does not offer STARTTLS")};
  }
  const Reply said = co_await ask("STARTTLS", timeout_.hello);
  if (said.code != 220) {
    report(opening, TlsOutcome::Result::kStarttlsNotSupported,
           fmt::format("STARTTLS was answered with {} {}", said.code, said.text));
    co_return Failure{Stage::kTls,
                      lost_reply("4.7.4", fmt::format("STARTTLS was refused: {} {}", said.code, said.text)),
                      optional && decision.plaintext_after_failure};
  }
  if (auto failed = co_await handshake(opening)) co_return failed;
  // RFC 3207 §4.2: what was learned without TLS is forgotten.
  co_return co_await hello(opening);
}

Task<std::optional<Connection::Failure>> Connection::handshake(const Opening& opening) {
  const TlsDecision& decision = opening.target.tls;
  if (!decision.context) co_return Failure{Stage::kTls, lost_reply("4.7.5", "there is no TLS context for this host")};
  std::string why;
  TlsFailure kind = TlsFailure::kHandshake;
  try {
    co_await stream_->connect_tls(*decision.context, decision.peer, Deadline::after(timeout_.tls));
  } catch (const TlsFailed& error) {
    why = error.what();
    kind = error.why();
  } catch (const ProtocolError& error) {  // octets after the 220: an injected response (RFC 3207 §6)
    why = error.what();
  } catch (const TimedOut&) {
    why = "the handshake took too long";
  } catch (const Closed& error) {
    why = error.what();
  }
  if (why.empty()) {
    level_ = decision.level;
    tls_ = stream_->tls_info();
    report(opening, TlsOutcome::Result::kSuccess, {});
    co_return std::nullopt;
  }
  report(opening, result_of(kind), why);
  co_return Failure{Stage::kTls, lost_reply("4.7.5", why),
                    decision.level == TlsLevel::kOpportunistic && decision.plaintext_after_failure};
}

void Connection::report(const Opening& opening, TlsOutcome::Result result, std::string detail) const {
  opening.policies.report({.domain = opening.target.domain,
                           .host = opening.target.name,
                           .source_ip = stream_->local().ip,
                           .host_ip = peer_.ip,
                           .decision = &opening.target.tls,
                           .result = result,
                           .detail = std::move(detail),
                           .info = tls_});
}

/// RFC 4954. A password never leaves without TLS, nor for a host that has not proved who it is. What the host says of
/// our log-in is no reason to refuse a sender's mail: it waits until the administrator has mended it.
Task<std::optional<Connection::Failure>> Connection::log_in(const Opening& opening) {
  const Login& login = *opening.login;
  if (!stream_->secure())
    co_return Failure{Stage::kAuth, lost_reply("4.7.0", "the route logs in, which needs TLS, and there is none")};
  if (!may_log_in(opening.way, level_))
    co_return Failure{Stage::kAuth,
                      lost_reply("4.7.0", "the route logs in, and the host's certificate was not to be verified")};
  if (!can_.auth_plain && !can_.auth_login)
    co_return Failure{Stage::kAuth, lost_reply("4.7.0", "the host offers neither AUTH PLAIN nor AUTH LOGIN")};
  Reply said;
  if (can_.auth_plain) {
    std::string plain(1, '\0');
    plain += login.user;
    plain += '\0';
    plain += login.password;
    said = co_await ask("AUTH PLAIN " + base64_encode(plain), timeout_.auth);
  } else {
    said = co_await ask("AUTH LOGIN", timeout_.auth);
    if (said.code == 334) said = co_await ask(base64_encode(login.user), timeout_.auth);
    if (said.code == 334) said = co_await ask(base64_encode(login.password), timeout_.auth);
  }
  if (said.code == 235) co_return std::nullopt;
  co_return Failure{Stage::kAuth,
                    {454, "4.7.8", fmt::format("the host refuses our log-in: {} {}", said.code, said.text)}};
}

Task<std::optional<Connection::Failure>> Connection::xclient(const Opening& opening) {
  std::string line;
  append_xclient(line, *opening.client, can_.xclient);
  line.resize(line.size() - 2);
  const Reply said = co_await ask(std::move(line), timeout_.hello);
  if (said.code != 220) co_return refused(Stage::kHello, said);
  co_return co_await hello(opening);
}

Task<void> Connection::quit() {
  if (!stream_ || stream_->peer_gone()) co_return;
  usable_ = false;
  try {
    co_await ask("QUIT", timeout_.quit);
    stream_->close();
  } catch (const Cancelled&) {
    throw;
  } catch (const Error&) {
    // It is over either way.
  }
}

}  // namespace postern::relay
