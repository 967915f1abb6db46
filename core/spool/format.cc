#include "core/spool/format.h"

#include <fmt/format.h>

#include <charconv>

namespace postern::spool {

namespace {

template <class T>
std::string_view after(const T& header, std::size_t skip) {
  return octets_of(header).substr(skip);
}

std::uint32_t footer_crc(FooterHeader header) {
  header.header_crc = 0;
  return checksum(octets_of(header));
}

}  // namespace

std::uint64_t AcceptHead::front() const {
  return sizeof(AcceptHead) + std::uint64_t{envelope} + client + plan + trail + prefix + header;
}

void seal(SegmentHeader& header) {
  header.crc = checksum(after(header, 16));
}
void seal(RecordHeader& header) {
  header.crc = checksum(after(header, 8));
}
void seal(FooterHeader& header) {
  header.header_crc = footer_crc(header);
}
void seal(BodyHeader& header) {
  header.crc = checksum(after(header, 16));
}

bool intact(const SegmentHeader& header) {
  return header.magic == kSegmentMagic && header.crc == checksum(after(header, 16));
}
bool intact(const RecordHeader& header) {
  return header.magic == kRecordMagic && header.crc == checksum(after(header, 8)) && header.covered <= header.length;
}
bool intact(const FooterHeader& header) {
  return header.magic == kFooterMagic && header.header_crc == footer_crc(header);
}
bool intact(const BodyHeader& header) {
  return header.magic == kBodyMagic && header.crc == checksum(after(header, 16));
}

bool is_accept(std::uint8_t type) {
  return type == static_cast<std::uint8_t>(RecordType::kAccept) ||
         type == static_cast<std::uint8_t>(RecordType::kAcceptRef);
}

std::uint8_t type_of(Mark mark) {
  switch (mark) {
    case Mark::kPlaced:
      return static_cast<std::uint8_t>(RecordType::kPlaced);
    case Mark::kDone:
      return static_cast<std::uint8_t>(RecordType::kDone);
    case Mark::kAttempt:
      return static_cast<std::uint8_t>(RecordType::kAttempt);
    case Mark::kDotSent:
      return static_cast<std::uint8_t>(RecordType::kDotSent);
    case Mark::kHold:
      return static_cast<std::uint8_t>(RecordType::kHold);
    case Mark::kRecall:
      return static_cast<std::uint8_t>(RecordType::kRecall);
    case Mark::kRoute:
      return static_cast<std::uint8_t>(RecordType::kRoute);
    case Mark::kHandling:
      return static_cast<std::uint8_t>(RecordType::kHandling);
  }
  return 0;
}

std::optional<Mark> mark_of(std::uint8_t type) {
  switch (static_cast<RecordType>(type)) {
    case RecordType::kPlaced:
      return Mark::kPlaced;
    case RecordType::kDone:
      return Mark::kDone;
    case RecordType::kAttempt:
      return Mark::kAttempt;
    case RecordType::kDotSent:
      return Mark::kDotSent;
    case RecordType::kHold:
      return Mark::kHold;
    case RecordType::kRecall:
      return Mark::kRecall;
    case RecordType::kRoute:
      return Mark::kRoute;
    case RecordType::kHandling:
      return Mark::kHandling;
    default:
      return std::nullopt;
  }
}

std::optional<AcceptHead> accept_head(const RecordHeader& header, std::string_view payload) {
  auto head = take<AcceptHead>(payload);
  if (!head || head->recipients == 0 || head->recipients > kMaxRecipients) return std::nullopt;
  bool own_file = header.type == static_cast<std::uint8_t>(RecordType::kAcceptRef);
  if (own_file != (head->body_file != 0) || head->front() != header.covered) return std::nullopt;
  std::uint64_t stored = own_file ? 0 : head->body;
  if (head->body > (1ULL << 48) || head->front() + stored != header.length) return std::nullopt;
  return head;
}

std::int64_t to_micros(WallTime time) {
  return time.time_since_epoch().count();
}
WallTime from_micros(std::int64_t micros) {
  return WallTime(std::chrono::microseconds(micros));
}

std::string segment_name(std::uint32_t number) {
  return fmt::format("{:08}.seg", number);
}
std::string body_name(std::uint32_t number) {
  return fmt::format("{:08}.body", number);
}

std::uint32_t number_in(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return 0;
  name.remove_suffix(suffix.size());
  std::uint32_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : 0;
}

}  // namespace postern::spool
