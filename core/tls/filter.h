// A StreamFilter on OpenSSL with a BIO of our own: cipher octets are read from the span that the socket just filled and
// written to the Stream's queue, so that an idle session keeps no buffer (SSL_MODE_RELEASE_BUFFERS gives OpenSSL's
// back).
//
// Thread: the worker that owns the stream; it may move to another one with its stream.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "postern/stream.h"
#include "postern/tls.h"

namespace postern {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;

class SessionCache;

class TlsFilter final : public StreamFilter {
 public:
  /// `keep` holds what the SSL object's callbacks refer to (its context).
  TlsFilter(SslPtr ssl, std::shared_ptr<void> keep);
  ~TlsFilter() override;
  /// Before begin(): what `peer` says of sessions and proofs; `alpn`: what was offered.
  void be_client(const TlsPeer& peer, std::vector<std::string> alpn);
  /// OpenSSL has a session to come back with; true when it was taken over.
  bool keep_session(SSL_SESSION* session);

  State received(std::span<const char> octets, std::string& plain, std::string& wire) override;
  State send(std::string_view plain, std::string& wire) override;
  State begin(std::string& wire) override;
  void close(std::string& wire) override;
  bool established() const override { return established_; }
  TlsInfo info() const override;
  std::string error() const override { return error_; }
  TlsFailure failure() const override;

 private:
  friend struct FilterBio;
  State failed(int result);
  State shake();
  State after_handshake();
  void add_peer(TlsInfo& info) const;

  /// What only a client needs.
  struct Client {
    TlsPeer::Check check;
    bool names = false;  // some were given
    std::vector<std::string> alpn;
    std::shared_ptr<SessionCache> sessions;
    std::string session_key;
  };

  std::shared_ptr<void> keep_;
  std::unique_ptr<Client> client_;
  SslPtr ssl_;
  std::string_view input_;         // cipher octets not yet read by OpenSSL; only during a call
  std::string* output_ = nullptr;  // where cipher octets go; only during a call
  std::string error_;
  bool established_ = false;
  bool closed_ = false;
};

/// What OpenSSL's error queue says, oldest first, in one line; empties it.
std::string openssl_errors();

}  // namespace postern
