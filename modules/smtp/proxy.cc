#include "proxy.h"

#include <array>
#include <cstring>

#include "postern/text.h"

namespace postern::smtp {

namespace {

using State = ProxyParse::State;
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

ProxyParse invalid() {
  return {State::kInvalid, {}};
}

ProxyParse parse_v1(std::string_view octets) {
  const std::size_t end = octets.substr(0, kMaxProxyV1).find("\r\n");
  if (end == octets.npos) return octets.size() >= kMaxProxyV1 ? invalid() : ProxyParse{};
  ProxyHeader header;
  header.length = end + 2;
  const auto words = split(octets.substr(0, end), ' ');
  if (words.size() >= 2 && words[1] == "UNKNOWN") {
    header.local = true;
    return {State::kDone, header};
  }
  if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6")) return invalid();
  const auto source = IpAddress::parse(words[2]);
  const auto destination = IpAddress::parse(words[3]);
  const auto source_port = to_number<std::uint16_t>(words[4]);
  const auto destination_port = to_number<std::uint16_t>(words[5]);
  if (!source || !destination || !source_port || !destination_port) return invalid();
  if (words[1] == "TCP4" && (source->is_v6() || destination->is_v6())) return invalid();
  header.source = {*source, *source_port, {}};
  header.destination = {*destination, *destination_port, {}};
  return {State::kDone, header};
}

std::uint16_t read16(const char* at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(at[0]) << 8 | static_cast<unsigned char>(at[1]));
}
IpAddress read_v4(const char* at) {
  return IpAddress::v4(static_cast<std::uint32_t>(read16(at)) << 16 | read16(at + 2));
}
IpAddress read_v6(const char* at) {
  std::array<std::uint8_t, 16> octets;
  std::memcpy(octets.data(), at, octets.size());
  return IpAddress::v6(octets);
}

ProxyParse parse_v2(std::string_view octets) {
  constexpr std::size_t kHead = 16;
  if (octets.size() < kHead) return {};
  const auto version_command = static_cast<unsigned char>(octets[12]);
  const auto family = static_cast<unsigned char>(octets[13]);
  const std::size_t size = read16(octets.data() + 14);
  if (version_command >> 4 != 2 || (version_command & 15) > 1 || kHead + size > kMaxProxyV2) return invalid();
  if (octets.size() < kHead + size) return {};
  ProxyHeader header;
  header.length = kHead + size;
  const char* body = octets.data() + kHead;
  if ((version_command & 15) == 0) {
    header.local = true;
  } else if (family == 0x11 && size >= 12) {  // TCP over IPv4
    header.source = {read_v4(body), read16(body + 8), {}};
    header.destination = {read_v4(body + 4), read16(body + 10), {}};
  } else if (family == 0x21 && size >= 36) {  // TCP over IPv6
    header.source = {read_v6(body), read16(body + 32), {}};
    header.destination = {read_v6(body + 16), read16(body + 34), {}};
  } else if (family == 0x00) {
    header.local = true;  // UNSPEC: nothing is said about the client
  } else {
    return invalid();  // UDP, Unix sockets, or addresses cut short
  }
  return {State::kDone, header};
}

}  // namespace

ProxyParse parse_proxy(std::string_view octets) {
  if (octets.empty()) return {};
  if (octets.front() == 'P') {
    constexpr std::string_view kStart = "PROXY ";
    if (octets.substr(0, kStart.size()) != kStart.substr(0, octets.size())) return invalid();
    return parse_v1(octets);
  }
  if (octets.substr(0, kSignature.size()) != kSignature.substr(0, octets.size())) return invalid();
  return parse_v2(octets);
}

}  // namespace postern::smtp
