// What comes before mail: the PROXY header, limits, TLS from the first octet, the greeting; then EHLO and its like, and
// XCLIENT, which begins all of it anew for another client.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "local_user.h"
#include "parameters.h"
#include "postern/overload.h"
#include "postern/sync.h"
#include "postern/text.h"
#include "proxy.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

namespace {

constexpr std::uint32_t kNobodyKnown = ~0U;  // Socket::peer_uid()
constexpr Duration kSlowPause = 250ms;       // before the greeting, while memory is short

bool within(const std::vector<IpNetwork>& networks, const IpAddress& ip) {
  for (const IpNetwork& network : networks)
    if (network.contains(ip)) return true;
  return false;
}

}  // namespace

/// True when the session may go on to commands.
Task<bool> Session::open() {
  transport_ = stream_.peer().ip;
  const bool proxied = !listener().address.is_unix() && within(listener().proxy_protocol, transport_);
  if (proxied && !co_await read_proxy_header()) co_return false;
  fill_client();
  if (!co_await enter_limits()) co_return false;
  if (listener().is_local()) co_await know_user();
  ask_name();
  if (listener().tls_mode() == TlsMode::kImplicit) {
    if (!on_->tls) co_return false;  // nothing can be said in a protocol that cannot be spoken
    co_await stream_.start_implicit_tls(*on_->tls, Deadline::after(settings().tls_timeout));
    note_tls();
  }
  co_return co_await greet();
}

Task<bool> Session::read_proxy_header() {
  const Deadline deadline = Deadline::after(settings().proxy_timeout).fixed(server_.executor().now());
  ProxyParse parsed = parse_proxy(stream_.buffered());
  while (parsed.state == ProxyParse::State::kNeedMore) {
    co_await stream_.fill_more(deadline);
    parsed = parse_proxy(stream_.buffered());
  }
  if (parsed.state == ProxyParse::State::kInvalid) {
    server_.log().warn("smtp.proxy-header", {{"ip", transport_.to_string()}, {"listener", listener().name}});
    co_return false;
  }
  stream_.consume(parsed.header.length);
  if (!parsed.header.local) {
    stream_.set_peer(parsed.header.source);
    stream_.set_local(parsed.header.destination);
    state_.proxy = transport_;
  }
  co_return true;
}

void Session::fill_client() {
  ClientInfo& client = state_.client;
  client.ip = stream_.peer().ip;
  client.port = stream_.peer().port;
  client.local_ip = stream_.local().ip;
  client.local_port = stream_.local().port;
  client.role = listener().role;
  client.listener = listener().name;
  if (listener().address.is_unix()) client.ip = client.local_ip = IpAddress::v4(0x7F000001);
}

/// This machine's users are logged in from the start. The name is one of the system, "unix:" keeps it from being taken
/// for a mail account's. Nobody is known by a socket of which the system tells nothing: such a client is refused at
/// MAIL.
Task<void> Session::know_user() {
  const std::uint32_t uid = stream_.peer_uid();
  if (uid == kNobodyKnown) co_return;
  state_.client.auth_user = "unix:" + co_await run_blocking(Pool::kDisk, [uid] { return system_user(uid); });
  state_.client.auth_mechanism = "PEERCRED";
}

Task<bool> Session::enter_limits() {
  const bool local = listener().is_local();
  const bool counts =
      local || (!listener().address.is_unix() && !within(settings().connection_limit_exempt, state_.client.ip));
  if (counts) {
    counted_ = local ? limit_key_of_user(stream_.peer_uid()) : limit_key(state_.client.ip);
    is_counted_ = co_await server_.parts.limiter.enter(counted_, settings().max_connections_per_ip);
  }
  const auto level = server_.parts.overload ? server_.parts.overload->level() : Overload::Level::kNormal;
  const bool busy = level == Overload::Level::kRefuse;
  if ((counts && !is_counted_) || busy || server_.draining()) {
    metrics().refused_connections.add(server_.worker());
    server_.log().info("smtp.connection-refused", {{"ip", state_.client.ip.to_string()}, {"busy", busy}});
    const std::string_view words = counts && !is_counted_ ? replies::kTooManyConnections
                                   : busy                 ? replies::kServerBusy
                                                          : replies::kDraining;
    if (words != replies::kDraining) leave_trail(trim(words.substr(words.find(' ', 4) + 1)));
    // Before a handshake there is nothing to say it in.
    if (listener().tls_mode() != TlsMode::kImplicit) say_last(words);
    co_await flush();
    co_return false;
  }
  if (level == Overload::Level::kSlow) co_await sleep_for(kSlowPause);
  co_return true;
}

Task<bool> Session::greet() {
  if (on_->greet_pause() > Duration::zero()) {
    // RFC 5321 §3.1: the client waits for the greeting. Who does not is a machine that never listens.
    if (co_await stream_.readable(Deadline::after(on_->greet_pause()))) {
      Verdict early = Verdict::reject(554, "5.5.1", "You spoke before the greeting");
      early.rule = "early-talker";
      refuse(early, "connect");
      leave_trail(early.reply.text);
      co_await flush();
      co_return false;
    }
  }
  greeted_ = true;
  co_await name_for(Stage::kConnect);
  const Verdict verdict = co_await policy().connect(state_);
  if (listener().is_local()) state_.trail.fact(Stage::kConnect, "user", state_.client.auth_user);
  if (verdict.refuses()) {
    refuse(verdict, "connect");
    leave_trail(verdict.reply.text);
    co_await flush();
    co_return false;
  }
  say(greeting());
  co_await flush();
  co_return true;
}

std::string Session::greeting() const {
  return fmt::format("220 {} {} {}\r\n", on_->hostname, listener().is_lmtp() ? "LMTP" : "ESMTP", settings().banner);
}

void Session::note_tls() {
  TlsInfo info = stream_.tls_info();
  state_.client.tls_version = std::move(info.version);
  state_.client.tls_cipher = std::move(info.cipher);
  state_.client.tls_sni = std::move(info.sni);
  state_.client.tls_peer = std::move(info.peer_subject);
  metrics().tls_sessions.add(server_.worker());
}

void Session::forget_client() {
  end_transaction("session began anew");
  hello_ = false;
  esmtp_ = false;
  fixed_helo_ = false;
  fixed_esmtp_.reset();
  state_.client.ehlo.clear();
  state_.client.esmtp = false;
  state_.client.auth_user.clear();
  state_.client.auth_mechanism.clear();
}

Task<void> Session::on_ehlo(Command command) {
  if (listener().is_lmtp()) return say(replies::kUseLhlo), Task<void>::ready();  // RFC 2033 §4.1
  return hello(std::string(command.argument), Verb::kEhlo);
}
Task<void> Session::on_helo(Command command) {
  if (listener().is_lmtp()) return say(replies::kUseLhlo), Task<void>::ready();
  return hello(std::string(command.argument), Verb::kHelo);
}
Task<void> Session::on_lhlo(Command command) {
  if (!listener().is_lmtp()) return say(replies::kUseEhlo), Task<void>::ready();
  return hello(std::string(command.argument), Verb::kLhlo);
}

Task<void> Session::hello(std::string name, Verb verb) {
  const bool strict = settings().strict_helo && listener().role == SessionRole::kMx;
  if (name.empty() || name.find('@') != name.npos || name.find(' ') != name.npos || (strict && !is_helo_name(name))) {
    say(helo_help(info(verb).name, name));
    co_return;
  }
  end_transaction("EHLO");  // RFC 5321 §4.1.4: as RSET
  esmtp_ = verb != Verb::kHelo;
  state_.client.esmtp = fixed_esmtp_.value_or(esmtp_);
  if (!fixed_helo_) state_.client.ehlo = std::move(name);
  co_await name_for(Stage::kEhlo);
  const Verdict verdict = co_await policy().ehlo(state_);
  if (verdict.refuses()) {
    hello_ = false;
    refuse(verdict, "ehlo");
    leave_trail(verdict.reply.text);
    co_return;
  }
  hello_ = true;
  if (verb == Verb::kHelo)
    say(fmt::format("250 {}\r\n", on_->hostname));
  else
    say(extensions());
}

/// What users may ask of the time of their mail (RFC 2852, 4865, 6710): an interval, and the same as an instant.
std::string Session::timing_extensions() const {
  const auto latest = std::chrono::floor<std::chrono::seconds>(server_.executor().wall() + kMaxFutureRelease);
  return fmt::format("250-DELIVERBY\r\n250-FUTURERELEASE {} {:%Y-%m-%dT%H:%M:%SZ}\r\n250-MT-PRIORITY\r\n",
                     std::chrono::seconds(kMaxFutureRelease).count(), latest);
}

/// The answer to EHLO and LHLO. BINARYMIME is not among them: texts are lines here, from end to end.
std::string Session::extensions() const {
  const Settings& s = settings();
  std::string out =
      fmt::format("250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n",
                  on_->hostname, on_->max_message_size());
  if (s.smtputf8) out += "250-SMTPUTF8\r\n";
  if (s.chunking) out += "250-CHUNKING\r\n";
  if (s.dsn) out += "250-DSN\r\n";
  if (listener().takes_first()) out += timing_extensions();
  if (offers_tls()) out += "250-STARTTLS\r\n";
  if (const std::string mechanisms = auth_mechanisms(); !mechanisms.empty() && !needs_tls())
    out += "250-AUTH" + mechanisms + "\r\n";
  if (s.prdr && !listener().is_lmtp()) out += "250-PRDR\r\n";
  if (offers_etrn()) out += "250-ETRN\r\n";  // RFC 1985 §5
  if (may_xclient()) out += "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n";
  out += fmt::format("250-LIMITS RCPTMAX={} MAILMAX={}\r\n", s.max_recipients, s.max_messages);  // RFC 9422
  out += "250 HELP\r\n";
  return out;
}

bool Session::may_xclient() const {
  return !listener().address.is_unix() && within(listener().xclient, transport_);
}

/// XCLIENT named the client, or another address whose name is then to be asked for.
void Session::declare_name(const std::optional<DeclaredName>& declared) {
  ClientInfo& client = state_.client;
  client.reverse_name.clear();
  client.reverse_verified = false;
  if (!declared) return ask_name();
  lookup_.reset();
  client.reverse_name = declared->name;
  client.reverse_verified = !declared->name.empty();  // NAME is only sent when it was verified
  state_.reverse = SessionState::Reverse{.status = client.reverse_verified ? ReverseName::Status::kConfirmed
                                                   : declared->temporary   ? ReverseName::Status::kTryLater
                                                                           : ReverseName::Status::kNone};
}

Task<void> Session::on_xclient(Command command) {
  if (!may_xclient()) {
    say(replies::kNoXclient);
    co_return;
  }
  auto arguments = parse_xclient(command.argument);
  if (!arguments) {
    say(arguments.error());
    co_return;
  }
  forget_client();
  ClientInfo& client = state_.client;
  state_.proxy = transport_;
  if (arguments->addr) client.ip = IpAddress::parse(*arguments->addr).value_or(IpAddress());
  if (arguments->port) client.port = *arguments->port;
  if (arguments->destaddr) client.local_ip = IpAddress::parse(*arguments->destaddr).value_or(IpAddress());
  if (arguments->destport) client.local_port = *arguments->destport;
  if (arguments->addr || arguments->name) declare_name(arguments->name);
  if (arguments->login && !arguments->login->empty()) {
    client.auth_user = *arguments->login;
    client.auth_mechanism = "XCLIENT";
  }
  if (arguments->helo && !arguments->helo->empty()) {
    client.ehlo = *arguments->helo;
    fixed_helo_ = true;
  }
  fixed_esmtp_ = arguments->esmtp;
  client.esmtp = fixed_esmtp_.value_or(false);
  co_await name_for(Stage::kConnect);
  const Verdict verdict = co_await policy().connect(state_);
  if (verdict.refuses()) {
    refuse(verdict, "connect");
    leave_trail(verdict.reply.text);
    closing_ = true;
    co_return;
  }
  say(greeting());
}

}  // namespace postern::smtp
