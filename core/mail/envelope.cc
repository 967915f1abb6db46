// Envelope and ClientInfo in and out of bytes. README.md lists the tags; a tag's meaning never changes.
#include "postern/envelope.h"

#include <algorithm>

#include "core/mail/chars.h"
#include "core/mail/record.h"
#include "postern/hash.h"

namespace postern {
namespace {

using mail::put_field;
using mail::put_number;
using mail::put_text;
using mail::RecordReader;

constexpr char kVersion = 1;

enum EnvelopeTag : std::uint8_t {
  kSender = 1,
  kRecipient = 2,
  kFlags = 3,
  kEnvid = 4,
  kSize = 5,
  kPriority = 6,
  kDeliverBy = 7,
  kHoldUntil = 8,
};

enum ClientTag : std::uint8_t {
  kPeer = 1,
  kLocal = 2,
  kClientFlags = 3,
  kReverseName = 4,
  kEhlo = 5,
  kTlsVersion = 6,
  kTlsCipher = 7,
  kTlsSni = 8,
  kTlsPeer = 9,
  kAuthUser = 10,
  kAuthMechanism = 11,
  kListener = 12,
};

constexpr std::uint64_t kUtf8Flag = 1 << 4;
constexpr std::uint64_t kRequireTlsFlag = 1 << 5;

std::unexpected<Fault> damaged(std::string what) {
  return fault("envelope.damaged", std::move(what));
}

Result<Address> read_address(std::string_view text) {
  if (text.empty()) return Address{};
  Parsed<Address> address = Address::parse(text, {.allow_postmaster = true, .max_local_part = 2 * kMaxPath});
  if (!address) return damaged("address: " + address.error().to_string());
  return std::move(*address);
}

// What goes into a command line again must not be able to end it.
bool is_parameter_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
}

std::uint64_t single(std::string_view payload, bool& good) {
  RecordReader reader(payload);
  const std::uint64_t value = reader.varint();
  good = good && !reader.failed();
  return value;
}

WallTime wall(std::uint64_t coded) {
  return WallTime(std::chrono::microseconds(mail::unzigzag(coded)));
}
std::uint64_t coded(WallTime when) {
  return mail::zigzag(when.time_since_epoch().count());
}

void encode_recipient(std::string& out, const Recipient& recipient, std::string& scratch) {
  scratch.assign(1, static_cast<char>(recipient.notify));
  const std::size_t size_at = scratch.size();
  recipient.address.append_to(scratch);
  std::string length;
  mail::put_varint(length, scratch.size() - size_at);
  scratch.insert(size_at, length);
  if (!recipient.orcpt.empty()) put_text(scratch, recipient.orcpt);
  put_field(out, kRecipient, scratch);
}

Result<Recipient> decode_recipient(std::string_view payload) {
  RecordReader reader(payload);
  Recipient recipient;
  recipient.notify = reader.octet();
  Result<Address> address = read_address(reader.text());
  if (!address) return std::unexpected(address.error());
  recipient.address = std::move(*address);
  if (!reader.at_end()) recipient.orcpt = reader.text();
  const bool notify_fits = recipient.notify == kNotifyNever || (recipient.notify & ~0xeU) == 0;
  if (reader.failed() || recipient.address.is_null() || !notify_fits) return damaged("recipient");
  if (recipient.orcpt.size() > kMaxOrcpt || !is_parameter_text(recipient.orcpt)) return damaged("orcpt");
  return recipient;
}

bool decode_flags(Envelope& envelope, std::uint64_t flags) {
  const std::uint64_t body = flags & 3;
  const std::uint64_t ret = (flags >> 2) & 3;
  if (body > 2 || ret > 2) return false;
  envelope.body = static_cast<BodyType>(body);
  envelope.ret = static_cast<DsnReturn>(ret);
  envelope.smtputf8 = (flags & kUtf8Flag) != 0;
  envelope.require_tls = (flags & kRequireTlsFlag) != 0;
  return true;
}

bool decode_deliver_by(Envelope& envelope, std::string_view payload) {
  RecordReader reader(payload);
  const std::uint8_t mode = reader.octet();
  envelope.deliver_by = DeliverBy{wall(reader.varint()), (mode & 1) != 0, (mode & 2) != 0};
  return !reader.failed();
}

// One field other than the addresses; false when it is damaged.
bool decode_field(Envelope& envelope, std::uint8_t tag, std::string_view payload) {
  bool good = true;
  switch (tag) {
    case kFlags:
      return decode_flags(envelope, single(payload, good)) && good;
    case kEnvid:
      envelope.envid = payload.substr(0, kMaxEnvid);
      return payload.size() <= kMaxEnvid && is_parameter_text(payload);
    case kSize:
      envelope.size = single(payload, good);
      return good;
    case kPriority: {
      const std::int64_t value = mail::unzigzag(single(payload, good));
      envelope.priority = static_cast<std::int8_t>(std::clamp<std::int64_t>(value, -9, 9));
      return good && value >= -9 && value <= 9;
    }
    case kDeliverBy:
      return decode_deliver_by(envelope, payload);
    case kHoldUntil:
      envelope.hold_until = wall(single(payload, good));
      return good;
    default:
      return (tag & mail::kCritical) == 0;
  }
}

void encode_endpoint(std::string& out, std::uint8_t tag, const IpAddress& ip, std::uint16_t port) {
  out += static_cast<char>(tag);
  out += static_cast<char>(ip.size() + 2);
  out.append(reinterpret_cast<const char*>(ip.octets()), ip.size());
  out += {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)};
}

bool decode_endpoint(std::string_view payload, IpAddress& ip, std::uint16_t& port) {
  const auto octet = [&](std::size_t i) { return static_cast<std::uint8_t>(payload[i]); };
  if (payload.size() == 6) {
    ip = IpAddress::v4(static_cast<std::uint32_t>(octet(0)) << 24 | static_cast<std::uint32_t>(octet(1)) << 16 |
                       static_cast<std::uint32_t>(octet(2)) << 8 | octet(3));
  } else if (payload.size() == 18) {
    std::array<std::uint8_t, 16> octets{};
    for (std::size_t i = 0; i < 16; ++i) octets[i] = octet(i);
    ip = IpAddress::v6(octets);
  } else {
    return false;
  }
  port = static_cast<std::uint16_t>(octet(payload.size() - 2) << 8 | octet(payload.size() - 1));
  return true;
}

std::string* text_of(ClientInfo& info, std::uint8_t tag) {
  switch (tag) {
    case kReverseName:
      return &info.reverse_name;
    case kEhlo:
      return &info.ehlo;
    case kTlsVersion:
      return &info.tls_version;
    case kTlsCipher:
      return &info.tls_cipher;
    case kTlsSni:
      return &info.tls_sni;
    case kTlsPeer:
      return &info.tls_peer;
    case kAuthUser:
      return &info.auth_user;
    case kAuthMechanism:
      return &info.auth_mechanism;
    case kListener:
      return &info.listener;
    default:
      return nullptr;
  }
}

bool decode_client_field(ClientInfo& info, std::uint8_t tag, std::string_view payload) {
  if (tag == kPeer) return decode_endpoint(payload, info.ip, info.port);
  if (tag == kLocal) return decode_endpoint(payload, info.local_ip, info.local_port);
  if (tag == kClientFlags) {
    bool good = true;
    const std::uint64_t flags = single(payload, good);
    if (!good || (flags & 0xf) > static_cast<std::uint64_t>(SessionRole::kLocal)) return false;
    info.role = static_cast<SessionRole>(flags & 0xf);
    info.esmtp = (flags & 0x10) != 0;
    info.reverse_verified = (flags & 0x20) != 0;
    return true;
  }
  std::string* text = text_of(info, tag);
  if (text == nullptr) return (tag & mail::kCritical) == 0;
  if (payload.size() > kMaxClientText) return false;
  *text = payload;
  return true;
}

}  // namespace

void Envelope::encode(std::string& out) const {
  out += kVersion;
  std::string scratch;
  sender.append_to(scratch);
  if (!scratch.empty()) put_field(out, kSender, scratch);
  const std::uint64_t flags = static_cast<std::uint64_t>(body) | static_cast<std::uint64_t>(ret) << 2 |
                              (smtputf8 ? kUtf8Flag : 0) | (require_tls ? kRequireTlsFlag : 0);
  if (flags != 0) put_number(out, kFlags, flags);
  if (!envid.empty()) put_field(out, kEnvid, envid);
  if (size) put_number(out, kSize, *size);
  if (priority) put_number(out, kPriority, mail::zigzag(*priority));
  if (deliver_by) {
    scratch.assign(1, static_cast<char>((deliver_by->return_if_late ? 1 : 0) | (deliver_by->trace ? 2 : 0)));
    mail::put_varint(scratch, coded(deliver_by->when));
    put_field(out, kDeliverBy, scratch);
  }
  if (hold_until) put_number(out, kHoldUntil, coded(*hold_until));
  for (const Recipient& recipient : recipients) encode_recipient(out, recipient, scratch);
}

Result<Envelope> Envelope::decode(std::string_view bytes) {
  RecordReader reader(bytes);
  if (reader.octet() != kVersion) return fault("envelope.version", bytes.empty() ? "empty record" : "unknown version");
  Envelope envelope;
  while (!reader.at_end()) {
    const std::uint8_t tag = reader.octet();
    const std::string_view payload = reader.text();
    if (reader.failed()) break;
    if (tag == kRecipient) {
      if (envelope.recipients.size() == kMaxEnvelopeRecipients) return fault("envelope.limit", "too many recipients");
      Result<Recipient> recipient = decode_recipient(payload);
      if (!recipient) return std::unexpected(recipient.error());
      envelope.recipients.push_back(std::move(*recipient));
    } else if (tag == kSender) {
      Result<Address> sender = read_address(payload);
      if (!sender) return std::unexpected(sender.error());
      envelope.sender = std::move(*sender);
    } else if (!decode_field(envelope, tag, payload)) {
      return damaged("field " + std::to_string(tag));
    }
  }
  if (reader.failed()) return damaged("cut short");
  return envelope;
}

std::uint32_t destination_hash(std::string_view domain) {
  return static_cast<std::uint32_t>(hash_bytes(domain) >> 32);
}

std::uint32_t sender_hash(const Address& sender) {
  std::string text;
  sender.append_to(text);
  return static_cast<std::uint32_t>(hash_bytes(text));
}

std::uint64_t envelope_label(std::string_view bytes) {
  RecordReader reader(bytes);
  if (reader.octet() != kVersion) return 0;
  std::string_view sender;
  while (!reader.at_end() && !reader.failed()) {
    const std::uint8_t tag = reader.octet();
    const std::string_view payload = reader.text();
    if (tag == kSender) sender = payload;
    if (tag != kRecipient || reader.failed()) continue;
    RecordReader recipient(payload);
    recipient.octet();
    const std::string_view address = recipient.text();
    const std::string_view domain = address.substr(address.rfind('@') + 1);  // all of it when there is none
    return std::uint64_t{destination_hash(domain)} << 32 | static_cast<std::uint32_t>(hash_bytes(sender));
  }
  return 0;
}

std::string_view to_string(SessionRole role) {
  switch (role) {
    case SessionRole::kMx:
      return "mx";
    case SessionRole::kSubmission:
      return "submission";
    case SessionRole::kSubmissions:
      return "submissions";
    case SessionRole::kLmtp:
      return "lmtp";
    case SessionRole::kLocal:
      return "local";
  }
  return "unknown";
}

std::string ClientInfo::protocol(bool smtputf8) const {
  std::string name = role == SessionRole::kLmtp ? (smtputf8 ? "UTF8LMTP" : "LMTP")
                     : smtputf8                 ? "UTF8SMTP"
                     : esmtp                    ? "ESMTP"
                                                : "SMTP";
  // RFC 3848 registers the suffixes for the extended protocols only.
  if (name == "SMTP") return name;
  if (secure()) name += 'S';
  if (authenticated()) name += 'A';
  return name;
}

void ClientInfo::encode(std::string& out) const {
  out += kVersion;
  encode_endpoint(out, kPeer, ip, port);
  encode_endpoint(out, kLocal, local_ip, local_port);
  put_number(out, kClientFlags,
             static_cast<std::uint64_t>(role) | (esmtp ? 0x10U : 0U) | (reverse_verified ? 0x20U : 0U));
  const auto text = [&out](std::uint8_t tag, std::string_view value) {
    if (!value.empty()) put_field(out, tag, value.substr(0, kMaxClientText));
  };
  text(kReverseName, reverse_name);
  text(kEhlo, ehlo);
  text(kTlsVersion, tls_version);
  text(kTlsCipher, tls_cipher);
  text(kTlsSni, tls_sni);
  text(kTlsPeer, tls_peer);
  text(kAuthUser, auth_user);
  text(kAuthMechanism, auth_mechanism);
  text(kListener, listener);
}

Result<ClientInfo> ClientInfo::decode(std::string_view bytes) {
  RecordReader reader(bytes);
  if (reader.octet() != kVersion) return fault("envelope.version", bytes.empty() ? "empty record" : "unknown version");
  ClientInfo info;
  while (!reader.at_end()) {
    const std::uint8_t tag = reader.octet();
    const std::string_view payload = reader.text();
    if (reader.failed()) break;
    if (!decode_client_field(info, tag, payload)) return damaged("client field " + std::to_string(tag));
  }
  if (reader.failed()) return damaged("cut short");
  return info;
}

}  // namespace postern
