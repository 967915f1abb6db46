// Key functions of what is thrown across shared objects: with them here, each type has one vtable and one type_info in
// libpostern, and a catch in a module matches a throw in the core.
#include "postern/error.h"

namespace postern {

Error::~Error() = default;
Closed::~Closed() = default;
TimedOut::~TimedOut() = default;
Cancelled::~Cancelled() = default;
LineTooLong::~LineTooLong() = default;
Overloaded::~Overloaded() = default;
ProtocolError::~ProtocolError() = default;

}  // namespace postern
