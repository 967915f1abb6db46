// The key functions of the mail store's interfaces, so that stores and protocols in different shared objects agree on
// them.
#include "postern/mailstore.h"

namespace postern {

MailStore::~MailStore() = default;
Mailbox::~Mailbox() = default;
MessageBody::~MessageBody() = default;

}  // namespace postern
