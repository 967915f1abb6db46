// The settings of an administrator: [maildir].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <filesystem>

#include "batch.h"
#include "postern/config.h"

namespace postern::maildir {

struct MaildirSettings : Located {
  std::filesystem::path root;  ///< empty: <state>/mail
  SyncMode sync = SyncMode::kFileSystem;
};
void describe(Schema<MaildirSettings>& s);

}  // namespace postern::maildir
