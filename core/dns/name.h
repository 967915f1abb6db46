// Domain names between text and wire (RFC 1035 §3.1, §4.1.4, §5.1).
//
// One text form is used everywhere above this file, described in postern/dns.h: lower case, no dot at the end, "." for
// the root, odd octets as \DDD. It is printable ASCII without spaces, so it may go into logs and header fields.
// Errors: nothing is returned for what is no name; names from outside never throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace postern::dns {

constexpr std::size_t kMaxNameOctets = 255;  ///< on the wire, with the root's zero (RFC 1035 §2.3.4)
constexpr std::size_t kMaxLabelOctets = 63;
constexpr std::size_t kMaxPointers = 127;  ///< one per label is as many as an honest name can have

/// Text in any case, with or without the last dot, to uncompressed wire form in lower case.
std::optional<std::string> name_to_wire(std::string_view text);

/// The one text form of a name; nothing when it cannot be a name.
std::optional<std::string> normalise_name(std::string_view text);

/// Reads the name at `offset` of a packet, following compression pointers, and moves `offset` behind it.
///
/// Each pointer must point to before the place where the run of labels that holds it began. Positions therefore only
/// fall, so that no packet can make a loop; the limits above bound the work for one name.
std::optional<std::string> read_name(std::span<const std::uint8_t> packet, std::size_t& offset);

}  // namespace postern::dns
