// The settings of an administrator: [[postgresql]].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "postern/config.h"

namespace postern::postgresql {

struct ServerSettings : Located {
  std::string name;
  std::string connection;
  std::string host;
  std::uint16_t port = 5432;
  std::string user;
  std::string database;
  std::filesystem::path password_file;
  std::string tls = "prefer";
  std::filesystem::path ca_file;
  bool read_only = true;
  Duration timeout = 5s;
  unsigned connections = 2;
  unsigned waiting = 1000;
};
void describe(Schema<ServerSettings>& s);

struct PostgresqlSettings : Located {
  std::vector<ServerSettings> servers;
};
void describe(Schema<PostgresqlSettings>& s);

}  // namespace postern::postgresql
