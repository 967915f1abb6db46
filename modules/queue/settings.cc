#include "settings.h"

#include <fmt/format.h>

#include "postern/address.h"
#include "schedule.h"

namespace postern::queue {

namespace {

/// Points at the octet of a quoted text at which a fault was found.
void fault_in_text(const Located& settings, std::string_view key, const TextFault& fault, Diagnostics& diagnostics) {
  Origin place = settings.origin(key);
  place.column += static_cast<std::uint32_t>(fault.offset) + 1;  // behind the opening quote
  diagnostics.error(place, fmt::format("{}: {}", key, fault.what));
}

void check_route(const RouteSettings& route, Diagnostics& diagnostics) {
  if (route.retry)
    if (auto parsed = parse_schedule(*route.retry); !parsed) fault_in_text(route, "retry", parsed.error(), diagnostics);
  if (route.release)
    if (auto parsed = parse_release(*route.release); !parsed)
      fault_in_text(route, "release", parsed.error(), diagnostics);
}

}  // namespace

void describe(Schema<RouteSettings>& s) {
  s.table("", "Schedule and bounds of one destination.");
  s.field("retry", &RouteSettings::retry, "Waits between attempts, as in [queue].").example("30s, 1m*5, 10m");
  s.field("give_up_after", &RouteSettings::give_up_after, "Age at which the sender is told that it failed.")
      .range(1min, 24h * 60);
  s.field("warn_after", &RouteSettings::warn_after, "Age at which the sender is told that it is late; 0: never.")
      .range(0s, 24h * 60);
  s.field("concurrency", &RouteSettings::concurrency, "Attempts at one time, of each worker.").range(1, 10'000);
  s.field("release", &RouteSettings::release,
          "Collects mail for this destination, and sends it on a schedule, at a count, or when it is asked for (ETRN, "
          "`postern queue retry --destination`): \"every 30m or 50 messages\", \"on request\".")
      .example("every 30m or 50 messages");
  s.check(check_route);
}

void describe(Schema<QueueSettings>& s) {
  s.table("queue", "What happens to accepted mail until its last recipient has been served.");
  s.applies(Apply::kRestart);
  s.field("retry", &QueueSettings::retry,
          "Waits before the second, third ... attempt for a recipient that could not be served; \"*3\" means three "
          "times, and the last one is repeated.");
  s.field("give_up_after", &QueueSettings::give_up_after,
          "Age at which a recipient that still cannot be served is given up, and the sender told. RFC 5321 section "
          "4.5.4.1 asks for four to five days.")
      .range(1min, 24h * 60);
  s.field("warn_after", &QueueSettings::warn_after,
          "Age at which the sender is told, once, that a recipient has not been served yet; 0: never.")
      .range(0s, 24h * 60);
  s.field("jitter", &QueueSettings::jitter,
          "Each wait is varied by so many hundredths either way, so that what failed together is not tried together.")
      .range(0, 50);
  s.field("local_concurrency", &QueueSettings::local_concurrency,
          "Deliveries into mailboxes at one time, of each worker. More share one sync of the disk.")
      .range(1, 4096);
  s.field("remote_concurrency", &QueueSettings::remote_concurrency,
          "Attempts to other servers at one time, of each worker. Destinations that have not taken anything yet get at "
          "most half of them.")
      .range(1, 100'000);
  s.field("destination_concurrency", &QueueSettings::destination_concurrency,
          "Attempts to one destination at one time, of each worker. It begins with a few, and grows with each success.")
      .range(1, 10'000);
  s.field("hook_concurrency", &QueueSettings::hook_concurrency,
          "Messages for which hooks at route are asked at one time, of each worker. While they wait for DNS, HTTP or a "
          "database they take the place of no delivery.")
      .range(1, 10'000);
  s.field("hot_messages", &QueueSettings::hot_messages,
          "Messages whose envelope and plan each worker keeps in memory until their turn (about 1 KiB each); those of "
          "others are read from the spool again.")
      .range(0, 1'000'000);
  s.field("delivered_to", &QueueSettings::delivered_to, "Put a Delivered-To field above mail for local mailboxes.");
  s.table_field(
      "routes", &QueueSettings::routes,
      "By destination (a domain, \".example.org\" for all names below it, the name of a [[delivery.route]] that "
      "has hosts of its own, or a gateway as a script writes it): what is different there.");
  s.check([](const QueueSettings& settings, Diagnostics& diagnostics) {
    if (auto parsed = parse_schedule(settings.retry); !parsed)
      fault_in_text(settings, "retry", parsed.error(), diagnostics);
  });
}

void describe(Schema<SubmissionSettings>& s) {
  s.table("submission", "Mail from users who have logged in.");
  s.applies(Apply::kRestart);
  s.field("hold", &SubmissionSettings::hold,
          "How long mail waits before it is delivered or sent, so that it can be taken back (`postern queue recall`). "
          "0: not at all.")
      .range(0s, 1h)
      .example("20s");
  s.field("hold_of", &SubmissionSettings::hold_of, "The same for single accounts.").range(0s, 1h);
}

void describe(Schema<SrsSettings>& s) {
  s.table("srs",
          "SRS: mail from elsewhere that an alias sends on to another domain leaves with a sender of ours, so that SPF "
          "holds there, and reports about it find their way back through us.");
  s.applies(Apply::kRestart);
  s.field("domain", &SrsSettings::domain,
          "A local domain for those senders, best one of its own with an MX to this server. Empty: senders stay as "
          "they are.")
      .check([](const std::string& text) -> std::optional<std::string> {
        if (text.empty()) return std::nullopt;
        const auto parsed = Domain::parse(text, {.allow_literal = false});
        return parsed ? std::nullopt : std::optional(parsed.error().to_string());
      })
      .example("srs.example.org");
  s.field("secret_file", &SrsSettings::secret_file,
          "File of secrets, one a line: the first one signs, all are believed, so that a new one is put above the "
          "old. A reload reads it again. Empty: srs.secret in the state folder. It is made when it is not there.")
      .example("/etc/postern/srs.secret");
  s.field("max_age", &SrsSettings::max_age, "How long reports to such a sender are taken, in days.")
      .range(24h, 24h * 365);
  s.field(
       "accept", &SrsSettings::accept,
       "Whose mail is taken for such senders: null (the null sender alone, which reports have), reports (MAILER-DAEMON "
       "and postmaster as well), any.")
      .names({{"null", SrsSenders::kNull}, {"reports", SrsSenders::kReports}, {"any", SrsSenders::kAny}});
}

}  // namespace postern::queue
