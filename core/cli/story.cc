#include "core/cli/story.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "core/cli/story_queue.h"
#include "core/cli/story_words.h"
#include "postern/mail_date.h"

namespace postern {
namespace {

using nlohmann::ordered_json;

WallTime time_of_start(const TrailEntry& entry) {
  std::int64_t micros = 0;
  std::from_chars(entry.answer.data(), entry.answer.data() + entry.answer.size(), micros);
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::microseconds(micros)));
}

std::string path_words(std::string_view path) {
  if (path.starts_with('<') && path.ends_with('>') && path.size() >= 2) path = path.substr(1, path.size() - 2);
  return path.empty() ? "nobody (it is a report of another mail server)" : printable(path);
}

/// Walks through a trail and writes the story down.
class Teller {
 public:
  explicit Teller(const TrailRecord& record) : record_(record) {}

  Story tell() {
    const auto entries = Trail::decode(record_.trail);
    if (entries) {
      // A rule that failed is told of before the entry that has its place.
      for (const TrailEntry& entry : *entries)
        if (entry.kind == TrailEntry::Kind::kRule) places_[entry.name] = entry.place;
      for (const TrailEntry& entry : *entries) add(entry);
    }
    tell_idle();
    if (!entries) say(fmt::format("The steps of this session cannot be read: {}.", printable(entries.error().detail)));
    finish();
    story_.title = title();
    return std::move(story_);
  }

 private:
  void say(std::string text) {
    if (text.empty()) return;
    if (!starts_ && !story_.lines.empty()) {
      story_.lines.back().text += " " + text;
      return;
    }
    story_.lines.push_back({std::exchange(at_, std::nullopt), std::move(text)});
    starts_ = false;
  }
  /// What comes is another matter: it begins a line of its own.
  void turn(std::optional<WallTime> at = std::nullopt) {
    starts_ = true;
    if (at) at_ = at;
  }

  void add(const TrailEntry& entry) {
    if (entry.stage != stage_ || entry.kind == TrailEntry::Kind::kStart) {
      tell_idle();
      stage_ = entry.stage;
      turn();
    }
    switch (entry.kind) {
      case TrailEntry::Kind::kStart:
        return start(entry);
      case TrailEntry::Kind::kFact:
        return fact(entry);
      case TrailEntry::Kind::kGate:
        return gate(entry);
      case TrailEntry::Kind::kRule:
        return rule(entry);
      case TrailEntry::Kind::kEffect:
        return say(story::effect_sentence(entry));
      case TrailEntry::Kind::kEdit:
        return say(fmt::format("{} changed the header: {}.", printable(entry.name), printable(entry.answer)));
      case TrailEntry::Kind::kVerdict:
        return verdict(entry);
      case TrailEntry::Kind::kReply:
        return reply(entry);
      case TrailEntry::Kind::kError:
        return error(entry);
      case TrailEntry::Kind::kOmitted:
        return say(fmt::format("({} further steps were too many to be written down.)", printable(entry.answer)));
    }
  }

  void start(const TrailEntry& entry) {
    turn(time_of_start(entry));
    mail_ = std::exchange(begun_, true);
  }

  void fact(const TrailEntry& entry) {
    const std::string& name = entry.name;
    if (name == "client") return say(fmt::format("{} connected to us.", printable(entry.answer)));
    if (name == "listener") return say(fmt::format("It came in at the entrance \"{}\".", printable(entry.answer)));
    if (name == "sender") return say(fmt::format("It had a mail from {}.", path_words(entry.answer)));
    if (name == "alias" || name == "rewrite") return moved(entry);
    if (name == "plan") return plan(entry);
    say(story::fact_sentence(entry));
  }

  /// "a -> b": the first target takes the alias's place, further ones come behind (core/pipeline/policy_message.cc).
  void moved(const TrailEntry& entry) {
    const std::size_t arrow = entry.answer.find(" -> ");
    if (arrow == std::string::npos) return say(story::fact_sentence(entry));
    const std::string from = printable(entry.answer.substr(0, arrow)), to = printable(entry.answer.substr(arrow + 4));
    const auto place = std::ranges::find(names_, from);
    if (place != names_.end())
      *place = to;
    else
      names_.push_back(to);
    if (entry.name == "alias")
      say(fmt::format("{} is an alias for {}.", from, to));
    else
      say(fmt::format("The recipient {} became {}.", from, to));
  }

  void gate(const TrailEntry& entry) {
    turn();
    const std::string recipient = path_words(entry.question);
    if (entry.stage == Stage::kRcpt) {
      say(fmt::format("It named the recipient {}. {}", recipient, story::gate_sentence(entry)));
      names_.push_back(recipient);
      if (!story::gate_accepts(entry)) decided_by_ = {"the relay gate", ""};
    } else {
      say(story::gate_sentence(entry));
    }
  }

  void rule(const TrailEntry& entry) {
    const bool hook = entry.question.empty();
    if (hook || entry.answer.empty()) {
      if (!heard_.contains(entry.name)) idle_.push_back(named(entry.name));
      return;
    }
    tell_idle();
    turn();
    applied_ = {entry.name, entry.place};
    say(fmt::format("{} applied to {}.", sentence_case(named(entry.name)), people(story::parse_numbers(entry.answer))));
  }

  /// Rules that had nothing to say, in one sentence.
  void tell_idle() {
    if (idle_.empty()) return;
    const std::vector<std::string> names = std::exchange(idle_, {});
    turn();
    say(names.size() == 1 ? fmt::format("{} had nothing to say about it.", sentence_case(names[0]))
                          : fmt::format("{} had nothing to say about it.", sentence_case(story::list_of(names))));
  }

  void verdict(const TrailEntry& entry) {
    heard_.insert(entry.name);
    std::erase(idle_, named(entry.name));
    tell_idle();
    std::vector<std::size_t> numbers;
    const std::string_view words = story::split_numbers(entry.answer, numbers);
    turn();
    decided_by_ = {entry.name, place_of(entry.name)};
    if (numbers.empty())
      return say(fmt::format("{} {}.", sentence_case(named(entry.name)), story::verdict_words(words)));
    say(fmt::format("{} decided about {}: it {}.", sentence_case(named(entry.name)), people(numbers),
                    story::verdict_words(words)));
    for (const std::size_t number : numbers)
      fates_[number] = {name_of(number), story::verdict_meaning(words), entry.name, place_of(entry.name)};
  }

  void plan(const TrailEntry& entry) {
    std::vector<std::size_t> numbers;
    const std::string_view words = story::split_numbers(entry.answer, numbers);
    const auto meaning = story::plan_meaning(words);
    if (!meaning) return say(fmt::format("It was planned: {}.", printable(entry.answer)));
    say(fmt::format("So the mail for {} {}.", people(numbers), in_the_plan(words)));
    const bool goes_on = words.starts_with("deliver") || words.starts_with("relay");
    for (const std::size_t number : numbers) {
      if (!goes_on && fates_.contains(number)) continue;  // the verdict said it with its reason
      fates_[number] = {name_of(number), *meaning, applied_.first, applied_.second};
    }
  }

  static std::string in_the_plan(std::string_view words) {
    if (words.starts_with("deliver to ")) return *story::plan_meaning(words);
    if (words.starts_with("relay")) return "is passed on to the recipient's own mail server";
    if (words.starts_with("discard")) return "is thrown away";
    if (words.starts_with("quarantine")) return "goes into quarantine";
    return "comes back to the sender as a report";
  }

  void reply(const TrailEntry& entry) {
    const std::string words = fmt::format("{} {}", printable(entry.name), printable(entry.answer));
    if (entry.stage == Stage::kRcpt && !names_.empty()) {
      say(fmt::format("The sender was told: \"{}\".", words));
      refused_.push_back({names_.back(), fmt::format("was refused; the sender was told \"{}\"", words),
                          decided_by_.first, decided_by_.second});
      names_.pop_back();
      decided_by_ = {};
      return;
    }
    turn();
    if (entry.name.starts_with('2')) return say("The mail was stored safely, and the sender was told that we have it.");
    say(fmt::format("The sender was told: \"{}\".", words));
    whole_reply_ = words;
  }

  void error(const TrailEntry& entry) {
    heard_.insert(entry.name);
    std::erase(idle_, named(entry.name));
    tell_idle();
    turn();
    say(fmt::format("{} failed: {}.", sentence_case(named(entry.name)), printable(entry.answer)));
  }

  void finish() {
    if (!record_.accepted && !record_.outcome.empty() && !told_already()) {
      turn(begun_ ? std::optional(record_.when) : std::nullopt);
      say(begun_ ? fmt::format("Then it ended: {}.", printable(record_.outcome)) : printable(record_.outcome) + ".");
    }
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (!fates_.contains(i) && !record_.accepted)
        fates_[i] = {names_[i],
                     whole_reply_.empty() ? "got nothing: no mail came of it"
                                          : fmt::format("was refused; the sender was told \"{}\"", whole_reply_),
                     decided_by_.first, decided_by_.second};
    for (auto& [number, fate] : fates_) story_.fates.push_back(std::move(fate));
    for (StoryFate& fate : refused_) story_.fates.push_back(std::move(fate));
  }

  bool told_already() const {
    return std::ranges::any_of(story_.lines, [&](const StoryLine& line) {
      return line.text.find(printable(record_.outcome)) != std::string::npos;
    });
  }

  std::string title() const {
    const std::string when = story_time(record_.when);
    if (is_of_queue(record_)) return fmt::format("{}: {}", when, queue_sentence(record_));
    if (record_.accepted) return fmt::format("The mail {} was accepted on {}.", printable(record_.message), when);
    if (record_.trail.empty()) return fmt::format("{}: {}.", when, printable(record_.outcome));
    if (!mail_) return fmt::format("A session was refused on {}.", when);
    return fmt::format("{} was not accepted on {}.", refused_.empty() || !names_.empty() ? "A mail" : "A recipient",
                       when);
  }

  std::string name_of(std::size_t number) const {
    if (number < names_.size()) return names_[number];
    if (names_.empty() && number < record_.recipients.size()) return printable(record_.recipients[number]);
    return fmt::format("recipient {}", number + 1);
  }
  std::string people(const std::vector<std::size_t>& numbers) const {
    std::vector<std::string> names;
    for (const std::size_t number : numbers) names.push_back(name_of(number));
    return story::list_of(names);
  }
  std::string place_of(const std::string& rule) const {
    const auto known = places_.find(rule);
    return known == places_.end() ? std::string() : printable(known->second);
  }
  /// `rule root#2 (mail.lua:12)`, `the alias list`
  std::string named(const std::string& rule) const {
    if (rule == "alias") return "the list of aliases";
    if (rule == "spool") return "storing the mail";
    const std::string place = place_of(rule);
    // A hook is called by its place.
    if (place.empty() || place == rule) return fmt::format("the rule {}", printable(rule));
    return fmt::format("the rule {} ({})", printable(rule), place);
  }
  static std::string sentence_case(std::string text) {
    if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
    return text;
  }

  const TrailRecord& record_;
  Story story_;
  std::optional<WallTime> at_;
  bool starts_ = true;
  bool begun_ = false, mail_ = false;
  Stage stage_{};
  std::vector<std::string> names_;  ///< of the recipients, by number, as they are at this point of the story
  std::map<std::size_t, StoryFate> fates_;
  std::vector<StoryFate> refused_;
  std::map<std::string, std::string> places_;  ///< of rules
  std::vector<std::string> idle_;
  std::set<std::string> heard_;                               ///< rules that decided or failed
  std::pair<std::string, std::string> applied_, decided_by_;  ///< rule and place
  std::string whole_reply_;
};

std::string who_decided(const StoryFate& fate) {
  if (fate.rule.empty()) return {};
  if (fate.place.empty() || fate.place == fate.rule) return fmt::format(" [decided by {}]", printable(fate.rule));
  return fmt::format(" [decided by the rule {} at {}]", printable(fate.rule), fate.place);
}

std::string text_of(const ordered_json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? printable(found->get<std::string>()) : std::string();
}

std::string waiting_words(const ordered_json& row) {
  const std::string state = text_of(row, "state"), why = text_of(row, "why"), next = text_of(row, "next");
  const auto attempts = row.value("attempts", std::uint64_t{0});
  if (state == "done") return "is done with";
  if (state == "held") return why.empty() ? "is held back" : fmt::format("is held back: {}", why);
  if (state == "placed" || state == "dot-sent") return "is being handed over just now";
  std::string out = attempts == 0 ? "waits for its first attempt"
                                  : fmt::format("waits after {} attempt{}", attempts, attempts == 1 ? "" : "s");
  if (!why.empty()) out += fmt::format("; the last one ended with \"{}\"", why);
  if (!next.empty()) out += fmt::format("; the next one is at {}", next);
  return out;
}

}  // namespace

std::string story_time(WallTime when) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count();
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

Story tell(const TrailRecord& record) {
  return Teller(record).tell();
}

std::vector<std::string> tell_queue(const QueueNews& news) {
  std::vector<std::string> out;
  for (const TrailRecord& event : news.events)
    out.push_back(fmt::format("{}  {}", story_time(event.when).substr(0, 19), queue_sentence(event)));
  switch (news.state) {
    case QueueNews::State::kNotAsked:
      return out;
    case QueueNews::State::kNoServer:
      out.push_back("No server runs, so that nobody can say what became of the mail after that.");
      return out;
    case QueueNews::State::kGone:
      out.push_back(news.events.empty() ? "Nothing of the mail waits any more: it was delivered, passed on, thrown "
                                          "away, or came back to its sender. The server's log says which."
                                        : "Nothing of the mail waits any more.");
      return out;
    case QueueNews::State::kWaiting:
      break;
  }
  for (const ordered_json& row : news.recipients)
    out.push_back(fmt::format("The mail for {} {}.", text_of(row, "recipient"), waiting_words(row)));
  return out;
}

std::string render(const TrailRecord& record, const Story& story, const QueueNews& news) {
  std::string out = story.title + "\n\n";
  for (const StoryLine& line : story.lines)
    out += fmt::format("{:<9} {}\n", line.at ? story_time(*line.at).substr(11, 8) : "", line.text);
  if (!story.fates.empty()) out += "\nWhat that means:\n";
  for (const StoryFate& fate : story.fates)
    out += fmt::format("  {} {}.{}\n", fate.recipient, fate.words, who_decided(fate));
  const std::vector<std::string> later = tell_queue(news);
  if (!later.empty()) out += "\nSince then:\n";
  for (const std::string& line : later) out += fmt::format("  {}\n", line);
  out += fmt::format("\nFor reference: session {}{}{}, times in UTC.\n", printable(record.session),
                     record.message.empty() ? "" : ", mail " + printable(record.message),
                     record.client.empty() ? "" : ", client " + printable(record.client));
  return out;
}

ordered_json story_json(const TrailRecord& record, const Story& story, const QueueNews& news) {
  ordered_json lines = ordered_json::array(), fates = ordered_json::array(), steps = ordered_json::array();
  for (const StoryLine& line : story.lines) {
    ordered_json one{{"text", line.text}};
    if (line.at) one["at"] = format_rfc3339(*line.at);
    lines.push_back(std::move(one));
  }
  for (const StoryFate& fate : story.fates)
    fates.push_back(
        {{"recipient", fate.recipient}, {"meaning", fate.words}, {"rule", fate.rule}, {"place", fate.place}});
  if (const auto entries = Trail::decode(record.trail))
    for (const TrailEntry& e : *entries)
      steps.push_back({{"stage", to_string(e.stage)},
                       {"name", e.name},
                       {"place", e.place},
                       {"question", e.question},
                       {"answer", e.answer},
                       {"micros", e.micros}});
  ordered_json row{{"message", record.message},
                   {"session", record.session},
                   {"client", record.client},
                   {"sender", record.sender},
                   {"accepted", record.accepted},
                   {"when", format_rfc3339(record.when)},
                   {"recipients", record.recipients},
                   {"outcome", record.outcome},
                   {"title", story.title},
                   {"story", lines},
                   {"fates", fates},
                   {"steps", steps}};
  if (!news.events.empty()) {
    row["events"] = ordered_json::array();
    for (const TrailRecord& event : news.events) row["events"].push_back(queue_event_json(event));
  }
  if (news.state == QueueNews::State::kWaiting) row["queue"] = news.recipients;
  if (news.state == QueueNews::State::kGone) row["queue"] = ordered_json::array();
  return row;
}

}  // namespace postern
