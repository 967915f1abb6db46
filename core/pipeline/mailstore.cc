// Key functions of the mail store's interfaces, so that their type names live in libpostern.
#include "postern/mailstore.h"

namespace postern {

MailStore::~MailStore() = default;
Mailbox::~Mailbox() = default;
MessageBody::~MessageBody() = default;

}  // namespace postern
