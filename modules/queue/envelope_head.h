// An envelope without its recipients: what a copy for some of them begins with. One for thousands would cost more than
// all that is done with it.
#pragma once

#include "postern/envelope.h"

namespace postern::queue {

inline Envelope envelope_head(const Envelope& from) {
  Envelope out;
  out.sender = from.sender;
  out.ret = from.ret;
  out.body = from.body;
  out.smtputf8 = from.smtputf8;
  out.require_tls = from.require_tls;
  out.envid = from.envid;
  out.size = from.size;
  out.priority = from.priority;
  out.deliver_by = from.deliver_by;
  out.hold_until = from.hold_until;
  return out;
}

}  // namespace postern::queue
