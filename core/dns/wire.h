// The way out: one question to the servers, one answer back. CaresWire is the real one; tests put their own here.
#pragma once

#include <functional>
#include <string>

#include "postern/dns.h"

namespace postern::dns {

class Wire {
 public:
  virtual ~Wire();
  /// Asks the servers. `done` is called once: at once, later from the loop, or by this object's destructor.
  /// `name` is normalised.
  virtual void send(const std::string& name, RecordType type, std::function<void(DnsAnswer)> done) = 0;
};

}  // namespace postern::dns
