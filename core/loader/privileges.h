// What only a process knows about itself: its user, and the service manager that started it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "postern/error.h"

namespace postern {

/// Gives `state` and what prepare made in it to the user, then becomes that user for good. True when it did; false when
/// the process is not root and there is nothing to drop. Faults: "server.user" (root without a user, or no such one).
Result<bool> become_user(const std::string& user, const std::string& group, const std::filesystem::path& state);

/// Tells systemd ("READY=1"), when it asked by NOTIFY_SOCKET; sd_notify(3) has the protocol.
void notify_service_manager(std::string_view state);

}  // namespace postern
