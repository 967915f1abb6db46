// Whom the system knows by a number: the user at the other end of a listener with the role local.
//
// Thread: a pool's. The system's user data base may be a file or a server far away, so that workers ask through
// run_blocking.
#pragma once

#include <cstdint>
#include <string>

namespace postern::smtp {

/// "ann"; the number when the system has no name for it, or none that can be shown as it is (in a header, in a log).
std::string system_user(std::uint32_t uid);

}  // namespace postern::smtp
