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

namespace postern {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;

class TlsFilter final : public StreamFilter {
 public:
  /// `keep` holds what the SSL object's callbacks refer to (its context).
  TlsFilter(SslPtr ssl, std::shared_ptr<void> keep);
  ~TlsFilter() override;

  State received(std::span<const char> octets, std::string& plain, std::string& wire) override;
  State send(std::string_view plain, std::string& wire) override;
  State begin(std::string& wire) override;
  void close(std::string& wire) override;
  bool established() const override { return established_; }
  TlsInfo info() const override;
  std::string error() const override { return error_; }

 private:
  friend struct FilterBio;
  State failed(int result);
  State shake();

  std::shared_ptr<void> keep_;
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
