#include "core/pipeline/trail_erase.h"

#include <algorithm>

#include "core/mail/record.h"
#include "core/pipeline/trail_terms.h"

namespace postern {
namespace {

/// Whether the person has a part in the record, by envelope or by any word of the trail.
bool speaks_of(const TrailRecord& record, const Person& person) {
  return person.is(record.sender) || person.in(record.outcome) || person.in(record.trail) ||
         std::ranges::any_of(record.recipients, [&](const std::string& one) { return person.in(one); }) ||
         person.in(record.sender);
}

/// Nobody else sent it, and it was for nobody else.
bool only_of(const TrailRecord& record, const Person& person) {
  const TrailSubjects subjects = subjects_of(record);
  if (!subjects.sender.empty() && !person.is(subjects.sender)) return false;
  return std::ranges::all_of(subjects.recipients, [&](const std::string& one) { return person.is(one); });
}

/// One entry of a trail with the person taken out of its texts; false when its texts cannot be told apart.
bool redact_entry(std::string_view body, const Person& person, std::string& out) {
  mail::RecordReader in(body);
  std::string made;
  made += static_cast<char>(in.octet());
  made += static_cast<char>(in.octet());
  mail::put_varint(made, in.varint());
  while (!in.at_end()) {
    std::string text(in.text());
    if (in.failed()) return false;
    static_cast<void>(person.redact(text));
    mail::put_text(made, text);
  }
  if (in.failed() || person.in(made)) return false;
  mail::put_text(out, made);
  return true;
}

std::string redact_trail(std::string_view trail, const Person& person) {
  std::string out(trail.substr(0, 1));  // the version
  mail::RecordReader in(trail.substr(std::min<std::size_t>(trail.size(), 1)));
  while (!in.at_end()) {
    const std::string_view body = in.text();
    if (in.failed()) break;
    if (!person.in(body))
      mail::put_text(out, body);
    else
      static_cast<void>(redact_entry(body, person, out));
  }
  return out;
}

void redact(TrailRecord& record, const Person& person) {
  for (std::string* text : {&record.sender, &record.outcome}) static_cast<void>(person.redact(*text));
  for (std::string& one : record.recipients) static_cast<void>(person.redact(one));
  record.trail = redact_trail(record.trail, person);
}

}  // namespace

bool erase_person(std::string_view file, const Person& person, std::string& out, TrailErased& total) {
  bool changed = false;
  std::string_view rest = file;
  while (!rest.empty()) {
    const std::string_view before = rest;
    auto record = TrailRecord::decode(rest);
    if (!record) {  // a damaged end: nothing in it can be told apart
      if (!person.in(before)) {
        out += before;
        return changed;
      }
      total.lost += before.size();
      return true;
    }
    const std::string_view raw = before.substr(0, before.size() - rest.size());
    if (!speaks_of(*record, person)) {
      out += raw;
      continue;
    }
    changed = true;
    if (only_of(*record, person)) {
      ++total.removed;
      continue;
    }
    redact(*record, person);
    record->encode(out);
    ++total.redacted;
  }
  return changed;
}

}  // namespace postern
