// The envelope of a message (who sends, to whom, with which promises) and the facts of the session that brought it.
//
// Both travel through the pipeline and into the spool. encode() appends a compact, versioned form to a string; decode()
// takes bytes that may be damaged or hostile and gives a Fault ("envelope.damaged", "envelope.version",
// "envelope.limit"), never a crash or an unbounded allocation. Fields that this build does not know are skipped when
// their tag says that they may be (core/mail/README.md has the format). Values; any thread.
//
// RFC: 3461 (DSN), 1870 (SIZE), 6152 (8BITMIME), 3030 (BINARYMIME), 6531 (SMTPUTF8), 8689 (REQUIRETLS),
//      6710 (MT-PRIORITY), 2852 (DELIVERBY), 4865 (FUTURERELEASE).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/endpoint.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern {

inline constexpr std::size_t kMaxEnvelopeRecipients = 100'000;  ///< that decode() accepts
inline constexpr std::size_t kMaxEnvid = 100;                   ///< octets of xtext; RFC 3461 §4.4
inline constexpr std::size_t kMaxOrcpt = 500;                   ///< octets of type;xtext; RFC 3461 §4.2
inline constexpr std::size_t kMaxClientText = 1024;             ///< octets of each text in ClientInfo

enum class BodyType : std::uint8_t { k7Bit, k8BitMime, kBinaryMime };
enum class DsnReturn : std::uint8_t { kUnset, kHeaders, kFull };

/// NOTIFY of one recipient: a set of these bits; kNever stands alone; 0 means not given (RFC 3461 §4.1).
enum Notify : std::uint8_t {
  kNotifyUnset = 0,
  kNotifyNever = 1,
  kNotifySuccess = 2,
  kNotifyFailure = 4,
  kNotifyDelay = 8,
};

struct Recipient {
  Address address;
  std::string orcpt;                   ///< as given, "rfc822;bob+40example.org", checked but not decoded; or empty
  std::uint8_t notify = kNotifyUnset;  ///< bits of Notify

  /// Whether a failure, delay or success is to be reported; the defaults of RFC 3461 §4.1 when nothing was given.
  bool wants(Notify event) const {
    return notify == kNotifyUnset ? event != kNotifySuccess : (notify & event) != 0 && event != kNotifyNever;
  }
  bool operator==(const Recipient&) const = default;
};

/// BY= of MAIL (RFC 2852), with its time made absolute on arrival.
struct DeliverBy {
  WallTime when{};
  bool return_if_late = false;  ///< mode R; else N (notify)
  bool trace = false;           ///< modifier T
  bool operator==(const DeliverBy&) const = default;
};

struct Envelope {
  Address sender;  ///< is_null() for the null reverse path
  std::vector<Recipient> recipients;
  DsnReturn ret = DsnReturn::kUnset;
  BodyType body = BodyType::k7Bit;
  bool smtputf8 = false;
  bool require_tls = false;
  std::string envid;                    ///< xtext as given; empty: none
  std::optional<std::uint64_t> size;    ///< declared by SIZE=
  std::optional<std::int8_t> priority;  ///< -9 .. 9 (MT-PRIORITY)
  std::optional<DeliverBy> deliver_by;
  std::optional<WallTime> hold_until;  ///< HOLDFOR or HOLDUNTIL, made absolute on arrival

  void encode(std::string& out) const;  ///< appends
  static Result<Envelope> decode(std::string_view bytes);
  bool operator==(const Envelope&) const = default;
};

/// Where an encoded envelope leads and who sent it, without decoding all of it: a hash of its first recipient's domain
/// in the upper 32 bits, of its sender in the lower ones; 0 when it cannot be read. For the queue's turns among
/// messages that are not in memory. Never stored: values differ between releases.
std::uint64_t envelope_label(std::string_view bytes);
std::uint32_t destination_hash(std::string_view domain);  ///< of a domain in lower case, as Domain has it
std::uint32_t sender_hash(const Address& sender);

enum class SessionRole : std::uint8_t { kMx, kSubmission, kSubmissions, kLmtp, kLocal };
std::string_view to_string(SessionRole role);  ///< "mx", "submission", "submissions", "lmtp", "local"

/// Session facts: who brought a message, and over what.
struct ClientInfo {
  IpAddress ip;
  std::uint16_t port = 0;
  IpAddress local_ip;
  std::uint16_t local_port = 0;
  SessionRole role = SessionRole::kMx;
  bool esmtp = false;             ///< EHLO or LHLO, not HELO
  bool reverse_verified = false;  ///< reverse_name resolves to ip again
  std::string reverse_name;       ///< of PTR; empty: none
  std::string ehlo;               ///< as the client gave it
  std::string tls_version;        ///< "TLSv1.3"; empty: no TLS
  std::string tls_cipher;
  std::string tls_sni;
  std::string tls_peer;   ///< name in a verified client certificate; empty: none
  std::string auth_user;  ///< empty: not authenticated
  std::string auth_mechanism;
  std::string listener;  ///< name of the listener in the configuration

  bool secure() const { return !tls_version.empty(); }
  bool authenticated() const { return !auth_user.empty(); }
  /// "SMTP", "ESMTP", "ESMTPSA", "UTF8SMTPS", "LMTPA" and so on, for Received (RFC 3848, RFC 6531 §4.3).
  std::string protocol(bool smtputf8) const;

  void encode(std::string& out) const;  ///< appends; each text is cut at kMaxClientText
  static Result<ClientInfo> decode(std::string_view bytes);
  bool operator==(const ClientInfo&) const = default;
};

/// xtext of RFC 3461 §4: printable ASCII but "+" and "=" as themselves, the rest as "+XX".
std::string xtext_encode(std::string_view text);
Parsed<std::string> xtext_decode(std::string_view text);
/// utf-8-addr-xtext and utf-8-addr-unitext of RFC 6533 §3: "\x{HEX}" beside plain text.
Parsed<std::string> utf8_addr_decode(std::string_view text);

/// NOTIFY= value: "NEVER" or a list of SUCCESS, FAILURE, DELAY, each once, in any case.
Parsed<std::uint8_t> parse_notify(std::string_view text);
std::string format_notify(std::uint8_t notify);  ///< "SUCCESS,FAILURE"; "" when unset

/// ORCPT= value, taken apart.
struct OriginalRecipient {
  std::string type;     ///< lower case: "rfc822", "utf-8"
  std::string address;  ///< decoded
};
Parsed<OriginalRecipient> parse_orcpt(std::string_view text);
std::string format_orcpt(std::string_view type, std::string_view address);

Parsed<std::string> parse_envid(std::string_view text);            ///< decoded; checks length and xtext
Parsed<DsnReturn> parse_ret(std::string_view text);                ///< FULL or HDRS
Parsed<BodyType> parse_body(std::string_view text);                ///< 7BIT, 8BITMIME, BINARYMIME
Parsed<std::uint64_t> parse_declared_size(std::string_view text);  ///< up to 20 digits (RFC 1870 §4)
Parsed<std::int8_t> parse_priority(std::string_view text);
Parsed<DeliverBy> parse_deliver_by(std::string_view text, WallTime now);  ///< "120;R", "-5;NT"
Parsed<WallTime> parse_hold_for(std::string_view text, WallTime now);     ///< seconds
Parsed<WallTime> parse_hold_until(std::string_view text);                 ///< RFC 3339 date and time

}  // namespace postern
