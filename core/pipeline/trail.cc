// TRAIL.md is the contract of these bytes.
#include "postern/trail.h"

#include <array>
#include <charconv>
#include <cstring>

#include "core/mail/record.h"

namespace postern {
namespace {

constexpr std::size_t kOutcomeReserve = 4096;  // of Trail::kLimit, kept for verdicts, replies and errors
constexpr std::size_t kOmittedSize = 9;        // octets of a kOmitted entry
constexpr std::size_t kFirstAllocation = 512;  // most trails of one recipient fit

/// What became of the mail must be known even when the rules before it wrote too much.
bool is_outcome(TrailEntry::Kind kind) {
  return kind == TrailEntry::Kind::kVerdict || kind == TrailEntry::Kind::kReply || kind == TrailEntry::Kind::kError;
}

char* put_varint(char* at, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
  *at++ = static_cast<char>(value);
  return at;
}

std::string_view decimal(std::array<char, 24>& room, std::int64_t value) {
  const auto end = std::to_chars(room.data(), room.data() + room.size(), value).ptr;
  return {room.data(), static_cast<std::size_t>(end - room.data())};
}

Result<TrailEntry> decode_entry(std::string_view body) {
  mail::RecordReader in(body);
  TrailEntry entry;
  entry.kind = static_cast<TrailEntry::Kind>(in.octet());
  entry.stage = static_cast<Stage>(in.octet());
  entry.micros = static_cast<std::uint32_t>(in.varint());
  std::string* texts[] = {&entry.name, &entry.place, &entry.question, &entry.answer};
  for (std::string* text : texts) {
    if (in.at_end()) break;
    *text = in.text();
  }
  if (in.failed()) return fault("trail.damaged", "an entry ends too early");
  if (entry.kind == TrailEntry::Kind::kOmitted && entry.name.size() == 4) {
    std::uint32_t count = 0;
    std::memcpy(&count, entry.name.data(), sizeof count);
    entry.name.clear();
    entry.answer = std::to_string(count);
  }
  return entry;
}

}  // namespace

std::string_view to_string(Stage stage) {
  static constexpr std::string_view kNames[] = {
      "connect", "ehlo",      "starttls", "auth",    "mail",       "rcpt",  "data",   "message", "queued", "route",
      "attempt", "delivered", "deferred", "bounced", "disconnect", "login", "append", "expunge", "flags"};
  const auto index = static_cast<std::size_t>(stage);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

void Trail::append(TrailEntry::Kind kind, Stage stage, std::uint32_t micros, std::string_view a, std::string_view b,
                   std::string_view c, std::string_view d) {
  std::string_view texts[] = {a, b, c, d};
  std::size_t count = 4;
  while (count && texts[count - 1].empty()) --count;
  std::size_t body = 2 + mail::varint_size(micros);
  for (std::size_t i = 0; i < count; ++i) {
    texts[i] = texts[i].substr(0, kMaxText);
    body += mail::varint_size(texts[i].size()) + texts[i].size();
  }
  const std::size_t total = mail::varint_size(body) + body;
  const std::size_t limit = kLimit - kOmittedSize - (is_outcome(kind) ? 0 : kOutcomeReserve);
  if (bytes_.size() + 1 + total > limit || (omitted_ && !is_outcome(kind))) return omit();
  if (bytes_.capacity() < kFirstAllocation) bytes_.reserve(kFirstAllocation);  // a copy of a session's is cut to size
  if (bytes_.empty()) bytes_ += static_cast<char>(kVersion);
  const std::size_t before = bytes_.size();
  bytes_.resize(before + total);
  char* at = put_varint(bytes_.data() + before, body);
  *at++ = static_cast<char>(kind);
  *at++ = static_cast<char>(stage);
  at = put_varint(at, micros);
  for (std::size_t i = 0; i < count; ++i) {
    at = put_varint(at, texts[i].size());
    if (!texts[i].empty()) std::memcpy(at, texts[i].data(), texts[i].size());
    at += texts[i].size();
  }
}

void Trail::omit() {
  if (!omitted_) {
    if (bytes_.empty()) bytes_ += static_cast<char>(kVersion);
    const char head[] = {kOmittedSize - 1, static_cast<char>(TrailEntry::Kind::kOmitted), 0, 0, 4};
    bytes_.append(head, sizeof head);
    omitted_at_ = static_cast<std::uint32_t>(bytes_.size());
    bytes_.append(4, '\0');
  }
  ++omitted_;
  std::memcpy(bytes_.data() + omitted_at_, &omitted_, sizeof omitted_);  // little-endian: the platforms we build for
}

void Trail::start(WallTime when, std::string_view session, std::uint64_t config_hash) {
  std::array<char, 24> time, hash;
  const auto end = std::to_chars(hash.data(), hash.data() + hash.size(), config_hash, 16).ptr;
  append(TrailEntry::Kind::kStart, Stage::kConnect, 0, session,
         {hash.data(), static_cast<std::size_t>(end - hash.data())}, {},
         decimal(time, when.time_since_epoch().count()));
}
void Trail::fact(Stage stage, std::string_view name, std::string_view value) {
  append(TrailEntry::Kind::kFact, stage, 0, name, {}, {}, value);
}
void Trail::gate(Stage stage, std::string_view recipient, std::string_view cell, std::string_view answer) {
  append(TrailEntry::Kind::kGate, stage, 0, cell, {}, recipient, answer);
}
void Trail::rule(Stage stage, std::string_view name, std::string_view place, std::string_view in, std::string_view out,
                 std::uint32_t micros) {
  append(TrailEntry::Kind::kRule, stage, micros, name, place, in, out);
}
void Trail::effect(Stage stage, std::string_view name, std::string_view question, std::string_view answer,
                   std::uint32_t micros) {
  append(TrailEntry::Kind::kEffect, stage, micros, name, {}, question, answer);
}
void Trail::edit(Stage stage, std::string_view rule, std::string_view what) {
  append(TrailEntry::Kind::kEdit, stage, 0, rule, {}, {}, what);
}
void Trail::verdict(Stage stage, std::string_view rule, std::string_view words) {
  append(TrailEntry::Kind::kVerdict, stage, 0, rule, {}, {}, words);
}
void Trail::reply(Stage stage, int code, std::string_view text) {
  std::array<char, 24> room;
  append(TrailEntry::Kind::kReply, stage, 0, decimal(room, code), {}, {}, text);
}
void Trail::error(Stage stage, std::string_view rule, std::string_view what) {
  append(TrailEntry::Kind::kError, stage, 0, rule, {}, {}, what);
}

Result<std::vector<TrailEntry>> Trail::decode(std::string_view bytes) {
  std::vector<TrailEntry> entries;
  if (bytes.empty()) return entries;
  if (bytes.size() > 2 * kLimit) return fault("trail.limit", "larger than a trail may be");
  mail::RecordReader in(bytes);
  if (const std::uint8_t version = in.octet(); version != kVersion)
    return fault("trail.version", "version " + std::to_string(version));
  while (!in.at_end()) {
    const std::string_view body = in.text();
    if (in.failed() || body.size() < 3) return fault("trail.damaged", "an entry ends too early");
    const auto kind = static_cast<std::uint8_t>(body[0]);
    if (kind < static_cast<std::uint8_t>(TrailEntry::Kind::kStart) ||
        kind > static_cast<std::uint8_t>(TrailEntry::Kind::kOmitted))
      continue;  // of a newer server
    auto entry = decode_entry(body);
    if (!entry) return std::unexpected(std::move(entry).error());
    entries.push_back(std::move(*entry));
  }
  return entries;
}

}  // namespace postern
