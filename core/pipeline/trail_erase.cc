#include "core/pipeline/trail_erase.h"

#include <algorithm>

#include "core/mail/record.h"
#include "core/pipeline/trail_terms.h"

namespace postern {
namespace {

enum class Part : std::uint8_t { kNone, kTexts, kUnreadable };

/// Where the person stands in an entry; `made`: the entry without him, when that is in its texts.
Part redact_entry(std::string_view body, const Person& person, std::string& made) {
  if (!person.touches(body)) return Part::kNone;
  mail::RecordReader in(body);
  const std::uint8_t kind = in.octet();
  if (kind < static_cast<std::uint8_t>(TrailEntry::Kind::kStart) ||
      kind > static_cast<std::uint8_t>(TrailEntry::Kind::kOmitted))
    return Part::kUnreadable;  // of a newer server
  made.assign(1, static_cast<char>(kind));
  made += static_cast<char>(in.octet());
  mail::put_varint(made, in.varint());
  std::size_t count = 0;
  while (!in.at_end()) {
    std::string text(in.text());
    count += person.redact(text);
    mail::put_text(made, text);
  }
  if (in.failed()) return Part::kUnreadable;
  return count != 0 ? Part::kTexts : Part::kNone;
}

/// The trail without the person, appended to `out`; false when he is not in it.
bool redact_trail(std::string_view trail, const Person& person, std::string& out) {
  if (!person.touches(trail)) return false;
  bool changed = false;
  out += trail.substr(0, 1);  // the version
  std::string made;
  mail::RecordReader in(trail.substr(std::min<std::size_t>(trail.size(), 1)));
  while (!in.at_end()) {
    const std::string_view body = in.text();
    if (in.failed()) return true;  // what is left cannot be told apart
    const Part part = redact_entry(body, person, made);
    if (part != Part::kUnreadable) mail::put_text(out, part == Part::kTexts ? made : body);
    if (part != Part::kNone) changed = true;
  }
  return changed;
}

/// Nobody else sent it, and it was for nobody else.
bool only_of(const TrailRecord& record, const Person& person) {
  const TrailSubjects subjects = subjects_of(record);
  if (!subjects.sender.empty() && !person.is(subjects.sender)) return false;
  return std::ranges::all_of(subjects.recipients, [&](const std::string& one) { return person.is(one); });
}

/// The person's part in the record taken out, by envelope or by any word of the trail; false when he has none.
bool redact(TrailRecord& record, const Person& person) {
  std::size_t count = person.redact(record.sender) + person.redact(record.outcome);
  for (std::string& one : record.recipients) count += person.redact(one);
  std::string trail;
  const bool in_trail = redact_trail(record.trail, person, trail);
  if (in_trail) record.trail = std::move(trail);
  return in_trail || count != 0;
}

}  // namespace

bool erase_person(std::string_view file, const Person& person, std::string& out, TrailErased& total) {
  bool changed = false;
  std::string_view rest = file;
  while (!rest.empty()) {
    const std::string_view before = rest;
    auto record = TrailRecord::decode(rest);
    if (!record) {  // a damaged end: nothing in it can be told apart
      if (!person.touches(before)) {
        out += before;
        return changed;
      }
      total.lost += before.size();
      return true;
    }
    const std::string_view raw = before.substr(0, before.size() - rest.size());
    if (!person.touches(raw)) {
      out += raw;
      continue;
    }
    const bool alone = only_of(*record, person);
    if (!redact(*record, person)) {
      out += raw;
      continue;
    }
    changed = true;
    if (alone) {
      ++total.removed;
      continue;
    }
    record->encode(out);
    ++total.redacted;
  }
  return changed;
}

}  // namespace postern
