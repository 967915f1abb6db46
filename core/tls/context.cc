// Server and client contexts: certificates, SNI, protocol versions, ALPN.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <ctime>
#include <map>

#include "core/tls/filter.h"
#include "postern/tls.h"

namespace postern {

TlsContext::~TlsContext() = default;
TlsService::~TlsService() = default;

namespace {

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, ContextDeleter>;

// Forward secrecy and AEAD only; TLS 1.3's suites are good as OpenSSL has them.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-"
    "SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// The names a certificate is good for: its subjectAltName DNS entries.
std::vector<std::string> names_in(X509* certificate) {
  std::vector<std::string> names;
  auto* entries = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; entries && i < sk_GENERAL_NAME_num(entries); ++i) {
    const GENERAL_NAME* entry = sk_GENERAL_NAME_value(entries, i);
    if (entry->type != GEN_DNS) continue;
    const auto* text = ASN1_STRING_get0_data(entry->d.dNSName);
    names.push_back(
        lower({reinterpret_cast<const char*>(text), static_cast<std::size_t>(ASN1_STRING_length(entry->d.dNSName))}));
  }
  GENERAL_NAMES_free(entries);
  return names;
}

Result<void> set_common(SSL_CTX* context, const std::string& min_version) {
  const int version = min_version == "TLSv1.3" ? TLS1_3_VERSION : min_version == "TLSv1.2" ? TLS1_2_VERSION : 0;
  if (!version) return fault("tls.version", "minimum version " + min_version + " is neither TLSv1.2 nor TLSv1.3");
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_read_ahead(context, 0);
  return {};
}

class ServerContext final : public TlsContext, public std::enable_shared_from_this<ServerContext> {
 public:
  Result<void> load(const TlsServerOptions& options);
  std::unique_ptr<StreamFilter> make_filter() override;
  std::unique_ptr<StreamFilter> make_client_filter(std::string_view) override { return nullptr; }
  std::vector<std::string> names() const override;

 private:
  Result<ContextPtr> make(const TlsServerOptions& options, const TlsCertificate& certificate);
  SSL_CTX* find(std::string_view name) const;
  static int choose_certificate(SSL* ssl, int*, void* self);
  static int choose_alpn(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in,
                         unsigned in_length, void* self);

  std::vector<ContextPtr> contexts_;
  std::map<std::string, SSL_CTX*, std::less<>> by_name_;
  std::string alpn_;  // length-prefixed
};

Result<void> ServerContext::load(const TlsServerOptions& options) {
  if (options.certificates.empty()) return fault("tls.no_certificate", "no certificate is named");
  for (const std::string& protocol : options.alpn) {
    alpn_ += static_cast<char>(protocol.size());
    alpn_ += protocol;
  }
  for (const TlsCertificate& certificate : options.certificates) {
    auto made = make(options, certificate);
    if (!made) return std::unexpected(made.error());
    auto names = certificate.names.empty() ? names_in(SSL_CTX_get0_certificate(made->get())) : certificate.names;
    for (const std::string& name : names) by_name_.try_emplace(lower(name), made->get());
    contexts_.push_back(std::move(*made));
  }
  return {};
}

Result<ContextPtr> ServerContext::make(const TlsServerOptions& options, const TlsCertificate& certificate) {
  ERR_clear_error();
  ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (auto common = set_common(context.get(), options.min_version); !common) return std::unexpected(common.error());
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (SSL_CTX_set_cipher_list(context.get(), options.ciphers.empty() ? kCiphers : options.ciphers.c_str()) != 1)
    return fault("tls.ciphers", "no cipher of \"" + options.ciphers + "\" is known: " + openssl_errors());
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.certificate_file.c_str()) != 1)
    return fault("tls.certificate", certificate.certificate_file + ": " + openssl_errors());
  if (SSL_CTX_use_PrivateKey_file(context.get(), certificate.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return fault("tls.key", certificate.key_file + ": " + openssl_errors());
  if (SSL_CTX_check_private_key(context.get()) != 1)
    return fault("tls.key",
                 certificate.key_file + " does not fit " + certificate.certificate_file + ": " + openssl_errors());
  if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context.get()))) < 0)
    return fault("tls.expired", certificate.certificate_file + " has expired");
  if (!options.client_ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), options.client_ca_file.c_str(), nullptr) != 1)
      return fault("tls.client_ca", options.client_ca_file + ": " + openssl_errors());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  SSL_CTX_set_tlsext_servername_callback(context.get(), &ServerContext::choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(context.get(), this);
  if (!alpn_.empty()) SSL_CTX_set_alpn_select_cb(context.get(), &ServerContext::choose_alpn, this);
  return context;
}

SSL_CTX* ServerContext::find(std::string_view name) const {
  const std::string wanted = lower(name);
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

std::unique_ptr<StreamFilter> ServerContext::make_filter() {
  SslPtr ssl(SSL_new(contexts_.front().get()));
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsFilter>(std::move(ssl), shared_from_this());
}

std::vector<std::string> ServerContext::names() const {
  std::vector<std::string> names;
  for (const auto& [name, context] : by_name_) names.push_back(name);
  return names;
}

class ClientContext final : public TlsContext, public std::enable_shared_from_this<ClientContext> {
 public:
  Result<void> load(const TlsClientOptions& options) {
    ERR_clear_error();
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (auto common = set_common(context_.get(), options.min_version); !common) return common;
    verify_ = options.verify;
    const bool loaded = options.ca_file.empty()
                            ? SSL_CTX_set_default_verify_paths(context_.get()) == 1
                            : SSL_CTX_load_verify_locations(context_.get(), options.ca_file.c_str(), nullptr) == 1;
    if (!loaded) return fault("tls.ca", options.ca_file + ": " + openssl_errors());
    SSL_CTX_set_verify(context_.get(), verify_ ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    std::string alpn;
    for (const std::string& protocol : options.alpn) alpn += static_cast<char>(protocol.size()) + protocol;
    if (!alpn.empty())
      SSL_CTX_set_alpn_protos(context_.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                              static_cast<unsigned>(alpn.size()));
    return {};
  }
  std::unique_ptr<StreamFilter> make_filter() override { return nullptr; }
  std::unique_ptr<StreamFilter> make_client_filter(std::string_view name) override {
    SslPtr ssl(SSL_new(context_.get()));
    const std::string host(name);
    SSL_set_tlsext_host_name(ssl.get(), host.c_str());
    if (verify_) SSL_set1_host(ssl.get(), host.c_str());
    SSL_set_connect_state(ssl.get());
    return std::make_unique<TlsFilter>(std::move(ssl), shared_from_this());
  }
  std::vector<std::string> names() const override { return {}; }

 private:
  ContextPtr context_;
  bool verify_ = true;
};

struct PkeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

bool add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (!extension) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

Result<std::shared_ptr<TlsContext>> make_server_tls(const TlsServerOptions& options) {
  auto context = std::make_shared<ServerContext>();
  if (auto loaded = context->load(options); !loaded) return std::unexpected(loaded.error());
  return context;
}

Result<std::shared_ptr<TlsContext>> make_client_tls(const TlsClientOptions& options) {
  auto context = std::make_shared<ClientContext>();
  if (auto loaded = context->load(options); !loaded) return std::unexpected(loaded.error());
  return context;
}

Result<SelfSigned> make_self_signed(const std::vector<std::string>& names, int days) {
  ERR_clear_error();
  std::unique_ptr<EVP_PKEY, PkeyDeleter> key(EVP_EC_gen("P-256"));
  std::unique_ptr<X509, X509Deleter> certificate(X509_new());
  if (!key || !certificate || names.empty()) return fault("tls.self_signed", openssl_errors());
  std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_new(), &BN_free);
  BN_rand(number.get(), 120, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get()));
  X509_set_version(certificate.get(), 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -300);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400L * days);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(names[0].c_str()), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  std::string alternatives;
  for (const std::string& name : names) {
    const bool is_ip = IpAddress::parse(name).has_value();
    alternatives += (alternatives.empty() ? "" : ",") + std::string(is_ip ? "IP:" : "DNS:") + name;
  }
  if (!add_extension(certificate.get(), NID_subject_alt_name, alternatives) ||
      !add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE") ||
      X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    return fault("tls.self_signed", openssl_errors());
  std::unique_ptr<BIO, BioDeleter> certificate_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fault("tls.self_signed", openssl_errors());
  return SelfSigned{contents(certificate_text.get()), contents(key_text.get())};
}

}  // namespace postern
