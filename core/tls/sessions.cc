#include "core/tls/sessions.h"

#include <openssl/evp.h>

namespace postern {

TlsSessions::~TlsSessions() = default;

std::shared_ptr<TlsSessions> make_tls_sessions(std::size_t max_entries) {
  return std::make_shared<SessionCache>(max_entries);
}

void SessionCache::put(const std::string& key, SslSessionPtr session) {
  if (!max_entries_ || SSL_SESSION_is_resumable(session.get()) != 1) return;
  forget(key);
  if (entries_.size() >= max_entries_) forget(std::string(entries_.back().key));
  entries_.push_front({key, std::move(session)});
  by_key_.emplace(key, entries_.begin());
}

SslSessionPtr SessionCache::take(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  const auto entry = found->second;
  if (SSL_SESSION_get_protocol_version(entry->session.get()) < TLS1_3_VERSION) {
    entries_.splice(entries_.begin(), entries_, entry);
    SSL_SESSION_up_ref(entry->session.get());
    return SslSessionPtr(entry->session.get());
  }
  SslSessionPtr session = std::move(entry->session);
  forget(key);
  return session;
}

void SessionCache::forget(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  const auto entry = found->second;
  by_key_.erase(found);
  entries_.erase(entry);
}

std::string SessionCache::key_of(const TlsPeer& peer) {
  std::string all(1, static_cast<char>(peer.check));
  const auto add = [&all](const std::string& part) {
    all += std::to_string(part.size()) + ':';
    all += part;
  };
  add(peer.destination);
  add(peer.sni);
  for (const std::string& name : peer.names) add(name);
  all += '|';
  for (const TlsAssociation& record : peer.tlsa) {
    all += {static_cast<char>(record.usage), static_cast<char>(record.selector), static_cast<char>(record.matching)};
    add(record.data);
  }
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  EVP_Digest(all.data(), all.size(), reinterpret_cast<unsigned char*>(digest.data()), &length, EVP_sha256(), nullptr);
  digest.resize(length);
  return digest;
}

}  // namespace postern
