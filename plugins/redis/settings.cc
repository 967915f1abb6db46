#include "settings.h"

namespace postern::redis {

void describe(Schema<ServerSettings>& s) {
  s.table("redis", "A Redis server in which scripts may keep values, by its name (postern.kv).");
  s.applies(Apply::kRestart);
  s.field("name", &ServerSettings::name, "Its name, for [pipeline] kv and in scripts.")
      .required()
      .length(1, 64)
      .example("redis");
  s.field("address", &ServerSettings::address,
          "Address and port, or unix:/path of its socket. What is sent there is not encrypted.")
      .required()
      .example("127.0.0.1:6379");
  s.field("user", &ServerSettings::user, "User to log in as. Empty: the default user.").length(0, 255);
  s.field("password_file", &ServerSettings::password_file, "File with the password. Empty: there is none.");
  s.field("database", &ServerSettings::database, "Number of the database.").range(0, 1'000'000);
  s.field("prefix", &ServerSettings::prefix, "Stands before each key there.").length(0, 100);
  s.field("timeout", &ServerSettings::timeout, "The longest that one question takes.").range(10ms, 1min);
  s.field("connections", &ServerSettings::connections, "Connections, per worker.").range(1, 32);
  s.field("pending", &ServerSettings::pending, "Questions without an answer, per connection; more are refused.")
      .range(1, 100'000);
}

void describe(Schema<RedisSettings>& s) {
  s.table("", "Redis servers.");
  s.table_field("redis", &RedisSettings::servers, "A Redis server for scripts.", 0, 32);
}

}  // namespace postern::redis
