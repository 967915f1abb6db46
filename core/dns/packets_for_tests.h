// DNS packets built by hand, for the tests of this area and the fuzz seeds. No part of the server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/dns/name.h"
#include "postern/dns.h"

namespace postern::dns {

inline std::string be16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}
inline std::string be32(std::uint32_t value) {
  return be16(value >> 16) + be16(value & 0xFFFF);
}
inline std::string wire(std::string_view name) {
  return name_to_wire(name).value();
}
inline std::span<const std::uint8_t> octets(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// An answer in the making; the question's name stands at offset 12, so that "\xC0\x0C" points to it.
struct Packet {
  std::string question;  // name, type, class
  std::string body;      // records of all sections, in order
  unsigned id = 0, flags = 0x8180, questions = 1, answers = 0, authorities = 0, additionals = 0;

  Packet(std::string_view name, RecordType type) : question(wire(name) + be16(static_cast<unsigned>(type)) + be16(1)) {}
  /// An answer to a packet that a resolver sent.
  explicit Packet(std::string_view asked)
      : question(asked.substr(12, asked.find('\0', 12) - 12 + 5)),
        id(static_cast<unsigned>(static_cast<unsigned char>(asked[0])) << 8 | static_cast<unsigned char>(asked[1])) {}

  static std::string record(std::string_view owner_wire, RecordType type, std::uint32_t ttl, std::string_view data) {
    return std::string(owner_wire) + be16(static_cast<unsigned>(type)) + be16(1) + be32(ttl) +
           be16(static_cast<unsigned>(data.size())) + std::string(data);
  }
  Packet& answer(std::string_view owner_wire, RecordType type, std::uint32_t ttl, std::string_view data) {
    ++answers;
    body += record(owner_wire, type, ttl, data);
    return *this;
  }
  Packet& authority(std::string_view owner_wire, RecordType type, std::uint32_t ttl, std::string_view data) {
    ++authorities;
    body += record(owner_wire, type, ttl, data);
    return *this;
  }
  Packet& additional(std::string_view owner_wire, unsigned type, std::uint32_t ttl, std::string_view data = {}) {
    ++additionals;
    body += record(owner_wire, static_cast<RecordType>(type), ttl, data);
    return *this;
  }
  Packet& rcode(unsigned code) {
    flags |= code;
    return *this;
  }
  Packet& authentic() {
    flags |= 0x20;
    return *this;
  }
  Packet& truncated() {
    flags |= 0x200;
    return *this;
  }
  std::string str() const {
    return be16(id) + be16(flags) + be16(questions) + be16(answers) + be16(authorities) + be16(additionals) +
           (questions ? question : "") + body;
  }
};

inline constexpr std::string_view kQuestionName("\xC0\x0C", 2);

inline std::string soa_data(std::uint32_t minimum) {
  return wire("ns.example.org") + wire("hostmaster.example.org") + be32(7) + be32(1) + be32(2) + be32(3) +
         be32(minimum);
}

}  // namespace postern::dns
