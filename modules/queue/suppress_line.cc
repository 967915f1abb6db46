// Settings of the suppression list, and its entries as lines of the file:
//
//   + <scope> <recipient> <reason> <since> <until> <why> <crc>      tabs between; times in seconds, "-" for ever
//   - <scope> <recipient> <crc>
#include <fmt/format.h>

#include <array>

#include "dsn_text.h"
#include "postern/crc32c.h"
#include "postern/text.h"
#include "suppress.h"

namespace postern::queue {

namespace {

constexpr std::array<std::string_view, 4> kReasons = {"bounced", "complained", "unsubscribed", "manual"};

long seconds_of(WallTime when) {
  return std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count();
}

std::string with_check(std::string line) {
  line += fmt::format("\t{:08x}\n", crc32c(0, line));
  return line;
}

std::optional<WallTime> time_in(std::string_view text) {
  if (text == "-") return WallTime::max();
  const auto seconds = to_number<std::int64_t>(text, 0, 253'402'300'799);  // the year 9999
  if (!seconds) return std::nullopt;
  return WallTime(std::chrono::seconds(*seconds));
}

}  // namespace

void describe(Schema<SuppressionSettings>& s) {
  s.table("suppression",
          "Addresses to which no mail is sent for some time, because they are dead or their owners complained: sending "
          "on harms the reputation of this server.");
  s.applies(Apply::kRestart);
  s.field("enabled", &SuppressionSettings::enabled, "Whether the list is kept and asked.");
  s.field("bounced", &SuppressionSettings::bounced,
          "How long an address is left alone that does not exist (hard bounce).")
      .range(1h, 24h * 3650);
  s.field("complained", &SuppressionSettings::complained, "The same after a complaint.").range(1h, 24h * 3650);
  s.field("max_entries", &SuppressionSettings::max_entries,
          "Entries that are kept, about 250 octets each; beyond, those that end soonest go.")
      .range(100, 10'000'000);
  s.field("feedback_address", &SuppressionSettings::feedback_address,
          "A local address to which providers send complaints (feedback loops, ARF). Reports that come there are read, "
          "and delivered. With it, mail of local senders carries a field Postern-Feedback that only this server can "
          "make, and only complaints that return it are believed, whoever sends them.")
      .check([](const std::string& text) -> std::optional<std::string> {
        if (text.empty()) return std::nullopt;
        const auto parsed = Address::parse(text);
        return parsed ? std::nullopt : std::optional(parsed.error().to_string());
      })
      .example("fbl@example.org");
}

std::string_view to_string(SuppressReason reason) {
  return kReasons[static_cast<std::size_t>(reason)];
}

std::optional<SuppressReason> parse_suppress_reason(std::string_view word) {
  for (std::size_t i = 0; i < kReasons.size(); ++i)
    if (kReasons[i] == word) return static_cast<SuppressReason>(i);
  return std::nullopt;
}

std::string suppression_line(const Suppression& entry, bool add) {
  if (!add) return with_check(fmt::format("-\t{}\t{}", entry.scope, entry.recipient));
  const std::string until = entry.until == WallTime::max() ? "-" : std::to_string(seconds_of(entry.until));
  return with_check(fmt::format("+\t{}\t{}\t{}\t{}\t{}\t{}", entry.scope, entry.recipient, to_string(entry.reason),
                                seconds_of(entry.since), until, clean_text(entry.why, Suppression::kMaxWhy, true)));
}

std::optional<SuppressionChange> parse_suppression_line(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  const std::size_t check = line.rfind('\t');
  if (check == line.npos || line.substr(check + 1) != fmt::format("{:08x}", crc32c(0, line.substr(0, check))))
    return std::nullopt;
  const auto fields = split(line.substr(0, check), '\t');
  SuppressionChange out;
  out.add = fields[0] == "+";
  if (fields.size() != (out.add ? 7 : 3) || (!out.add && fields[0] != "-")) return std::nullopt;
  out.entry.scope = fields[1];
  out.entry.recipient = fields[2];
  if (!out.add) return out;
  const auto reason = parse_suppress_reason(fields[3]);
  const auto since = time_in(fields[4]);
  const auto until = time_in(fields[5]);
  if (!reason || !since || !until) return std::nullopt;
  out.entry.reason = *reason;
  out.entry.since = *since;
  out.entry.until = *until;
  out.entry.why = fields[6];
  return out;
}

}  // namespace postern::queue
