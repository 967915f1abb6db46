// What a server said in answer to EHLO or LHLO.
//
// Values. Unknown keywords are passed over; a number that does not parse counts as absent.
// RFC: 1870, 2034, 2852, 2920, 3030, 3461, 4954, 6152, 6531, 6710, 8689, 9422; PRDR; XCLIENT, XFORWARD.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::relay {

struct Capabilities {
  bool pipelining = false;
  bool chunking = false;
  bool binarymime = false;
  bool eightbitmime = false;
  bool smtputf8 = false;
  bool dsn = false;
  bool starttls = false;
  bool requiretls = false;
  bool prdr = false;
  bool mt_priority = false;
  bool deliver_by = false;
  bool auth_plain = false;
  bool auth_login = false;
  bool size = false;
  std::uint64_t max_size = 0;             ///< 0: none was said
  std::optional<std::uint32_t> mail_max;  ///< LIMITS (RFC 9422)
  std::optional<std::uint32_t> rcpt_max;
  std::optional<std::uint32_t> rcpt_domain_max;
  std::uint32_t xclient = 0;  ///< bits of XAttribute
  std::uint32_t xforward = 0;

  enum XAttribute : std::uint32_t {
    kName = 1,
    kAddr = 2,
    kPort = 4,
    kProto = 8,
    kHelo = 16,
    kIdent = 32,
    kSource = 64,
    kLogin = 128,
    kDestAddr = 256,
    kDestPort = 512,
  };

  /// Of the reply's text: its lines, the first of which is the server's name.
  static Capabilities parse(std::string_view text);
};

}  // namespace postern::relay
