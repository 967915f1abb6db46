// The Received field that this server puts in front of each message (RFC 5321 §4.4): who brought it, how, when.
//
// Pure. Texts of the client are written only as far as they are safe inside a header: atoms and comments without octets
// that would end them. Return-Path is not ours to add: final delivery does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/envelope.h"
#include "postern/spool.h"
#include "postern/time.h"

namespace postern::smtp {

struct ReceivedFacts {
  const ClientInfo& client;
  const Envelope& envelope;  ///< the for-clause is written for one recipient only, which then is no secret
  std::string_view hostname;
  MessageId id;
  WallTime when;
  bool name_asked = false;             ///< of the client's address: "unknown" stands where it has no name
  std::optional<std::uint32_t> uid{};  ///< of a user of this machine, who stands where else the client's host does
};

/// The whole field with its folds and CRLF.
std::string make_received(const ReceivedFacts& facts);

}  // namespace postern::smtp
