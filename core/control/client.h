// The asking side of the control socket, for the CLI: blocking, one request at a time.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "postern/error.h"

namespace postern {

/// Sends one request to the server whose control socket is `path`, and hands each row (a JSON object's text) to
/// `on_row`. Faults: "control.unreachable" (no server runs there), or what the server answered.
Result<void> ask_server(const std::string& path, const std::string& command,
                        const std::map<std::string, std::string>& args,
                        const std::function<void(const std::string&)>& on_row);

}  // namespace postern
