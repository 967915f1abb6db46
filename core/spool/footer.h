// Records as they lie in a segment, and the footer that sums a full segment up, so that a start need not read bodies.
//
// Thread: any, one segment by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/spool/format.h"
#include "core/spool/index.h"

namespace postern::spool {

/// Whether `octets` begin with a record of this segment whose checksums (an accept's body included) are right.
bool whole_record(std::string_view octets, std::uint64_t stamp);

/// Sums up the segment's records after its end. False when they cannot be read, or the disk will not take it.
bool write_footer(Segment& segment);

struct Footer {
  FooterHeader header;
  std::string entries;
};
/// The footer of this use of the segment, if there is one and it is whole.
std::optional<Footer> read_footer(File& file, const SegmentHeader& segment);
/// Calls for each entry; false when an entry makes no sense (then some may have been seen).
bool for_each_entry(const Footer& footer, const std::function<void(const FooterEntry&, std::string_view extra)>& each);

}  // namespace postern::spool
