// The steps of a trail as a plain list: what `postern why --steps` and `postern explain` print.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>

#include "core/pipeline/trail_reader.h"

namespace postern {
namespace {

std::string time_text(std::string_view micros) {
  std::int64_t count = 0;
  std::from_chars(micros.data(), micros.data() + micros.size(), count);
  const auto seconds = count / 1'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06} UTC", fmt::gmtime(static_cast<std::time_t>(seconds)),
                     count % 1'000'000);
}

std::string took(std::uint32_t micros) {
  if (micros == 0) return {};
  return micros < 1000 ? fmt::format(" ({} us)", micros) : fmt::format(" ({:.1f} ms)", micros / 1000.0);
}

std::string rule_line(const TrailEntry& entry) {
  const std::string place = entry.place.empty() ? "" : fmt::format(" at {}", printable(entry.place));
  if (entry.question.empty()) return fmt::format("hook {}{} ran{}", printable(entry.name), place, took(entry.micros));
  const std::string out =
      entry.answer.empty() ? "selected nobody" : fmt::format("selected [{}]", printable(entry.answer));
  return fmt::format("rule {}{} looked at [{}] and {}{}", printable(entry.name), place, printable(entry.question), out,
                     took(entry.micros));
}

std::string line_of(const TrailEntry& entry) {
  const std::string name = printable(entry.name), question = printable(entry.question),
                    answer = printable(entry.answer);
  switch (entry.kind) {
    case TrailEntry::Kind::kStart:
      return fmt::format("{} session {} under configuration {}", time_text(entry.answer), name, printable(entry.place));
    case TrailEntry::Kind::kFact:
      return fmt::format("{}: {}", name, answer);
    case TrailEntry::Kind::kGate:
      return fmt::format("gate: {} is {} -> {}", question, name, answer);
    case TrailEntry::Kind::kRule:
      return rule_line(entry);
    case TrailEntry::Kind::kEffect:
      return fmt::format("asked {} {} -> {}{}", name, question, answer, took(entry.micros));
    case TrailEntry::Kind::kEdit:
      return fmt::format("{} changed the header: {}", name, answer);
    case TrailEntry::Kind::kVerdict:
      return fmt::format("{} decided: {}", name, answer);
    case TrailEntry::Kind::kReply:
      return fmt::format("answered {} {}", name, answer);
    case TrailEntry::Kind::kError:
      return fmt::format("FAILED {}: {}", name, answer);
    case TrailEntry::Kind::kOmitted:
      return fmt::format("... {} further steps were not kept", answer);
  }
  return {};
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f)
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", octet);
    else
      out += c;
  }
  return out;
}

std::string render_story(const std::vector<TrailEntry>& entries) {
  std::string out;
  Stage stage{};
  bool first = true;
  for (const TrailEntry& entry : entries) {
    if (entry.kind == TrailEntry::Kind::kStart) {
      out += line_of(entry) + "\n";
      first = true;
      continue;
    }
    if (entry.kind != TrailEntry::Kind::kOmitted && (first || entry.stage != stage)) {
      out += fmt::format("  {}\n", to_string(entry.stage));
      stage = entry.stage;
      first = false;
    }
    out += "    " + line_of(entry) + "\n";
  }
  return out;
}

std::string render_story(const TrailRecord& record) {
  std::string out = fmt::format("{}{} from {} <{}>", record.accepted ? "accepted" : "refused",
                                record.message.empty() ? "" : " " + printable(record.message), printable(record.client),
                                printable(record.sender));
  for (const std::string& recipient : record.recipients) out += fmt::format(" <{}>", printable(recipient));
  out += fmt::format(": {}\n", printable(record.outcome));
  const auto entries = Trail::decode(record.trail);
  if (!entries) return out + fmt::format("  the trail cannot be read: {}\n", entries.error().detail);
  return out + render_story(*entries);
}

}  // namespace postern
