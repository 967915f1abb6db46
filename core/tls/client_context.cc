// Client contexts: what a server must prove, SNI, ALPN, resumption.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "core/tls/context.h"
#include "core/tls/filter.h"
#include "core/tls/pem_file.h"
#include "core/tls/sessions.h"
#include "postern/text.h"
#include "postern/tls.h"

namespace postern {

namespace {

constexpr std::uint8_t kDaneTa = 2;
constexpr std::uint8_t kDaneEe = 3;
constexpr std::size_t kSha256Octets = 32;
constexpr std::size_t kSha512Octets = 64;

/// A name without the dot that ends it in the DNS.
std::string host_of(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return to_lower(name);
}

class ClientContext final : public TlsContext, public std::enable_shared_from_this<ClientContext> {
 public:
  Result<void> load(const TlsClientOptions& options);
  std::unique_ptr<StreamFilter> make_filter() override { return nullptr; }
  std::unique_ptr<StreamFilter> make_client_filter(std::string_view name) override {
    return make_client_filter(TlsPeer{.check = verify_ ? TlsPeer::Check::kNames : TlsPeer::Check::kRecord,
                                      .sni = std::string(name),
                                      .names = {std::string(name)},
                                      .tlsa = {},
                                      .sessions = {},
                                      .destination = {}});
  }
  std::unique_ptr<StreamFilter> make_client_filter(const TlsPeer& peer) override;
  std::vector<std::string> names() const override { return {}; }

 private:
  static bool demand_dane(SSL* ssl, const TlsPeer& peer);
  static void demand_names(SSL* ssl, const TlsPeer& peer);
  static int keep_session(SSL* ssl, SSL_SESSION* session);

  SslContextPtr context_;
  std::vector<std::string> alpn_;
  bool verify_ = true;
};

Result<void> ClientContext::load(const TlsClientOptions& options) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (auto common = set_common(context_.get(), options.min_version); !common) return common;
  verify_ = options.verify;
  if (options.ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(context_.get()) != 1)
      return fault("tls.ca", "the system's CAs: " + openssl_errors());
  } else if (auto trusted = trust_file(context_.get(), options.ca_file, "tls.ca"); !trusted) {
    return trusted;
  }
  auto alpn = alpn_list(options.alpn);
  if (!alpn) return std::unexpected(alpn.error());
  alpn_ = options.alpn;
  if (!alpn->empty())
    SSL_CTX_set_alpn_protos(context_.get(), reinterpret_cast<const unsigned char*>(alpn->data()),
                            static_cast<unsigned>(alpn->size()));
  if (SSL_CTX_dane_enable(context_.get()) != 1) return fault("tls.dane", openssl_errors());
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_.get(), &ClientContext::keep_session);
  return {};
}

int ClientContext::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* filter = static_cast<TlsFilter*>(SSL_get_app_data(ssl));
  return filter && filter->keep_session(session) ? 1 : 0;
}

/// Several names, any of which will do.
void ClientContext::demand_names(SSL* ssl, const TlsPeer& peer) {
  bool first = true;
  for (const std::string& name : peer.names) {
    const std::string host = host_of(name);
    if (host.empty()) continue;
    if (first) {
      SSL_set1_host(ssl, host.c_str());
    } else {
      SSL_add1_host(ssl, host.c_str());
    }
    first = false;
  }
}

bool ClientContext::demand_dane(SSL* ssl, const TlsPeer& peer) {
  const std::string base = host_of(peer.names.empty() ? peer.sni : peer.names.front());
  if (SSL_dane_enable(ssl, base.c_str()) != 1) return false;
  SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);  // RFC 7672 §3.1.1
  for (std::size_t i = 1; i < peer.names.size(); ++i) SSL_add1_host(ssl, host_of(peer.names[i]).c_str());
  bool any = false;
  for (const TlsAssociation& record : peer.tlsa) {
    if (!usable(record)) continue;
    any |= SSL_dane_tlsa_add(ssl, record.usage, record.selector, record.matching,
                             reinterpret_cast<const unsigned char*>(record.data.data()), record.data.size()) > 0;
  }
  ERR_clear_error();  // what it says of a record that it did not take
  return any;
}

std::unique_ptr<StreamFilter> ClientContext::make_client_filter(const TlsPeer& peer) {
  SslPtr ssl(SSL_new(context_.get()));
  const std::string sni = host_of(peer.sni);
  if (peer.check == TlsPeer::Check::kDane) {
    if (!demand_dane(ssl.get(), peer)) return nullptr;
  } else {
    demand_names(ssl.get(), peer);
    // RFC 6125 §6.4.4 and RFC 8461 §4.1: names are those of the subjectAltName, a wildcard is a whole first label.
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  }
  // Any certificate of the wrong name is better than none: who demands names and gives none gets no connection.
  const bool nameless = peer.check == TlsPeer::Check::kNames && std::ranges::all_of(peer.names, &std::string::empty);
  if (nameless) return nullptr;
  // Old keys and hashes are still better than the plaintext that an opportunistic sender would fall back to.
  if (peer.check == TlsPeer::Check::kRecord) SSL_set_security_level(ssl.get(), 0);
  SSL_set_verify(ssl.get(), peer.check == TlsPeer::Check::kRecord ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (!sni.empty() && !IpAddress::parse(sni)) SSL_set_tlsext_host_name(ssl.get(), sni.c_str());
  SSL_set_connect_state(ssl.get());
  auto filter = std::make_unique<TlsFilter>(std::move(ssl), shared_from_this());
  filter->be_client(peer, alpn_);
  return filter;
}

}  // namespace

bool usable(const TlsAssociation& record) {
  if ((record.usage != kDaneTa && record.usage != kDaneEe) || record.selector > 1) return false;
  switch (record.matching) {
    case 0:
      return !record.data.empty();
    case 1:
      return record.data.size() == kSha256Octets;
    case 2:
      return record.data.size() == kSha512Octets;
    default:
      return false;
  }
}

Result<std::shared_ptr<TlsContext>> make_client_tls(const TlsClientOptions& options) {
  auto context = std::make_shared<ClientContext>();
  if (auto loaded = context->load(options); !loaded) return std::unexpected(loaded.error());
  return context;
}

}  // namespace postern
