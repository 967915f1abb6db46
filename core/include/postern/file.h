// Reading a file that an administrator named: whole, bounded, and without ever waiting.
//
// A name in a configuration may turn out to be a named pipe, a device, a socket or a folder. Opening a pipe waits for a
// writer that may never come, and opening a device can do things; so it is looked at before it is opened, opened
// without waiting, and looked at again, since it may have been replaced in between.
//
// Thread: any that may block on a disk. Errors: a Fault whose detail says why without naming the file, for the caller
// knows best how to name it. Codes: "file.open", "file.kind", "file.large", "file.read".
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "postern/error.h"

namespace postern {

/// The octets of the regular file `file` (links are followed); a fault when it has more than `limit`.
Result<std::string> read_regular_file(const std::filesystem::path& file, std::size_t limit);

}  // namespace postern
