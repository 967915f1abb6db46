// Editing the users file ([auth] users_file): what `postern user` stands on. modules/auth/README.md has the format;
// that module has its own reader and sees changes at its next reload.
//
// An edit is: open (which locks), change, save. What is not changed, comments and order included, stays as it is. A
// file is replaced as a whole, synced before it gets its name, so that no crash leaves half of one.
//
// Owner:  the command line (implemented in core/cli, not in libpostern: modules cannot link it). Thread: one; it
// blocks. Errors: "users.locked" (somebody else edits), "users.io", "users.syntax", "users.exists", "users.unknown",
//         "users.name", "users.password".
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"

namespace postern {

/// The argon2id hash of a password, with a fresh salt (19 MiB, 2 passes: RFC 9106 and OWASP's first choice for
/// servers).
Result<std::string> hash_password(std::string_view password);

class UsersFile {
 public:
  struct User {
    std::string name;
    bool locked = false;  ///< no log-in
    bool apop = false;    ///< keeps a shared secret
    std::string scheme;   ///< "argon2id", "yescrypt", "bcrypt", "sha512", ...; empty when locked
  };

  /// Locks and reads. A file that is not there is an empty one; its folder must be there.
  static Result<UsersFile> open(std::filesystem::path file);
  UsersFile(UsersFile&&) noexcept;
  UsersFile& operator=(UsersFile&&) noexcept;
  ~UsersFile();  ///< gives the lock back; what was not saved is forgotten

  std::vector<User> list() const;
  bool contains(std::string_view name) const;  ///< without regard to case

  Result<void> add(std::string_view name, std::string_view hash);
  Result<void> set_hash(std::string_view name, std::string_view hash);  ///< keeps the other fields
  Result<void> remove(std::string_view name);

  /// Returns when the new file is on disk under its name. Keeps the mode and owner of the old one; a new one is 0640
  /// and belongs to whom its folder belongs to.
  Result<void> save();

 private:
  struct Impl;
  explicit UsersFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern
