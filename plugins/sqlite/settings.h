// The settings of an administrator: [[sqlite]].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "postern/config.h"

namespace postern::sqlite {

struct FileSettings : Located {
  std::string name;
  std::filesystem::path file;
  bool read_only = true;
  Duration timeout = 5s;
  Duration busy = 2s;
  unsigned handles = 1;
  unsigned statements = 32;
  unsigned waiting = 1000;
};
void describe(Schema<FileSettings>& s);

struct SqliteSettings : Located {
  std::vector<FileSettings> files;
};
void describe(Schema<SqliteSettings>& s);

}  // namespace postern::sqlite
