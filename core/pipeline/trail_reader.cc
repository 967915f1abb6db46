#include "core/pipeline/trail_reader.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <deque>

#include "core/pipeline/trail_files.h"

namespace postern {
namespace {

constexpr std::uint64_t kMaxFileRead = 2ULL << 30;  // of one trail file; larger ones were not made by us

bool same_text(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

bool fits(const TrailRecord& record, const TrailQuery& query) {
  if (query.refused_only && record.accepted) return false;
  const std::string& text = query.text;
  if (text.empty() || record.message == text || record.session == text || record.client == text) return true;
  if (same_text(record.sender, text)) return true;
  return std::ranges::any_of(record.recipients, [&](const std::string& one) { return same_text(one, text); });
}

std::string read_file(Env& env, const std::string& path) {
  auto file = env.open(path, OpenMode::kRead);
  if (!file) return {};
  const std::uint64_t size = std::min((*file)->size().value_or(0), kMaxFileRead);
  std::string bytes(size, '\0');
  bytes.resize((*file)->read(bytes, 0).value_or(0));
  return bytes;
}

std::string time_text(std::string_view micros) {
  std::int64_t count = 0;
  std::from_chars(micros.data(), micros.data() + micros.size(), count);
  const auto seconds = count / 1'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06} UTC", fmt::gmtime(static_cast<std::time_t>(seconds)),
                     count % 1'000'000);
}

/// Texts of peers go to a terminal: no control characters.
std::string clean(std::string_view text) {
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

std::string took(std::uint32_t micros) {
  if (micros == 0) return {};
  return micros < 1000 ? fmt::format(" ({} us)", micros) : fmt::format(" ({:.1f} ms)", micros / 1000.0);
}

std::string rule_line(const TrailEntry& entry) {
  const std::string place = entry.place.empty() ? "" : fmt::format(" at {}", clean(entry.place));
  if (entry.question.empty()) return fmt::format("hook {}{} ran{}", clean(entry.name), place, took(entry.micros));
  const std::string out = entry.answer.empty() ? "selected nobody" : fmt::format("selected [{}]", clean(entry.answer));
  return fmt::format("rule {}{} looked at [{}] and {}{}", clean(entry.name), place, clean(entry.question), out,
                     took(entry.micros));
}

std::string line_of(const TrailEntry& entry) {
  const std::string name = clean(entry.name), question = clean(entry.question), answer = clean(entry.answer);
  switch (entry.kind) {
    case TrailEntry::Kind::kStart:
      return fmt::format("{} session {} under configuration {}", time_text(entry.answer), name, clean(entry.place));
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

TrailFindings find_trails(Env& env, const std::string& dir, const TrailQuery& query) {
  TrailFindings out;
  std::vector<std::string> names = trail_files(env, dir);
  std::ranges::reverse(names);
  for (const std::string& name : names) {
    if (out.records.size() >= query.limit) break;
    const std::string bytes = read_file(env, dir + "/" + name);
    const std::size_t wanted = query.limit - out.records.size();
    std::deque<TrailRecord> newest;  // of this file, oldest first
    std::string_view rest = bytes;
    while (!rest.empty()) {
      auto record = TrailRecord::decode(rest);
      if (!record) {
        out.damaged.push_back(name);
        break;
      }
      if (!fits(*record, query)) continue;
      newest.push_back(std::move(*record));
      if (newest.size() > wanted) newest.pop_front();
    }
    for (auto record = newest.rbegin(); record != newest.rend(); ++record) out.records.push_back(std::move(*record));
  }
  // Workers hand their records over in turns, so that a file is only nearly in order.
  std::ranges::sort(out.records, [](const TrailRecord& a, const TrailRecord& b) {
    return a.when != b.when ? a.when > b.when : a.session > b.session;
  });
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
                                record.message.empty() ? "" : " " + clean(record.message), clean(record.client),
                                clean(record.sender));
  for (const std::string& recipient : record.recipients) out += fmt::format(" <{}>", clean(recipient));
  out += fmt::format(": {}\n", clean(record.outcome));
  const auto entries = Trail::decode(record.trail);
  if (!entries) return out + fmt::format("  the trail cannot be read: {}\n", entries.error().detail);
  return out + render_story(*entries);
}

}  // namespace postern
