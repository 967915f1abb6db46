// TLS: certificates and policies, loaded once and replaced whole on reload.
//
// A TlsContext is immutable once built; sessions hold the shared_ptr that was current when they began. SNI chooses
// among the certificates of one context.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"

namespace postern {

class StreamFilter;

/// One certificate chain and its key, in PEM files.
struct TlsCertificate {
  std::string certificate_file;
  std::string key_file;
  std::vector<std::string> names;  ///< SNI names it is for; empty: those in the certificate
};

struct TlsServerOptions {
  std::vector<TlsCertificate> certificates;  ///< the first is the default
  std::string min_version = "TLSv1.2";       ///< or TLSv1.3
  std::string ciphers;                       ///< OpenSSL list for TLS 1.2; empty: ours
  std::vector<std::string> alpn;  ///< protocols in order of preference; a client that offers only others is refused
  std::string client_ca_file;     ///< ask for client certificates and verify against these
};

struct TlsClientOptions {
  bool verify = true;
  std::string ca_file;  ///< empty: the system's
  std::string min_version = "TLSv1.2";
  std::vector<std::string> alpn;
};

class TlsContext {
 public:
  virtual ~TlsContext();
  virtual std::unique_ptr<StreamFilter> make_filter() = 0;  ///< server side
  /// Client side, for `name`.
  virtual std::unique_ptr<StreamFilter> make_client_filter(std::string_view name) = 0;
  /// Names in all certificates, for `postern check`.
  virtual std::vector<std::string> names() const = 0;
};

/// Service "tls": the contexts that TOML names; what it returns is current and stays valid after a reload.
class TlsService {
 public:
  static constexpr std::string_view kService = "tls";
  virtual ~TlsService();
  /// The context of that name, or the default one; nothing when no certificate is configured.
  virtual std::shared_ptr<TlsContext> server(std::string_view name = {}) = 0;
};

/// Errors name the file and what OpenSSL said of it (missing, not PEM, key does not fit the certificate, expired).
Result<std::shared_ptr<TlsContext>> make_server_tls(const TlsServerOptions& options);
Result<std::shared_ptr<TlsContext>> make_client_tls(const TlsClientOptions& options);

/// A self-signed certificate and its ECDSA P-256 key as PEM texts, for quickstart and tests.
struct SelfSigned {
  std::string certificate;
  std::string key;
};
Result<SelfSigned> make_self_signed(const std::vector<std::string>& names, int days);

}  // namespace postern
