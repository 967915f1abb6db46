// User names and passwords for hosts that want a log-in, from a file that nobody but its owner can read.
//
// A line is `name:user:password`; the password is all that follows the second colon. Empty lines and lines that begin
// with # are left out. Read once, in prepare; a value, then immutable.
//
// Errors: Fault "delivery.credentials" with file and line; the octets of a line are never part of it.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "postern/error.h"

namespace postern::relay {

struct Login {
  std::string user;
  std::string password;
};

class Credentials {
 public:
  static constexpr std::size_t kMaxFile = 1 << 20;
  static constexpr std::size_t kMaxField = 512;  ///< octets of user and password: an AUTH line stays under its limit

  static Result<Credentials> read(const std::filesystem::path& file);
  static Result<Credentials> parse(std::string_view text, const std::string& file);
  /// Null when there is no such name.
  const Login* find(std::string_view name) const;

 private:
  std::map<std::string, Login, std::less<>> logins_;
};

}  // namespace postern::relay
