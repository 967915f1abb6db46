// The rules of a server without scripts:
//
//   root: relay_limit(100)   -> bounce 5.4.6
//         recipient_is_local -> deliver INBOX
//         relay_allowed      -> relay
//         bounce 5.7.1
//
// They need no module, so that a server whose mailets or scripts are missing still is a safe gateway.
#pragma once

#include <cstdint>
#include <memory>

#include "postern/pipeline.h"

namespace postern {

inline constexpr std::uint32_t kDefaultReceivedLimit = 100;  ///< RFC 5321 §6.3 asks for at least 100

std::shared_ptr<RuleSet> make_default_rules();

}  // namespace postern
