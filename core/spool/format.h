// What the spool's files look like, octet by octet: the contract is FORMAT.md, and this is the same in C++.
//
// All numbers are little-endian and all structures are copied whole, never pointed into.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "postern/crc32c.h"
#include "postern/spool.h"

namespace postern::spool {

static_assert(std::endian::native == std::endian::little, "the structures below are stored as they are");

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint64_t kSegmentMagic = 0x314745534e545350ULL;  // "PSTNSEG1"
inline constexpr std::uint64_t kFooterMagic = 0x31544f464e545350ULL;   // "PSTNFOT1"
inline constexpr std::uint64_t kBodyMagic = 0x31444f424e545350ULL;     // "PSTNBOD1"
inline constexpr std::uint32_t kRecordMagic = 0x31435250;              // "PRC1"
inline constexpr std::uint64_t kHeaderRoom = 4096;  ///< before the first record of a segment, and before a body
inline constexpr std::uint64_t kAlign = 16;         ///< of records
inline constexpr std::uint64_t kPage = 4096;

/// Never renumber; a reader refuses a segment of another version, not a record of an unknown type.
enum class RecordType : std::uint8_t {
  kAccept = 1,
  kAcceptRef = 2,
  kPlaced = 3,
  kDone = 4,
  kAttempt = 5,
  kDotSent = 6,
  kHold = 7,
  kRecall = 8,
  kRoute = 9,
  kHandling = 10,
  kEndOfBatch = 15,
};
inline constexpr std::uint8_t kFlagMoved = 1;  ///< an accept that compaction wrote; it takes the former one's place

struct SegmentHeader {
  std::uint64_t magic = kSegmentMagic;
  std::uint32_t version = kFormatVersion;
  std::uint32_t crc = 0;             ///< of what follows
  std::uint64_t sequence = 0;        ///< position in the log; greater is later
  std::uint64_t stamp = 0;           ///< random for each use; every record repeats it
  std::uint64_t size = 0;            ///< of the segment, without its footer
  std::uint64_t previous_batch = 0;  ///< the last one of the segment before
  std::uint64_t first_sequence = 0;  ///< segments before it are free
  std::uint64_t last_id = 0;         ///< no greater message id had been given out
};
static_assert(sizeof(SegmentHeader) == 64);

struct RecordHeader {
  std::uint32_t magic = kRecordMagic;
  std::uint32_t crc = 0;  ///< of the 56 octets after it
  std::uint64_t stamp = 0;
  std::uint64_t batch = 0;
  std::uint32_t length = 0;       ///< of the payload
  std::uint32_t payload_crc = 0;  ///< of its first `covered` octets
  std::uint64_t id = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint16_t reserved = 0;
  std::uint32_t recipient = 0;
  std::int64_t time = 0;    ///< microseconds since 1970; in end-of-batch: the number of the batch before
  std::uint32_t count = 0;  ///< in end-of-batch: records of the batch, itself included
  std::uint32_t covered = 0;
};
static_assert(sizeof(RecordHeader) == 64);

/// First in the payload of accept and accept-ref; then envelope, client, plan, trail, prefix, header, and for accept
/// the body. `covered` reaches to the end of the header block.
struct AcceptHead {
  std::uint32_t envelope = 0, client = 0, plan = 0, trail = 0, prefix = 0, header = 0;  ///< octets of each
  std::uint32_t recipients = 0;
  std::uint32_t body_crc = 0;
  std::uint64_t body = 0;        ///< octets
  std::uint64_t body_stamp = 0;  ///< accept-ref: what the body file's header must say
  std::uint32_t body_file = 0;   ///< accept-ref: its number; 0 for accept
  std::uint32_t reserved = 0;
  std::uint64_t reserved2 = 0;
  std::uint64_t front() const;  ///< octets before the body, this head included
};
static_assert(sizeof(AcceptHead) == 64);

/// Payload of end-of-batch.
struct BatchEnd {
  std::uint64_t first_sequence = 0;
  std::uint64_t last_id = 0;
};

/// At SegmentHeader::size; then `count` entries in `length` octets.
struct FooterHeader {
  std::uint64_t magic = kFooterMagic;
  std::uint64_t stamp = 0;
  std::uint32_t crc = 0;         ///< of the entries
  std::uint32_t header_crc = 0;  ///< of this structure with this field 0
  std::uint64_t length = 0;
  std::uint64_t count = 0;
  std::uint64_t end = 0;  ///< where the segment's records end
  std::uint64_t last_batch = 0;
  BatchEnd last_end{};  ///< of its last batch
};
static_assert(sizeof(FooterHeader) == 72);

/// An entry: this, then `extra` octets: an accept's AcceptHead and envelope, or a change's text.
struct FooterEntry {
  std::uint64_t offset = 0;  ///< of the record in its segment
  RecordHeader header;
  std::uint32_t extra = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(FooterEntry) == 80);

struct BodyHeader {
  std::uint64_t magic = kBodyMagic;
  std::uint32_t version = kFormatVersion;
  std::uint32_t crc = 0;  ///< of what follows
  std::uint64_t number = 0;
  std::uint64_t stamp = 0;
};

inline std::uint32_t checksum(std::string_view octets, std::uint32_t before = 0) {
  return crc32c(before, octets);
}

template <class T>
std::string_view octets_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}
template <class T>
std::optional<T> take(std::string_view octets, std::uint64_t offset = 0) {
  if (offset > octets.size() || octets.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, octets.data() + offset, sizeof(T));
  return value;
}

inline std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}
/// What a record with this payload takes up.
inline std::uint64_t record_size(std::uint64_t payload) {
  return round_up(sizeof(RecordHeader) + payload, kAlign);
}
inline constexpr std::uint64_t kEndRecordSize = sizeof(RecordHeader) + sizeof(BatchEnd);

void seal(SegmentHeader& header);
void seal(RecordHeader& header);
void seal(FooterHeader& header);
void seal(BodyHeader& header);
bool intact(const SegmentHeader& header);
bool intact(const RecordHeader& header);
bool intact(const FooterHeader& header);
bool intact(const BodyHeader& header);

bool is_accept(std::uint8_t type);
std::uint8_t type_of(Mark mark);
std::optional<Mark> mark_of(std::uint8_t type);

/// The head of an accept's payload, when its lengths agree with the record's.
std::optional<AcceptHead> accept_head(const RecordHeader& header, std::string_view payload);

std::int64_t to_micros(WallTime time);
WallTime from_micros(std::int64_t micros);

std::string segment_name(std::uint32_t number);  ///< "00000001.seg"
std::string body_name(std::uint32_t number);     ///< "00000001.body"
/// The number in such a name; 0 when it is not one.
std::uint32_t number_in(std::string_view name, std::string_view suffix);

}  // namespace postern::spool
