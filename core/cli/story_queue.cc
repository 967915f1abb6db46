#include "core/cli/story_queue.h"

#include <fmt/format.h>

#include "core/cli/story.h"
#include "core/cli/story_words.h"
#include "postern/mail_date.h"

namespace postern {
namespace {

constexpr std::size_t kMostNames = 10;

/// The parts of one record.
struct Event {
  std::string destination, host, next, reply, route, verdict, rule, failure;
};

Event event_of(const TrailRecord& record) {
  Event out;
  const auto entries = Trail::decode(record.trail);
  if (!entries) return out;
  for (const TrailEntry& entry : *entries) {
    const std::string answer = printable(entry.answer);
    if (entry.kind == TrailEntry::Kind::kReply) out.reply = printable(entry.name) + " " + answer;
    if (entry.kind == TrailEntry::Kind::kRule) out.rule = printable(entry.name);
    if (entry.kind == TrailEntry::Kind::kVerdict) out.verdict = answer;
    if (entry.kind == TrailEntry::Kind::kError) out.failure = answer;
    if (entry.kind != TrailEntry::Kind::kFact) continue;
    if (entry.name == "destination") out.destination = answer;
    if (entry.name == "host") out.host = answer;
    if (entry.name == "next") out.next = answer;
    if (entry.name == "route") out.route += (out.route.empty() ? "" : ", ") + answer;
  }
  return out;
}

std::string names_of(const TrailRecord& record) {
  std::vector<std::string> names;
  for (const std::string& one : record.recipients) {
    if (names.size() == kMostNames) {
      names.push_back(fmt::format("{} more", record.recipients.size() - kMostNames));
      break;
    }
    names.push_back(printable(one));
  }
  return story::list_of(names);
}

std::string said_by(const Event& event, std::string_view nobody) {
  if (event.host.empty()) return fmt::format("{}: \"{}\"", nobody, event.reply);
  return fmt::format("{} said \"{}\"", event.host, event.reply);
}

}  // namespace

bool is_of_queue(const TrailRecord& record) {
  return record.session.starts_with("queue-");
}

std::string queue_sentence(const TrailRecord& record) {
  const Event event = event_of(record);
  const std::string who = names_of(record);
  if (record.outcome == "delivered") {
    if (event.host.empty()) return fmt::format("{}: put into the mailbox {}.", who, event.destination);
    return fmt::format("{}: taken by {}, which said \"{}\".", who, event.host, event.reply);
  }
  if (record.outcome == "deferred")
    return fmt::format("{}: not yet; {}. It is tried again{}.", who, said_by(event, "there was no answer"),
                       event.next.empty() ? "" : " at " + event.next);
  if (record.outcome == "bounced")
    return fmt::format("{}: given up; {}. The sender is told.", who, said_by(event, "the last word was"));
  std::string out = fmt::format("{}: at \"{}\" the rule {}", who, printable(record.outcome), event.rule);
  if (!event.failure.empty()) return fmt::format("{} failed: {}.", out, event.failure);
  if (!event.route.empty()) return fmt::format("{} chose the way: {}.", out, event.route);
  if (!event.verdict.empty()) return fmt::format("{} said: {}.", out, event.verdict);
  return out + " asked what stands among its steps.";
}

nlohmann::ordered_json queue_event_json(const TrailRecord& record) {
  const Event event = event_of(record);
  nlohmann::ordered_json out{
      {"at", format_rfc3339(record.when)}, {"stage", record.outcome}, {"recipients", record.recipients},
      {"destination", event.destination},  {"host", event.host},      {"reply", event.reply}};
  if (!event.next.empty()) out["next"] = event.next;
  if (!event.route.empty()) out["route"] = event.route;
  if (!event.verdict.empty()) out["verdict"] = event.verdict;
  if (!event.failure.empty()) out["failure"] = event.failure;
  return out;
}

}  // namespace postern
