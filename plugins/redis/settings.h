// The settings of an administrator: [[redis]].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "postern/config.h"

namespace postern::redis {

struct ServerSettings : Located {
  std::string name;
  Endpoint address;
  std::string user;
  std::filesystem::path password_file;
  unsigned database = 0;
  std::string prefix = "postern:";
  Duration timeout = 2s;
  unsigned connections = 1;
  unsigned pending = 1000;
};
void describe(Schema<ServerSettings>& s);

struct RedisSettings : Located {
  std::vector<ServerSettings> servers;
};
void describe(Schema<RedisSettings>& s);

}  // namespace postern::redis
