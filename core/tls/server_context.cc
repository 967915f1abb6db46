// Server contexts: certificates chosen by SNI, ALPN, and which certificate is the default.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <map>

#include "core/tls/context.h"
#include "core/tls/filter.h"
#include "core/tls/pem_file.h"
#include "postern/text.h"
#include "postern/tls.h"

namespace postern {

namespace {

// Forward secrecy and AEAD only; TLS 1.3's suites are good as OpenSSL has them.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-"
    "SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/// The names a certificate is good for: its subjectAltName DNS entries.
std::vector<std::string> names_in(X509* certificate) {
  std::vector<std::string> names;
  auto* entries = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; entries && i < sk_GENERAL_NAME_num(entries); ++i) {
    const GENERAL_NAME* entry = sk_GENERAL_NAME_value(entries, i);
    if (entry->type != GEN_DNS) continue;
    const auto* text = ASN1_STRING_get0_data(entry->d.dNSName);
    names.push_back(to_lower(
        {reinterpret_cast<const char*>(text), static_cast<std::size_t>(ASN1_STRING_length(entry->d.dNSName))}));
  }
  GENERAL_NAMES_free(entries);
  return names;
}

class ServerContext final : public TlsContext, public std::enable_shared_from_this<ServerContext> {
 public:
  Result<void> load(const TlsServerOptions& options);
  std::unique_ptr<StreamFilter> make_filter() override;
  std::unique_ptr<StreamFilter> make_client_filter(std::string_view) override { return nullptr; }
  std::shared_ptr<TlsContext> with_default(std::string_view name) override;
  std::vector<std::string> names() const override;
  std::unique_ptr<StreamFilter> make_filter(SSL_CTX* first);

 private:
  Result<SslContextPtr> make(const TlsServerOptions& options, const TlsCertificate& certificate);
  SSL_CTX* find(std::string_view name) const;
  static int choose_certificate(SSL* ssl, int*, void* self);
  static int choose_alpn(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in,
                         unsigned in_length, void* self);

  std::vector<SslContextPtr> contexts_;
  std::map<std::string, SSL_CTX*, std::less<>> by_name_;
  std::string alpn_;  // length-prefixed
};

Result<void> ServerContext::load(const TlsServerOptions& options) {
  if (options.certificates.empty()) return fault("tls.no_certificate", "no certificate is named");
  auto alpn = alpn_list(options.alpn);
  if (!alpn) return std::unexpected(alpn.error());
  alpn_ = std::move(*alpn);
  for (const TlsCertificate& certificate : options.certificates) {
    auto made = make(options, certificate);
    if (!made) return std::unexpected(made.error());
    auto names = certificate.names.empty() ? names_in(SSL_CTX_get0_certificate(made->get())) : certificate.names;
    for (const std::string& name : names) by_name_.try_emplace(to_lower(name), made->get());
    contexts_.push_back(std::move(*made));
  }
  return {};
}

Result<SslContextPtr> ServerContext::make(const TlsServerOptions& options, const TlsCertificate& certificate) {
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (auto common = set_common(context.get(), options.min_version); !common) return std::unexpected(common.error());
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (SSL_CTX_set_cipher_list(context.get(), options.ciphers.empty() ? kCiphers : options.ciphers.c_str()) != 1)
    return fault("tls.ciphers", "no cipher of \"" + options.ciphers + "\" is known: " + openssl_errors());
  if (auto used = use_chain_file(context.get(), certificate.certificate_file); !used)
    return std::unexpected(used.error());
  if (auto used = use_key_file(context.get(), certificate.key_file); !used) return std::unexpected(used.error());
  if (SSL_CTX_check_private_key(context.get()) != 1)
    return fault("tls.key",
                 certificate.key_file + " does not fit " + certificate.certificate_file + ": " + openssl_errors());
  if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context.get()))) < 0)
    return fault("tls.expired", certificate.certificate_file + " has expired");
  if (!options.client_ca_file.empty()) {
    if (auto trusted = trust_file(context.get(), options.client_ca_file, "tls.client_ca"); !trusted)
      return std::unexpected(trusted.error());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  SSL_CTX_set_tlsext_servername_callback(context.get(), &ServerContext::choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(context.get(), this);
  if (!alpn_.empty()) SSL_CTX_set_alpn_select_cb(context.get(), &ServerContext::choose_alpn, this);
  return context;
}

SSL_CTX* ServerContext::find(std::string_view name) const {
  const std::string wanted = to_lower(name);
  if (auto it = by_name_.find(wanted); it != by_name_.end()) return it->second;
  const auto dot = wanted.find('.');
  if (dot == std::string::npos) return nullptr;
  auto it = by_name_.find("*" + wanted.substr(dot));
  return it == by_name_.end() ? nullptr : it->second;
}

int ServerContext::choose_certificate(SSL* ssl, int*, void* self) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!name) return SSL_TLSEXT_ERR_NOACK;
  // A name we do not have gets the default certificate: mail clients by the dozen send odd names and verify nothing.
  if (SSL_CTX* context = static_cast<ServerContext*>(self)->find(name)) SSL_set_SSL_CTX(ssl, context);
  return SSL_TLSEXT_ERR_OK;
}

int ServerContext::choose_alpn(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in,
                               unsigned in_length, void* self) {
  const std::string& ours = static_cast<ServerContext*>(self)->alpn_;
  auto* chosen = const_cast<unsigned char*>(*out);
  const int result = SSL_select_next_proto(&chosen, length, reinterpret_cast<const unsigned char*>(ours.data()),
                                           static_cast<unsigned>(ours.size()), in, in_length);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// A ServerContext seen with another default certificate; it owns nothing of its own.
class WithDefault final : public TlsContext {
 public:
  WithDefault(std::shared_ptr<ServerContext> all, SSL_CTX* first) : all_(std::move(all)), first_(first) {}
  std::unique_ptr<StreamFilter> make_filter() override { return all_->make_filter(first_); }
  std::unique_ptr<StreamFilter> make_client_filter(std::string_view) override { return nullptr; }
  std::shared_ptr<TlsContext> with_default(std::string_view name) override { return all_->with_default(name); }
  std::vector<std::string> names() const override { return all_->names(); }

 private:
  std::shared_ptr<ServerContext> all_;
  SSL_CTX* first_;
};

std::shared_ptr<TlsContext> ServerContext::with_default(std::string_view name) {
  SSL_CTX* found = find(name);
  return found ? std::make_shared<WithDefault>(shared_from_this(), found) : nullptr;
}

std::unique_ptr<StreamFilter> ServerContext::make_filter() {
  return make_filter(contexts_.front().get());
}

std::unique_ptr<StreamFilter> ServerContext::make_filter(SSL_CTX* first) {
  SslPtr ssl(SSL_new(first));
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsFilter>(std::move(ssl), shared_from_this());
}

std::vector<std::string> ServerContext::names() const {
  std::vector<std::string> names;
  for (const auto& [name, context] : by_name_) names.push_back(name);
  return names;
}

}  // namespace

Result<std::shared_ptr<TlsContext>> make_server_tls(const TlsServerOptions& options) {
  auto context = std::make_shared<ServerContext>();
  if (auto loaded = context->load(options); !loaded) return std::unexpected(loaded.error());
  return context;
}

}  // namespace postern
