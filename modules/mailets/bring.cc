#include "bring.h"

#include <fmt/format.h>

#include <algorithm>

#include "body.h"
#include "parts.h"
#include "postern/mail_date.h"
#include "postern/message.h"
#include "postern/mime_edit.h"
#include "postern/text.h"
#include "postern/wait.h"

namespace postern::mailets {

// --- arguments ------------------------------------------------------------------------------------------------------

std::vector<Address> addresses_of(Arguments& arguments, std::string_view key) {
  std::vector<Address> out;
  for (const std::string& text : arguments.texts(key)) {
    auto parsed = Address::parse(text);
    if (!parsed)
      arguments.complain(fmt::format("\"{}\" is not a mail address", text));
    else if (std::ranges::find(out, *parsed) == out.end())
      out.push_back(std::move(*parsed));
  }
  if (out.size() > kMaxTargets) arguments.complain(fmt::format("{} are more than {} addresses", key, kMaxTargets));
  return out;
}

Targets targets_of(Arguments& arguments, std::string_view key) {
  if (auto asked = arguments.address_source(key)) return {.fixed = {}, .asked = std::move(asked)};
  return {.fixed = addresses_of(arguments, key), .asked = nullptr};
}

Task<Result<std::vector<Address>>> Targets::of(RuleCall call) const {
  if (!asked) co_return fixed;
  auto given = co_await asked->addresses(call);
  if (!given) co_return given;
  std::vector<Address> out;
  for (Address& one : *given) {
    if (std::ranges::find(out, one) != out.end()) continue;
    if (out.size() == kMaxTargets)
      co_return fault("mailet.targets", fmt::format("the function gave more than {} addresses", kMaxTargets));
    out.push_back(std::move(one));
  }
  co_return out;
}

std::optional<Address> address_of(Arguments& arguments, std::string_view key) {
  const std::string text = arguments.text(key, "");
  if (text.empty()) return std::nullopt;
  auto parsed = Address::parse(text);
  if (!parsed) arguments.complain(fmt::format("\"{}\" is not a mail address", text));
  return parsed ? std::optional(std::move(*parsed)) : std::nullopt;
}

std::string joined(const std::vector<Address>& addresses) {
  std::string out;
  for (const Address& one : addresses) out += (out.empty() ? "" : ", ") + one.to_string();
  return out;
}

// --- the message as it is -------------------------------------------------------------------------------------------

bool came_from(const RuleCall& call, std::string_view why) {
  const auto& before = call.transaction.brought_by;
  if (std::ranges::find(before, why) == before.end()) return false;
  call.effects.trail().fact(call.stage, "not again", why);
  return true;
}

std::size_t first_of(const RecipientSet& recipients) {
  std::size_t first = 0;
  while (first < recipients.size() && !recipients.contains(first)) ++first;
  return first;
}

std::string header_now(const RuleCall& call) {
  const HeaderBlock block(call.transaction.headers());
  const HeaderEdits edits = call.edits_so_far();
  return edits.empty() ? std::string(call.transaction.headers()) : edits.apply(block).join();
}

Task<Result<void>> append_body(Draft* from, Draft& to) {
  int pieces = 0;
  for (std::uint64_t at = 0; at < from->body_size();) {
    auto piece = co_await from->read_body(at, kPieceSize);
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    if (auto taken = co_await to.append(*piece); !taken) co_return taken;
    at += piece->size();
    if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
  }
  co_return Result<void>();
}

Task<Result<Draft>> copy_message(RuleCall call, std::string header) {
  Draft* from = call.transaction.draft;
  if (!from) co_return fault("mail.none", "there is no message yet");
  auto draft = call.effects.begin_draft(from->size());
  if (!draft) co_return std::unexpected(std::move(draft).error());
  if (auto taken = co_await draft->append(header); !taken) co_return std::unexpected(std::move(taken).error());
  if (auto copied = co_await append_body(from, *draft); !copied) co_return std::unexpected(std::move(copied).error());
  draft->prepend(from->prefix());
  co_return draft;
}

Envelope envelope_onward(const RuleCall& call, const std::vector<Address>& to) {
  Envelope out = call.transaction.envelope;
  Recipient like;
  if (call.recipients.count() == 1) {
    like = out.recipients[first_of(call.recipients)];
    if (like.orcpt.empty()) like.orcpt = format_orcpt("rfc822", like.address.to_string());
  }
  out.recipients.clear();
  for (const Address& one : to) {
    out.recipients.push_back(like);
    out.recipients.back().address = one;
  }
  out.smtputf8 = out.smtputf8 || std::ranges::any_of(to, &Address::needs_smtputf8);
  out.size.reset();
  out.hold_until.reset();
  return out;
}

ActionResult sent_on(std::string reason) {
  ActionResult result;
  result.kind = ActionResult::Kind::kFinal;
  result.verdict.kind = Verdict::Kind::kDiscard;
  result.verdict.reason = std::move(reason);
  return result;
}

// --- notices --------------------------------------------------------------------------------------------------------

namespace {

std::string with_crlf(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
    out += text[i];
  }
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

std::string mailbox(const Address& address, const std::string& name) {
  if (name.empty()) return address.to_string();
  std::string phrase = encode_words(name);
  if (phrase == name && name.find_first_of("()<>[]:;@\\,.\"") != std::string::npos) {  // RFC 5322 §3.2.4
    phrase = "\"";
    for (const char c : name) {
      if (c == '"' || c == '\\') phrase += '\\';
      phrase += c;
    }
    phrase += '"';
  }
  return phrase + " <" + address.to_string() + ">";
}

/// In-Reply-To and References (RFC 5322 §3.6.4), as far as the message has an id.
std::string thread_fields(const HeaderBlock& about) {
  const auto ids = parse_message_ids(about.value("Message-ID"));
  if (ids.empty()) return {};
  constexpr std::size_t kMostReferences = 20;
  auto references = parse_message_ids(about.value("References"));
  if (references.size() > kMostReferences) references.erase(references.begin(), references.end() - kMostReferences);
  references.push_back(ids.front());
  return make_field("In-Reply-To", ids.front()) +
         make_field("References", fmt::format("{}", fmt::join(references, " ")));
}

std::string text_part(const std::string& text) {
  const std::string body = with_crlf(text);
  const bool ascii = is_ascii(body);
  const bool plain = ascii && !has_odd_lines(body);  // subjects and texts of scripts have lines of any length
  return fmt::format("Content-Type: text/plain; charset={}\r\n{}\r\n{}", ascii ? "us-ascii" : "utf-8",
                     plain ? "" : "Content-Transfer-Encoding: quoted-printable\r\n",
                     plain ? body : encode_quoted_printable(body));
}

}  // namespace

Task<Result<Draft>> write_notice(RuleCall call, Notice notice) {
  Draft* about = call.transaction.draft;
  const HeaderBlock original(call.transaction.headers());
  if (notice.attach == Notice::Attach::kMessage && (!about || about->size() > kMaxAttached))
    notice.attach = Notice::Attach::kHeader;
  const auto number = static_cast<std::uint64_t>(call.effects.random() * 9007199254740992.0);  // 2^53
  const WallTime now = call.effects.clock();
  const std::string boundary = fmt::format("=_notice-{:014x}", number);
  std::string head =
      make_field("From", mailbox(notice.from, notice.from_name)) + make_field("To", notice.to.to_string()) +
      make_field("Subject", encode_words(notice.subject)) + make_field("Date", format_mail_date(now)) +
      make_field("Message-ID", make_message_id(now, number, notice.from.domain().ascii())) + thread_fields(original) +
      make_field("Auto-Submitted", notice.auto_submitted) + "MIME-Version: 1.0\r\n";
  auto draft = call.effects.begin_draft();
  if (!draft) co_return std::unexpected(std::move(draft).error());
  if (notice.attach == Notice::Attach::kNothing) {
    if (auto ok = co_await draft->append(head + text_part(notice.text)); !ok) co_return std::unexpected(ok.error());
    co_return draft;
  }
  const bool whole = notice.attach == Notice::Attach::kMessage;
  const bool binary = call.transaction.envelope.body == BodyType::kBinaryMime;
  head += fmt::format("Content-Type: multipart/mixed; boundary=\"{0}\"\r\n\r\n--{0}\r\n", boundary);
  head += text_part(notice.text);
  head += fmt::format("\r\n--{}\r\nContent-Type: {}\r\nContent-Transfer-Encoding: {}\r\n\r\n", boundary,
                      whole ? "message/rfc822" : "text/rfc822-headers", whole && binary ? "binary" : "8bit");
  if (about) head += about->prefix();
  head += call.transaction.headers();
  if (auto ok = co_await draft->append(head); !ok) co_return std::unexpected(ok.error());
  if (whole)
    if (auto ok = co_await append_body(about, *draft); !ok) co_return std::unexpected(ok.error());
  if (auto ok = co_await draft->append("\r\n--" + boundary + "--\r\n"); !ok) co_return std::unexpected(ok.error());
  co_return draft;
}

void bring_notice(const RuleCall& call, Draft draft, const Address& to, std::string why, bool fixed,
                  std::shared_ptr<const KeyValueRequest> once) {
  BroughtMail mail{.envelope = {},
                   .draft = std::move(draft),
                   .rule = {},
                   .why = std::move(why),
                   .fixed_recipients = fixed,
                   .notes = {},
                   .once = std::move(once)};
  mail.envelope.recipients.emplace_back().address = to;
  mail.envelope.recipients.back().notify = kNotifyNever;
  mail.envelope.smtputf8 = to.needs_smtputf8();
  mail.envelope.body =
      call.transaction.envelope.body == BodyType::kBinaryMime ? BodyType::kBinaryMime : BodyType::k8BitMime;
  call.transaction.brought.push_back(std::move(mail));
}

std::optional<std::string> no_answer_to(const RuleCall& call) {
  const Transaction& mail = call.transaction;
  if (mail.envelope.sender.is_null()) return "its sender is null";
  const HeaderBlock header(mail.headers());
  if (const auto field = header.find("Auto-Submitted"))
    if (parse_parameters(field->value()).value != "no") return "a program sent it (Auto-Submitted)";
  for (const HeaderField& field : header)
    if (starts_with_folded(field.name, "List-")) return "a mailing list sent it";
  const std::string precedence = to_lower(header.value("Precedence"));
  if (precedence == "bulk" || precedence == "list" || precedence == "junk") return "its precedence is " + precedence;
  const std::string suppress = to_lower(header.value("X-Auto-Response-Suppress"));
  if (suppress.contains("all") || suppress.contains("oof") || suppress.contains("autoreply"))
    return "it wants no automatic answer";
  const std::string local = to_lower(mail.envelope.sender.local());
  for (const std::string_view name : {"mailer-daemon", "postmaster", "listserv", "majordomo", "noreply", "no-reply"})
    if (local == name) return "its sender is a program: " + local;
  if (local.starts_with("owner-") || local.ends_with("-owner") || local.ends_with("-request") ||
      local.contains("-bounce"))
    return "its sender is a list: " + local;
  return std::nullopt;
}

Address our_postmaster(const RuleCall& call) {
  auto domain = Domain::parse(call.effects.directory().default_domain());
  if (!domain) domain = Domain::literal(call.transaction.session.client.local_ip);
  return *Address::make("postmaster", std::move(*domain));
}

}  // namespace postern::mailets
