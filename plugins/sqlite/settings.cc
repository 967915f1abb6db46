#include "settings.h"

namespace postern::sqlite {

void describe(Schema<FileSettings>& s) {
  s.table("sqlite", "An SQLite database that scripts may ask by its name (postern.sql).");
  s.applies(Apply::kRestart);
  s.field("name", &FileSettings::name, "Its name in scripts.").required().length(1, 64).example("users");
  s.field("file", &FileSettings::file, "The database. It must exist; nothing makes it.")
      .required()
      .example("/var/lib/postern/users.db");
  s.field("read_only", &FileSettings::read_only, "Statements that would change it are refused.");
  s.field("timeout", &FileSettings::timeout, "The longest that one statement runs.").range(10ms, 10min);
  s.field("busy", &FileSettings::busy, "How long a statement waits for another program that writes.").range(0s, 1min);
  s.field("handles", &FileSettings::handles, "Statements that run at once, per worker; each takes a disk thread.")
      .range(1, 16);
  s.field("statements", &FileSettings::statements, "Prepared statements that are kept, per handle.").range(0, 1000);
  s.field("waiting", &FileSettings::waiting, "Questions that may wait for a handle, per worker; more are refused.")
      .range(1, 100'000);
}

void describe(Schema<SqliteSettings>& s) {
  s.table("", "SQLite databases.");
  s.table_field("sqlite", &SqliteSettings::files, "An SQLite database for scripts.", 0, 32);
}

}  // namespace postern::sqlite
