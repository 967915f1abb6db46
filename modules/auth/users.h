// The reader of the users file, which `postern user` writes (format: README.md).
//
//   # comment
//   alice@example.org:$argon2id$v=19$m=19456,t=2,p=1$...$...
//   bob@example.org:$6$...:apop=secret
//   old@example.org:!:
//
// Thread: any; read_users_file() blocks. Errors: each bad line is reported with its place; none is skipped silently.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "postern/diagnostics.h"

namespace postern::auth {

inline constexpr std::size_t kMaxUsersFileBytes = 64 << 20;
inline constexpr std::size_t kMaxUsersLineBytes = 4096;

struct UserEntry {
  std::string name;  ///< as written
  std::string hash;
  std::string apop_secret;
  Origin origin;
};

std::vector<UserEntry> parse_users(std::string file_name, std::string text, Diagnostics& diagnostics);

/// Reads and parses; a missing or unreadable file is an error, one that others may read a warning.
std::vector<UserEntry> read_users_file(const std::filesystem::path& file, const Origin& setting,
                                       Diagnostics& diagnostics);

}  // namespace postern::auth
