// The bytes of a record: TRAIL.md is their contract.
#include <array>
#include <cstring>

#include "core/mail/record.h"
#include "core/pipeline/trail_log.h"
#include "postern/crc32c.h"

namespace postern {
namespace {

constexpr std::uint8_t kRecordVersion = 1;
constexpr std::size_t kFrame = 8;                // length and checksum, little-endian
constexpr std::size_t kMaxRecordSize = 1 << 20;  // octets of one record that a reader believes

void put_u32(char* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<char>(value >> (8 * i));
}
std::uint32_t get_u32(const char* at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<std::uint8_t>(at[i])} << (8 * i);
  return value;
}

}  // namespace

void TrailRecord::encode(std::string& out) const {
  const std::size_t begin = out.size();
  out.append(kFrame, '\0');
  out += static_cast<char>(kRecordVersion);
  out += static_cast<char>(accepted ? 1 : 0);
  mail::put_varint(out, mail::zigzag(when.time_since_epoch().count()));
  for (const std::string* text : {&message, &session, &client, &sender}) mail::put_text(out, *text);
  mail::put_varint(out, recipients.size());
  for (const std::string& recipient : recipients) mail::put_text(out, recipient);
  mail::put_text(out, outcome);
  mail::put_text(out, trail);
  const std::string_view body = std::string_view(out).substr(begin + kFrame);
  put_u32(out.data() + begin, static_cast<std::uint32_t>(body.size()));
  put_u32(out.data() + begin + 4, crc32c(0, body));
}

Result<TrailRecord> TrailRecord::decode(std::string_view& bytes) {
  if (bytes.size() < kFrame) return fault("trail.damaged", "a record ends too early");
  const std::uint32_t size = get_u32(bytes.data());
  if (size > kMaxRecordSize || size > bytes.size() - kFrame) return fault("trail.damaged", "a record ends too early");
  const std::string_view body = bytes.substr(kFrame, size);
  if (crc32c(0, body) != get_u32(bytes.data() + 4)) return fault("trail.damaged", "a record's checksum is wrong");
  bytes.remove_prefix(kFrame + size);
  mail::RecordReader in(body);
  if (in.octet() != kRecordVersion) return fault("trail.version", "a record of another version");
  TrailRecord record;
  record.accepted = in.octet() & 1;
  record.when = WallTime(WallTime::duration(mail::unzigzag(in.varint())));
  for (std::string* text : {&record.message, &record.session, &record.client, &record.sender}) *text = in.text();
  const std::uint64_t recipients = in.varint();
  if (recipients > size) return fault("trail.damaged", "more recipients than octets");
  for (std::uint64_t i = 0; i < recipients && !in.failed(); ++i) record.recipients.emplace_back(in.text());
  record.outcome = in.text();
  record.trail = in.text();
  if (in.failed()) return fault("trail.damaged", "a record ends too early");
  return record;
}

std::string_view TrailRecord::client_of(std::string_view bytes, std::size_t& size) {
  size = 0;
  if (bytes.size() < kFrame) return {};
  const std::uint32_t body = get_u32(bytes.data());
  if (body > bytes.size() - kFrame) return {};
  size = kFrame + body;
  mail::RecordReader in(bytes.substr(kFrame, body));
  in.octet();
  in.octet();
  in.varint();
  in.text();
  in.text();
  return in.text();
}

}  // namespace postern
