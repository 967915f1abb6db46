// The fingerprint of a shared object, read from its file before it is opened.
//
// dlopen() runs the static constructors of what it opens, so that asking a foreign or stale module for its fingerprint
// afterwards is too late. POSTERN_MODULE therefore writes the fingerprint into a section of its own, ".postern", which
// survives strip, and which is found here by walking the ELF headers: with bounded reads, believing no offset.
//
// Thread: main, before the workers run. Errors: Faults "module.open" (cannot be read), "module.entry" (is no module).
#pragma once

#include <filesystem>
#include <string>

#include "postern/error.h"

namespace postern {

/// The text in section ".postern" of a 64-bit ELF file of this machine.
Result<std::string> read_module_stamp(const std::filesystem::path& file);

}  // namespace postern
