// What an administrator says about domains, accounts, aliases and log-ins.
//
//   [auth]                         how passwords are checked and guessing is slowed down
//   [[domain]] [[account]] [[alias]]   who we are and who lives here
//
// Owner:  the Config of an epoch. Thread: any, immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "postern/auth.h"
#include "postern/config.h"

namespace postern::auth {

struct AuthSettings : Located {
  std::optional<std::filesystem::path> users_file;
  std::string default_domain;
  std::string recipient_delimiter = "+";
  std::string postmaster;
  Duration cache_time = 5min;
  std::uint32_t cache_size = 20'000;
  std::uint32_t free_failures = 3;
  Duration first_delay = 1s;
  Duration max_delay = 15s;
  std::uint32_t block_after = 40;
  Duration failure_window = 15min;
  std::uint32_t throttle_size = 65'536;
};
void describe(Schema<AuthSettings>& s);

struct DomainSettings : Located {
  std::string name;
  DomainKind kind = DomainKind::kLocal;
  std::string catch_all;
};
void describe(Schema<DomainSettings>& s);

struct AccountSettings : Located {
  std::string name;
  std::string password;
  std::string apop_secret;
  std::vector<std::string> aliases;
};
void describe(Schema<AccountSettings>& s);

struct AliasSettings : Located {
  std::string from;
  std::vector<std::string> to;
};
void describe(Schema<AliasSettings>& s);

struct DirectorySettings : Located {
  std::vector<DomainSettings> domains;
  std::vector<AccountSettings> accounts;
  std::vector<AliasSettings> aliases;
};
void describe(Schema<DirectorySettings>& s);

}  // namespace postern::auth
