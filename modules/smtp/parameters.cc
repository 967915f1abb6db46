#include "parameters.h"

#include <algorithm>

#include "command.h"
#include "postern/text.h"

namespace postern::smtp {

namespace {

/// Octets of a local part. RFC 5321 §4.5.3.1.1 asks for 64, and for more where that can be: senders that forwarders and
/// lists make (SRS, VERP) have another address in them. The path as a whole keeps the bound of §4.5.3.1.3.
constexpr std::size_t kMaxLocal = kMaxPath;

Reply syntax(std::string text) {
  return {501, "5.5.4", std::move(text)};
}
Reply unknown_parameter(std::string_view name) {
  return {555, "5.5.4", "Parameter not recognised or not implemented: " + std::string(name)};
}
Reply example(Verb verb, std::string why) {
  return syntax(std::move(why) + "; for example: " + std::string(info(verb).example));
}

void skip_blanks(std::string_view& text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
}

/// Takes "FROM:" or "TO:" off; a missing colon is mended when the rules are lenient.
std::optional<Reply> take_word(std::string_view& text, std::string_view word, Verb verb, bool lenient) {
  if (!starts_with_folded(text, word)) return example(verb, "Syntax error");
  text.remove_prefix(word.size());
  std::string_view after = text;
  skip_blanks(after);
  if (!after.empty() && after.front() == ':') {
    text = after.substr(1);
    skip_blanks(text);
    return std::nullopt;
  }
  if (!lenient || after.empty() || (after.size() == text.size() && after.front() != '<'))
    return example(verb, "A colon is missing after " + std::string(word));
  text = after;
  return std::nullopt;
}

struct Parameter {
  std::string_view name;
  std::optional<std::string_view> value;
};

/// Takes the next parameter off `text`; nothing at its end. RFC 5321 §4.1.2 (esmtp-param).
OrReply<std::optional<Parameter>> next_parameter(std::string_view& text) {
  skip_blanks(text);
  if (text.empty()) return std::nullopt;
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  Parameter found;
  const std::size_t equals = word.find('=');
  found.name = word.substr(0, equals);
  if (equals != word.npos) found.value = word.substr(equals + 1);
  const bool good_name = !found.name.empty() && found.name.front() != '-' &&
                         std::ranges::all_of(found.name, [](char c) { return is_ascii_alnum(c) || c == '-'; });
  if (!good_name) return std::unexpected(syntax("Not a parameter"));
  if (found.value && (found.value->empty() || found.value->find('=') != word.npos))
    return std::unexpected(syntax("Bad value of parameter " + std::string(found.name)));
  return found;
}

/// Walks the parameters behind a path; `take` returns a reply to stop with. Each name may come once.
template <class Take>
std::optional<Reply> each_parameter(std::string_view text, bool esmtp, Take take) {
  std::string_view seen[kMaxParameters];
  std::size_t count = 0;
  while (true) {
    auto parameter = next_parameter(text);
    if (!parameter) return parameter.error();
    if (!*parameter) return std::nullopt;
    if (!esmtp) return unknown_parameter((*parameter)->name);
    if (count == kMaxParameters) return syntax("Too many parameters");
    for (std::size_t at = 0; at < count; ++at)
      if (equal_folded(seen[at], (*parameter)->name)) return syntax("Parameter given twice: " + std::string(seen[at]));
    seen[count++] = (*parameter)->name;
    if (auto reply = take(**parameter)) return reply;
  }
}

/// Stores a parsed value, or makes the reply that says what is wrong with it.
template <class T, class Parse>
std::optional<Reply> store(T& out, const Parameter& parameter, Parse parse) {
  if (!parameter.value) return syntax("Parameter " + std::string(parameter.name) + " needs a value");
  auto parsed = parse(*parameter.value);
  if (!parsed) return syntax(std::string(parameter.name) + ": " + std::string(parsed.error().what));
  out = std::move(*parsed);
  return std::nullopt;
}
std::optional<Reply> flag(bool& out, const Parameter& parameter) {
  if (parameter.value) return syntax("Parameter " + std::string(parameter.name) + " takes no value");
  out = true;
  return std::nullopt;
}

/// AUTH= of MAIL: checked and then ignored, since nobody here is trusted to vouch for others (RFC 4954 §5 allows that).
std::optional<Reply> check_auth_parameter(const Parameter& parameter) {
  if (!parameter.value || parameter.value->size() > kMaxAuthParameter) return syntax("AUTH: bad value");
  if (*parameter.value == "<>") return std::nullopt;
  if (!xtext_decode(*parameter.value)) return syntax("AUTH: not xtext");
  return std::nullopt;
}

/// MT-PRIORITY, BY, HOLDFOR and HOLDUNTIL; nothing when it is none of them.
std::optional<std::optional<Reply>> timing_parameter(MailArguments& mail, const Parameter& p, WallTime now) {
  const auto is = [&](std::string_view name) { return equal_folded(p.name, name); };
  if (is("MT-PRIORITY")) return store(mail.priority, p, parse_priority);
  if (is("BY")) return store(mail.deliver_by, p, [now](std::string_view text) { return parse_deliver_by(text, now); });
  if (!is("HOLDFOR") && !is("HOLDUNTIL")) return std::nullopt;
  if (mail.hold_until) return syntax("HOLDFOR and HOLDUNTIL exclude each other");  // RFC 4865 §5
  auto wrong = store(mail.hold_until, p, [&](std::string_view text) {
    return is("HOLDFOR") ? parse_hold_for(text, now) : parse_hold_until(text);
  });
  if (!wrong && *mail.hold_until > now + kMaxFutureRelease)
    return syntax(std::string(p.name) + ": later than is offered here");
  return wrong;
}

std::optional<Reply> mail_parameter(MailArguments& mail, const Parameter& p, const ArgumentRules& rules) {
  const auto is = [&](std::string_view name) { return equal_folded(p.name, name); };
  if (is("SIZE")) return store(mail.size, p, parse_declared_size);
  if (is("BODY")) {
    if (auto reply = store(mail.body, p, parse_body)) return reply;
    if (mail.body == BodyType::kBinaryMime) return syntax("BODY=BINARYMIME is not offered here");  // RFC 3030 §3
    return std::nullopt;
  }
  if (is("SMTPUTF8") && rules.smtputf8) return flag(mail.smtputf8, p);
  if (is("PRDR") && rules.prdr) return flag(mail.prdr, p);
  if (is("AUTH") && rules.auth) return check_auth_parameter(p);
  if (is("RET") && rules.dsn) return store(mail.ret, p, parse_ret);
  if (is("ENVID") && rules.dsn) {
    if (auto reply = store(mail.envid, p, parse_envid)) return reply;
    mail.envid = std::string(*p.value);  // kept as given
    return std::nullopt;
  }
  if (rules.timing)
    if (auto known = timing_parameter(mail, p, rules.now)) return *known;
  return unknown_parameter(p.name);
}

std::optional<Reply> rcpt_parameter(Recipient& recipient, const Parameter& p, const ArgumentRules& rules) {
  const auto is = [&](std::string_view name) { return equal_folded(p.name, name); };
  if (is("NOTIFY") && rules.dsn) return store(recipient.notify, p, parse_notify);
  if (is("ORCPT") && rules.dsn) {
    OriginalRecipient original;
    if (auto reply = store(original, p, parse_orcpt)) return reply;
    recipient.orcpt = std::string(*p.value);
    return std::nullopt;
  }
  return unknown_parameter(p.name);
}

Reply bad_path(Verb verb, const SyntaxFault& fault) {
  return {501, verb == Verb::kMail ? "5.1.7" : "5.1.3",
          std::string(fault.what) + "; for example: " + std::string(info(verb).example)};
}

}  // namespace

OrReply<MailArguments> parse_mail(std::string_view text, const ArgumentRules& rules) {
  if (auto reply = take_word(text, "FROM", Verb::kMail, rules.lenient)) return std::unexpected(*reply);
  // UTF-8 is let in first: whether it was asked for stands behind the path.
  auto path = parse_path(text, {.allow_utf8 = rules.smtputf8,
                                .allow_missing_brackets = rules.lenient,
                                .allow_null = true,
                                .max_local_part = kMaxLocal});
  if (!path) return std::unexpected(bad_path(Verb::kMail, path.error()));
  MailArguments mail;
  mail.sender = std::move(path->address);
  auto wrong = each_parameter(text.substr(path->length), rules.esmtp,
                              [&](const Parameter& p) { return mail_parameter(mail, p, rules); });
  if (wrong) return std::unexpected(*wrong);
  if (!mail.smtputf8 && !is_ascii(text.substr(0, path->length)))
    return std::unexpected(Reply{553, "5.6.7", "An address outside ASCII needs SMTPUTF8 on MAIL"});  // RFC 6531 §3.5
  return mail;
}

OrReply<Recipient> parse_rcpt(std::string_view text, const ArgumentRules& rules) {
  if (auto reply = take_word(text, "TO", Verb::kRcpt, rules.lenient)) return std::unexpected(*reply);
  auto path = parse_path(text, {.allow_utf8 = true,
                                .allow_missing_brackets = rules.lenient,
                                .allow_postmaster = true,
                                .max_local_part = kMaxLocal});
  if (!path) return std::unexpected(bad_path(Verb::kRcpt, path.error()));
  if (!rules.smtputf8 && !is_ascii(text.substr(0, path->length)))
    return std::unexpected(Reply{553, "5.6.7", "An address outside ASCII needs SMTPUTF8 on MAIL"});
  Recipient recipient;
  recipient.address = std::move(path->address);
  auto wrong = each_parameter(text.substr(path->length), rules.esmtp,
                              [&](const Parameter& p) { return rcpt_parameter(recipient, p, rules); });
  if (wrong) return std::unexpected(*wrong);
  return recipient;
}

OrReply<BdatArguments> parse_bdat(std::string_view text) {
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  skip_blanks(text);
  const auto size = digits.size() > 20 ? std::nullopt : to_number<std::uint64_t>(digits);
  const bool last = equal_folded(text, "LAST");
  if (!size || (!last && !text.empty())) return std::unexpected(example(Verb::kBdat, "Syntax: BDAT octets [LAST]"));
  return BdatArguments{*size, last};
}

namespace {

bool unavailable(std::string_view value) {
  return equal_folded(value, "[UNAVAILABLE]") || equal_folded(value, "[TEMPUNAVAIL]");
}

std::optional<Reply> store_address(std::optional<std::string>& out, std::string_view value) {
  if (unavailable(value)) return out = std::string(), std::nullopt;
  if (starts_with_folded(value, "IPV6:")) value.remove_prefix(5);
  if (!IpAddress::parse(value)) return syntax("XCLIENT: not an address");
  out = std::string(value);
  return std::nullopt;
}
std::optional<Reply> store_port(std::optional<std::uint16_t>& out, std::string_view value) {
  if (unavailable(value)) return out = 0, std::nullopt;
  const auto port = to_number<std::uint16_t>(value);
  if (!port) return syntax("XCLIENT: not a port");
  out = *port;
  return std::nullopt;
}
std::optional<Reply> store_text(std::optional<std::string>& out, std::string_view value) {
  if (unavailable(value)) return out = std::string(), std::nullopt;
  auto decoded = xtext_decode(value);
  if (!decoded || decoded->size() > kMaxClientText || has_control(*decoded)) return syntax("XCLIENT: not xtext");
  out = std::move(*decoded);
  return std::nullopt;
}

std::optional<Reply> store_name(std::optional<DeclaredName>& out, std::string_view value) {
  std::optional<std::string> name;
  if (auto wrong = store_text(name, value)) return wrong;
  out = DeclaredName{std::move(*name), equal_folded(value, "[TEMPUNAVAIL]")};
  return std::nullopt;
}
std::optional<Reply> store_protocol(std::optional<bool>& out, std::string_view value) {
  const bool esmtp = equal_folded(value, "ESMTP");
  if (!esmtp && !equal_folded(value, "SMTP")) return syntax("XCLIENT: PROTO is SMTP or ESMTP");
  out = esmtp;
  return std::nullopt;
}

}  // namespace

OrReply<XclientArguments> parse_xclient(std::string_view text) {
  XclientArguments out;
  if (text.empty()) return std::unexpected(syntax("Syntax: XCLIENT name=value ..."));
  auto wrong = each_parameter(text, true, [&](const Parameter& p) -> std::optional<Reply> {
    const auto is = [&](std::string_view name) { return equal_folded(p.name, name); };
    if (!p.value) return syntax("XCLIENT: a value is missing");
    if (is("NAME")) return store_name(out.name, *p.value);
    if (is("HELO")) return store_text(out.helo, *p.value);
    if (is("LOGIN")) return store_text(out.login, *p.value);
    if (is("PROTO")) return store_protocol(out.esmtp, *p.value);
    if (is("ADDR")) return store_address(out.addr, *p.value);
    if (is("DESTADDR")) return store_address(out.destaddr, *p.value);
    if (is("PORT")) return store_port(out.port, *p.value);
    if (is("DESTPORT")) return store_port(out.destport, *p.value);
    return syntax("XCLIENT: unknown attribute " + std::string(p.name));
  });
  if (wrong) return std::unexpected(*wrong);
  return out;
}

bool is_helo_name(std::string_view text) {
  return Domain::parse(text, {.allow_utf8 = true, .allow_literal = true}).has_value();
}

Reply helo_help(std::string_view verb, std::string_view argument) {
  std::string why = "The name of your host must follow";
  if (argument.find('@') != argument.npos)
    why = "That is a user's address, the name of your host is wanted";
  else if (!argument.empty())
    why = "Neither a host name nor an address literal";
  return {501, "5.5.4", why + "; for example: " + to_upper(verb) + " client.example.org"};
}

}  // namespace postern::smtp
