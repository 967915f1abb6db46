// The tickets of one worker's client connections, by a key that covers destination and demands: a session that began
// under weaker demands is never resumed under stronger ones.
//
// Thread: one worker.
#pragma once

#include <openssl/ssl.h>

#include <list>
#include <map>
#include <memory>
#include <string>

#include "postern/tls.h"

namespace postern {

struct SslSessionDeleter {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslSessionPtr = std::unique_ptr<SSL_SESSION, SslSessionDeleter>;

class SessionCache final : public TlsSessions {
 public:
  explicit SessionCache(std::size_t max_entries) : max_entries_(max_entries) {}
  std::size_t size() const override { return by_key_.size(); }
  void put(const std::string& key, SslSessionPtr session);
  /// A session to try, or null. Those of TLS 1.3 serve once, so that a watcher cannot link two (RFC 8446 §C.4).
  SslSessionPtr take(const std::string& key);
  void forget(const std::string& key);

  /// 32 octets that stand for a destination and all that is demanded there.
  static std::string key_of(const TlsPeer& peer);

 private:
  struct Entry {
    std::string key;
    SslSessionPtr session;
  };
  std::size_t max_entries_;
  std::list<Entry> entries_;  // the latest used first
  std::map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace postern
