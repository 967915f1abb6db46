#include "settings.h"

namespace postern::postgresql {

void describe(Schema<ServerSettings>& s) {
  s.table("postgresql", "A PostgreSQL database that scripts may ask by its name (postern.sql).");
  s.applies(Apply::kRestart);
  s.field("name", &ServerSettings::name, "Its name in scripts.").required().length(1, 64).example("users");
  s.field("connection", &ServerSettings::connection,
          "A connection string of libpq, for what the settings below do not say; they go before it.")
      .secret()
      .example("application_name=postern");
  s.field("host", &ServerSettings::host, "Name or address of the server, or the folder of its Unix socket.")
      .length(0, 255)
      .example("db.example.org");
  s.field("port", &ServerSettings::port, "Its port.").range(1, 65'535);
  s.field("user", &ServerSettings::user, "User to log in as.").length(0, 64);
  s.field("database", &ServerSettings::database, "The database.").length(0, 64);
  s.field("password_file", &ServerSettings::password_file, "File with the password. Empty: there is none.");
  s.field("tls", &ServerSettings::tls, "Whether the connection is encrypted, and what is checked (libpq's sslmode).")
      .one_of({"disable", "prefer", "require", "verify-ca", "verify-full"});
  s.field("ca_file", &ServerSettings::ca_file, "PEM file with the authorities for verify-ca and verify-full.");
  s.field("read_only", &ServerSettings::read_only, "Statements that would change the database are refused.");
  s.field("timeout", &ServerSettings::timeout, "The longest that one statement takes, and one connect.")
      .range(10ms, 10min);
  s.field("connections", &ServerSettings::connections, "Connections, per worker.").range(1, 32);
  s.field("waiting", &ServerSettings::waiting,
          "Questions that may wait for a connection, per worker; more are refused.")
      .range(1, 100'000);
}

void describe(Schema<PostgresqlSettings>& s) {
  s.table("", "PostgreSQL databases.");
  s.table_field("postgresql", &PostgresqlSettings::servers, "A PostgreSQL database for scripts.", 0, 32);
}

}  // namespace postern::postgresql
