#include "report_class.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "postern/text.h"

namespace postern::queue {

namespace {

using enum RefusalClass;

constexpr std::string_view kWrite = "Check the address for typing errors, or ask the person for the right one.";
constexpr std::string_view kAdministrator =
    "There is nothing wrong with your message. Please show this report to your mail administrator.";
constexpr std::string_view kOtherWay =
    "Reach the person another way, or ask them to have their mail provider look at it.";

constexpr std::array kInfos = {
    RefusalInfo{kUnknownUser, "unknown-user", "There is no mailbox with this address.", kWrite, true},
    RefusalInfo{kMailboxDisabled, "mailbox-disabled", "The mailbox with this address is no longer in use.",
                "Ask the person for an address that they still use.", true},
    RefusalInfo{kMailboxFull, "mailbox-full", "The recipient's mailbox is full.",
                "Ask the person, by phone or at another address, to make room; then send your message again."},
    RefusalInfo{kMoved, "moved", "The recipient has another address now.",
                "Look in the technical part below: it may name the new address. Then send your message there.", true},
    RefusalInfo{kBadAddress, "bad-address", "The other side cannot make sense of this address.", kWrite, true},
    RefusalInfo{kUnknownDomain, "unknown-domain", "The part of the address behind the @ does not exist.", kWrite, true},
    RefusalInfo{kNoMail, "no-mail", "The part of the address behind the @ exists, but takes no mail at all.",
                "Look for another address of this person or company.", true},
    RefusalInfo{kTooLarge, "too-large", "Your message is larger than the recipient's server allows.",
                "Send it without its attachments, or send smaller ones; large files can be shared by a link."},
    RefusalInfo{kContent, "content", "The recipient's server does not accept what is in the message.",
                "Leave attachments out that are programs or archives, or share them by a link."},
    RefusalInfo{kSpam, "spam", "The recipient's server took your message for unwanted mail.",
                "Send it again in other words, with fewer links and attachments, or reach the person another way."},
    RefusalInfo{kReputation, "reputation", "The recipient's server does not accept mail from our server at present.",
                kAdministrator},
    RefusalInfo{kAuthentication, "authentication",
                "The recipient's server could not make sure that the message really comes from your address.",
                "If you sent it through the usual mail server of your address, please show this report to your mail "
                "administrator; otherwise send it through that one."},
    RefusalInfo{kRateLimited, "rate-limited", "The recipient has got too much mail in too short a time.",
                "Wait some hours, then send your message again."},
    RefusalInfo{kGreylisted, "greylisted", "The recipient's server asks every new sender to wait.",
                "Wait an hour, then send your message again."},
    RefusalInfo{kPolicy, "policy", "The recipient, or the server there, does not accept this message from you.",
                kOtherWay},
    RefusalInfo{kDns, "dns", "We could not find out which server takes mail for this address.",
                "Check the part of the address behind the @. If it is right, try again tomorrow."},
    RefusalInfo{kUnreachable, "unreachable", "The recipient's server could not be reached.",
                "Try again later; if it is urgent, reach the person another way."},
    RefusalInfo{kTls, "tls", "The message could not be sent over a connection that is safe enough.", kAdministrator},
    RefusalInfo{kLoop, "loop", "The message went round in a circle between servers.", kAdministrator},
    RefusalInfo{kProtocol, "protocol", "The two mail servers did not understand each other.", kAdministrator},
    RefusalInfo{kUtf8, "utf8",
                "The recipient's server cannot handle addresses or headers with letters beyond plain English ones.",
                "Ask the person for an address in plain letters, and send the message from such an address too."},
    RefusalInfo{kServerFault, "server-fault", "The recipient's server has a fault.",
                "Try again later; if it is urgent, reach the person another way."},
    RefusalInfo{kExpired, "expired", "The recipient's server did not accept the message in all the time that we tried.",
                "Try again later; if it is urgent, reach the person another way."},
    RefusalInfo{kOther, "other", "The recipient's server did not accept the message.",
                "The technical part below has the words of that server; they may say why."},
};
static_assert(kInfos.size() == static_cast<std::size_t>(kOther) + 1);

/// An enhanced code without its class digit. `certain`: it means one thing, whatever the words are.
struct CodeRow {
  std::string_view code;
  RefusalClass kind;
  bool certain;
};
constexpr CodeRow kCodes[] = {
    {"1.1", kUnknownUser, true},
    {"1.2", kUnknownDomain, true},
    {"1.3", kBadAddress, true},
    {"1.6", kMoved, true},
    {"1.7", kBadAddress, false},  // the sender's address
    {"1.8", kAuthentication, false},
    {"1.9", kUnknownUser, false},
    {"1.10", kNoMail, true},  // RFC 7505
    {"1.0", kUnknownUser, false},
    {"2.1", kMailboxDisabled, false},  // "disabled", but said of blocked senders too
    {"2.2", kMailboxFull, true},
    {"2.3", kTooLarge, true},
    {"2.4", kUnknownUser, false},  // list expansion
    {"2.0", kMailboxDisabled, false},
    {"3.1", kServerFault, false},
    {"3.2", kServerFault, false},
    {"3.4", kTooLarge, true},
    {"3.0", kServerFault, false},
    {"4.1", kUnreachable, true},
    {"4.2", kUnreachable, false},
    {"4.3", kDns, true},
    {"4.4", kDns, false},
    {"4.5", kServerFault, false},
    {"4.6", kLoop, true},
    {"4.7", kExpired, false},
    {"4.0", kUnreachable, false},
    {"5.3", kRateLimited, false},
    {"6.7", kUtf8, true},  // RFC 6531
    {"6.8", kUtf8, true},
    {"6.9", kUtf8, true},
    {"6.10", kUtf8, true},
    {"7.1", kPolicy, false},
    {"7.2", kPolicy, true},
    {"7.8", kAuthentication, false},
    {"7.10", kTls, true},  // encryption needed
    {"7.11", kTls, true},
    {"7.12", kTls, true},
    {"7.20", kAuthentication, true},  // RFC 7372
    {"7.21", kAuthentication, true},
    {"7.22", kAuthentication, true},
    {"7.23", kAuthentication, true},
    {"7.24", kAuthentication, true},
    {"7.25", kReputation, true},
    {"7.26", kAuthentication, true},
    {"7.27", kNoMail, false},  // the sender's domain has a null MX
    {"7.28", kRateLimited, true},
    {"7.29", kAuthentication, true},  // ARC
    {"7.30", kTls, true},             // RFC 8689
};
constexpr RefusalClass kSubjects[] = {kOther,       kUnknownUser, kMailboxDisabled, kServerFault,
                                      kUnreachable, kProtocol,    kContent,         kPolicy};

struct WordRow {
  std::string_view words;
  RefusalClass kind;
};
constexpr WordRow kWords[] = {
    {"greylist", kGreylisted},
    {"graylist", kGreylisted},
    {"grey-list", kGreylisted},
    {"postgrey", kGreylisted},
    {"spamhaus", kReputation},
    {"spamcop", kReputation},
    {"barracudacentral", kReputation},
    {"sorbs", kReputation},
    {"blacklist", kReputation},
    {"blocklist", kReputation},
    {"block list", kReputation},
    {"blocked using", kReputation},
    {"denylist", kReputation},
    {"rbl", kReputation},
    {"dnsbl", kReputation},
    {"listed at", kReputation},
    {"listed by", kReputation},
    {"poor reputation", kReputation},
    {"bad reputation", kReputation},
    {"low reputation", kReputation},
    {"ip reputation", kReputation},
    {"reverse dns", kReputation},
    {"ptr record", kReputation},
    {"dmarc", kAuthentication},
    {"dkim", kAuthentication},
    {"spf ", kAuthentication},
    {"spf)", kAuthentication},
    {"sender policy framework", kAuthentication},
    {"unauthenticated", kAuthentication},
    {"not authenticated", kAuthentication},
    {"over quota", kMailboxFull},
    {"overquota", kMailboxFull},
    {"quota exceeded", kMailboxFull},
    {"exceeded quota", kMailboxFull},
    {"quota", kMailboxFull},
    {"mailbox full", kMailboxFull},
    {"mailbox is full", kMailboxFull},
    {"insufficient storage", kServerFault},
    {"user unknown", kUnknownUser},
    {"unknown user", kUnknownUser},
    {"unknown recipient", kUnknownUser},
    {"recipient unknown", kUnknownUser},
    {"no such user", kUnknownUser},
    {"no such recipient", kUnknownUser},
    {"no such mailbox", kUnknownUser},
    {"no such address", kUnknownUser},
    {"no mailbox", kUnknownUser},
    {"user not found", kUnknownUser},
    {"recipient not found", kUnknownUser},
    {"mailbox not found", kUnknownUser},
    {"does not exist", kUnknownUser},
    {"doesn't exist", kUnknownUser},
    {"invalid recipient", kUnknownUser},
    {"invalid mailbox", kUnknownUser},
    {"recipient address rejected: access denied", kPolicy},
    {"not a valid mailbox", kUnknownUser},
    {"mailbox unavailable", kUnknownUser},
    {"account disabled", kMailboxDisabled},
    {"account is disabled", kMailboxDisabled},
    {"mailbox disabled", kMailboxDisabled},
    {"disabled", kMailboxDisabled},
    {"inactive", kMailboxDisabled},
    {"suspended", kMailboxDisabled},
    {"too large", kTooLarge},
    {"too big", kTooLarge},
    {"message size", kTooLarge},
    {"size limit", kTooLarge},
    {"spam", kSpam},
    {"junk", kSpam},
    {"unsolicited", kSpam},
    {"bulk", kSpam},
    {"virus", kContent},
    {"malware", kContent},
    {"attachment", kContent},
    {"prohibited content", kContent},
    {"hop count", kLoop},
    {"too many hops", kLoop},  // before "too many"
    {"mail loop", kLoop},
    {"loops back", kLoop},
    {"too many", kRateLimited},
    {"rate limit", kRateLimited},
    {"ratelimit", kRateLimited},
    {"throttl", kRateLimited},
    {"too fast", kRateLimited},
    {"starttls", kTls},
    {"certificate", kTls},
    {"tls", kTls},
    {"dane", kTls},
    {"mta-sts", kTls},
    {"smtputf8", kUtf8},
    {"nxdomain", kUnknownDomain},
    {"domain not found", kUnknownDomain},
    {"unrouteable", kUnknownDomain},
    {"unroutable", kUnknownDomain},
    {"servfail", kDns},
    {"name server", kDns},
    {"dns", kDns},
    {"timed out", kUnreachable},
    {"connection refused", kUnreachable},
    {"could not connect", kUnreachable},
    {"no route", kUnreachable},
    {"relay", kPolicy},
    {"denied", kPolicy},
    {"policy", kPolicy},
    {"blocked", kPolicy},
    {"not allowed", kPolicy},
    {"expired", kExpired},
};

constexpr std::size_t kMaxText = 2048;  // of a reply's words that are looked at

/// "1.10" of "5.1.10"; nothing when it is no enhanced code.
std::optional<std::string_view> detail_of(std::string_view enhanced) {
  const auto parts = split(enhanced, '.');
  if (parts.size() != 3 || (parts[0] != "2" && parts[0] != "4" && parts[0] != "5")) return std::nullopt;
  for (const std::string_view part : {parts[1], parts[2]})
    if (!to_number<std::uint32_t>(part, 0, 999)) return std::nullopt;
  return enhanced.substr(2);
}

std::optional<RefusalClass> by_words(std::string_view text) {
  const std::string lower = to_lower(text.substr(0, kMaxText));
  const auto found = std::ranges::find_if(kWords, [&](const WordRow& row) { return lower.contains(row.words); });
  if (found == std::end(kWords)) return std::nullopt;
  return found->kind;
}

}  // namespace

RefusalClass classify(const Reply& reply) {
  const auto detail = detail_of(reply.enhanced);
  const auto row = std::ranges::find_if(kCodes, [&](const CodeRow& one) { return detail && one.code == *detail; });
  if (row != std::end(kCodes) && row->certain) return row->kind;
  if (const auto words = by_words(reply.text)) return *words;
  if (row != std::end(kCodes)) return row->kind;
  if (detail) {
    const auto subject = to_number<std::size_t>(detail->substr(0, detail->find('.')), 0, 999);
    if (subject && *subject > 0 && *subject < std::size(kSubjects)) return kSubjects[*subject];
  }
  if (reply.code == 552) return kTooLarge;  // RFC 5321 §4.2.3
  if (reply.code == 551) return kMoved;
  if (reply.code == 556) return kNoMail;  // RFC 7504
  if (reply.code >= 500 && reply.code <= 504) return kProtocol;
  return kOther;
}

const RefusalInfo& info_of(RefusalClass kind) {
  return kInfos[static_cast<std::size_t>(kind)];
}

bool is_hard_bounce(const Reply& reply) {
  if (!reply.permanent() || !info_of(classify(reply)).hard) return false;
  const auto detail = detail_of(reply.enhanced);
  const auto row = std::ranges::find_if(kCodes, [&](const CodeRow& one) { return detail && one.code == *detail; });
  if (row != std::end(kCodes) && row->certain) return true;
  // Words alone: "domain of sender does not exist" is about us, and so is what stands under a code of another subject.
  const std::string lower = to_lower(reply.text.substr(0, kMaxText));
  const bool about_address = !detail || detail->front() == '1' || detail->front() == '2' || detail->front() == '0';
  return about_address && !lower.contains("sender") && !lower.contains("from ");
}

std::string_view status_of(const Reply& reply) {
  if (detail_of(reply.enhanced)) return reply.enhanced;
  if (reply.code >= 500) return "5.0.0";
  return reply.code >= 400 ? "4.0.0" : "2.0.0";
}

}  // namespace postern::queue
