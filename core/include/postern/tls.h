// TLS: certificates and policies, loaded once and replaced whole on reload; and, as a client, what a server must prove.
//
// A TlsContext is immutable once built; sessions hold the shared_ptr that was current when they began. SNI chooses
// among the certificates of one context.
//
// Thread: contexts are shared by all workers; a TlsSessions belongs to one.
// RFC:    6125 (names in certificates), 7672 (DANE for SMTP), 8461 §4.1 (MTA-STS), 8460 §4.3 (names of failures).
#pragma once

#include <cstddef>
#include <cstdint>
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
  bool verify = true;   ///< what make_client_filter(name) does; a TlsPeer says for itself
  std::string ca_file;  ///< empty: the system's
  std::string min_version = "TLSv1.2";
  std::vector<std::string> alpn;  ///< offered; a server that chooses another one is refused
};

/// A TLSA record as the DNS has it (RFC 6698 §2.1).
struct TlsAssociation {
  std::uint8_t usage = 0;
  std::uint8_t selector = 0;
  std::uint8_t matching = 0;
  std::string data;  ///< octets
  bool operator==(const TlsAssociation&) const = default;
};

/// What servers gave a client to come back with cheaply (tickets), by destination and by what it had to prove there.
///
/// Limits: `max_entries`, the longest unused goes first. Thread: one worker.
class TlsSessions {
 public:
  virtual ~TlsSessions();
  virtual std::size_t size() const = 0;
};
std::shared_ptr<TlsSessions> make_tls_sessions(std::size_t max_entries);

/// What a client demands of the server that it meets.
struct TlsPeer {
  enum class Check : std::uint8_t {
    kRecord,  ///< takes any certificate; TlsInfo says whether `names` would have passed, and if not, why
    kNames,   ///< one of `names` stands in the certificate (DNS-ID, whole-label wildcard), which a known CA vouches for
    kDane,    ///< one of `tlsa` matches. 3 (DANE-EE) ignores names and dates, 2 (DANE-TA) wants one of `names`
  };
  Check check = Check::kRecord;
  std::string sni;                        ///< a host name; empty or an address: none is sent
  std::vector<std::string> names;         ///< reference identifiers, in ASCII (RFC 6125 §6.2)
  std::vector<TlsAssociation> tlsa;       ///< usages 2 and 3 only; the others are left out (RFC 7672 §3.1.3)
  std::shared_ptr<TlsSessions> sessions;  ///< null: every handshake is a whole one
  std::string destination;                ///< key into `sessions`: host and port
};

/// Can OpenSSL use this record at all (known selector and matching type, right length, usage 2 or 3)?
bool usable(const TlsAssociation& record);

class TlsContext {
 public:
  virtual ~TlsContext();
  virtual std::unique_ptr<StreamFilter> make_filter() = 0;  ///< server side
  /// Client side, for `name`.
  virtual std::unique_ptr<StreamFilter> make_client_filter(std::string_view name) = 0;
  /// Client side, with demands. Null when this is no client context, or when none of a kDane peer's records is usable.
  virtual std::unique_ptr<StreamFilter> make_client_filter(const TlsPeer& peer);
  /// Server side: the same certificates with that name's as the default, for a client that sends no name or an unknown
  /// one. Null when no certificate has the name.
  virtual std::shared_ptr<TlsContext> with_default(std::string_view name);
  /// Names in all certificates, for `postern check`.
  virtual std::vector<std::string> names() const = 0;
};

/// Service "tls": the contexts that TOML names; what it returns is current and stays valid after a reload.
class TlsService {
 public:
  static constexpr std::string_view kService = "tls";
  virtual ~TlsService();
  /// The context whose default certificate has that name (any name that it is for), or with an empty name the one of
  /// [tls] certificate. SNI chooses among all certificates in either. Nothing when there is no such certificate.
  virtual std::shared_ptr<TlsContext> server(std::string_view name = {}) = 0;
};

/// Files are looked at before they are read: regular, at most 4 MiB; a pipe or device is a fault, never a wait.
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
