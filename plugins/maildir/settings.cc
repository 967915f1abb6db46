#include "settings.h"

namespace postern::maildir {

void describe(Schema<MaildirSettings>& s) {
  s.table("maildir", "Mailboxes as Maildir++ folders: root/domain/user/{cur,new,tmp}.");
  s.applies(Apply::kRestart);
  s.field("root", &MaildirSettings::root, "Folder of all mailboxes. Unset: \"mail\" in the server's state folder.")
      .example("/var/mail/postern");
  s.field("sync", &MaildirSettings::sync,
          "How deliveries become durable. filesystem: one syncfs for all that arrive together, much the fastest. file: "
          "each "
          "file and folder by itself, when others write a lot to the same file system.")
      .names({{"filesystem", SyncMode::kFileSystem}, {"file", SyncMode::kFile}});
}

}  // namespace postern::maildir
