// Names on the disk: where an account and a folder lie, and what the name of a message's file says.
//
// Accounts and folders come from directories, scripts and clients, so every name is made harmless here and nowhere
// else: odd octets become %XX, nothing starts with a dot, nothing is ".." or holds a slash. What cannot be kept apart
// from another name (too long for the file system) is refused, never cut.
//
// Layout (Maildir++): root/domain/user/{cur,new,tmp} and root/domain/user/.Folder.Sub/{cur,new,tmp}; accounts without a
// domain lie below root/_local. Values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"
#include "postern/time.h"

namespace postern::maildir {

inline constexpr std::size_t kMaxComponent = 200;  ///< octets of a folder's name in the file system, of 255

/// "example.org/alice". Fault "store.no_account" for a name that cannot be one.
Result<std::string> account_path(std::string_view account);
/// "" for INBOX, else ".Lists.postern". Fault "store.no_folder".
Result<std::string> folder_path(std::string_view folder);
/// One path component without harm: letters, digits and "+-=@_.~" stay, a leading dot and all else become %XX.
std::string safe_component(std::string_view text);
/// RFC 3501 §5.1.3, as Dovecot names folders on disk; dots become "&AC4-" since a dot separates folders.
std::string modified_utf7(std::string_view utf8);

/// The letters of system flags in ASCII order, as they stand after ":2,"; keywords have none.
std::string flag_letters(const std::vector<std::string>& flags);

/// A file's name, taken apart. Views into it.
struct FileName {
  std::string_view base;  ///< before ":2,"; what identifies the message
  std::string_view flags;
  std::optional<std::uint64_t> size;       ///< S=
  std::optional<std::uint64_t> wire_size;  ///< W=
  std::optional<WallTime> delivered;       ///< the seconds that it begins with
  bool seen() const { return flags.find('S') != std::string_view::npos; }
};
FileName parse_file_name(std::string_view name);
/// The name with one more flag, letters in order: "x:2,F" and 'S' give "x:2,FS".
std::string with_flag(std::string_view name, char flag);

/// The POP3 unique-id of a base name (IDENTITY.md): the name itself, or a hash when it is not 1..70 of 0x21..0x7E.
std::string unique_id(std::string_view base);

/// Where a delivery stands, from stage() to publish().
struct Place {
  std::string dir;   ///< below the root: "example.org/alice/.Junk"
  std::string base;  ///< "1767225600.0c4k8fj2m9qrs-0.mx"
  std::string name;  ///< base,S=..,W=.. and ":2,FS" when there are flags
  std::string tmp() const { return dir + "/tmp/" + base; }
  std::string target() const { return dir + (name.find(":2,") == std::string::npos ? "/new/" : "/cur/") + name; }

  std::string token() const { return dir + '\t' + name; }
  /// Fault "store.token" for what token() cannot have made.
  static Result<Place> parse(std::string_view token);
};

}  // namespace postern::maildir
