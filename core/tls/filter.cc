#include "core/tls/filter.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstring>

#include "core/tls/sessions.h"
#include "postern/text.h"

namespace postern {

std::string openssl_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    if (!text.empty()) text += "; ";
    const char* reason = ERR_reason_error_string(code);
    text += reason ? reason : "error " + std::to_string(code);
  }
  return text;
}

/// The BIO's side: OpenSSL calls these while it works for a TlsFilter.
struct FilterBio {
  static int read(BIO* bio, char* out, std::size_t room, std::size_t* done) {
    auto* filter = static_cast<TlsFilter*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (filter->input_.empty()) {
      BIO_set_retry_read(bio);
      *done = 0;
      return 0;
    }
    *done = std::min(room, filter->input_.size());
    std::memcpy(out, filter->input_.data(), *done);
    filter->input_.remove_prefix(*done);
    return 1;
  }
  static int write(BIO* bio, const char* octets, std::size_t size, std::size_t* done) {
    auto* filter = static_cast<TlsFilter*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (filter->output_) filter->output_->append(octets, size);
    *done = size;
    return 1;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  /// One method for the process; OpenSSL wants it at an address that stays.
  static const BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern stream");
      BIO_meth_set_read_ex(m, &FilterBio::read);
      BIO_meth_set_write_ex(m, &FilterBio::write);
      BIO_meth_set_ctrl(m, &FilterBio::control);
      return m;
    }();
    return made;
  }
};

TlsFilter::TlsFilter(SslPtr ssl, std::shared_ptr<void> keep) : keep_(std::move(keep)), ssl_(std::move(ssl)) {
  BIO* bio = BIO_new(FilterBio::method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

TlsFilter::~TlsFilter() {
  // OpenSSL takes a connection that ends without close_notify for an attack and spoils its session; but mail servers
  // end that way every day, and RFC 8446 §6.1 knows nothing of the rule.
  if (client_ && established_ && error_.empty())
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

StreamFilter::State TlsFilter::failed(int result) {
  const int why = SSL_get_error(ssl_.get(), result);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return State::kOk;
  if (why == SSL_ERROR_ZERO_RETURN) {
    closed_ = true;
    return State::kClosed;
  }
  error_ = openssl_errors();
  if (client_ && !established_ && client_->check != TlsPeer::Check::kRecord) {
    if (const long verified = SSL_get_verify_result(ssl_.get()); verified != X509_V_OK)
      error_ += std::string(": ") + X509_verify_cert_error_string(verified);
  }
  if (error_.empty()) error_ = "connection closed";
  return State::kFailed;
}

StreamFilter::State TlsFilter::shake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  return result == 1 ? after_handshake() : failed(result);
}

StreamFilter::State TlsFilter::after_handshake() {
  if (client_ && !client_->alpn.empty()) {
    const unsigned char* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &length);
    const std::string_view protocol(reinterpret_cast<const char*>(chosen), length);
    // RFC 7301 §3.1: one of ours or none. Another one means that we talk to another kind of server.
    if (chosen && std::ranges::find(client_->alpn, protocol) == client_->alpn.end()) {
      error_ = "the server chose a protocol that was not offered (ALPN)";
      return State::kFailed;
    }
  }
  established_ = true;
  return State::kOk;
}

void TlsFilter::be_client(const TlsPeer& peer, std::vector<std::string> alpn) {
  client_ = std::make_unique<Client>();
  client_->check = peer.check;
  client_->names = !peer.names.empty();
  client_->alpn = std::move(alpn);
  SSL_set_app_data(ssl_.get(), this);
  client_->sessions = std::dynamic_pointer_cast<SessionCache>(peer.sessions);
  if (!client_->sessions) return;
  client_->session_key = SessionCache::key_of(peer);
  if (const SslSessionPtr session = client_->sessions->take(client_->session_key))
    SSL_set_session(ssl_.get(), session.get());
}

bool TlsFilter::keep_session(SSL_SESSION* session) {
  if (!client_ || !client_->sessions) return false;
  client_->sessions->put(client_->session_key, SslSessionPtr(session));
  return true;
}

namespace {

TlsFailure kind_of(long verify_result) {
  switch (verify_result) {
    case X509_V_OK:
      return TlsFailure::kNone;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return TlsFailure::kHostMismatch;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TlsFailure::kExpired;
    case X509_V_ERR_DANE_NO_MATCH:
      return TlsFailure::kNoTlsa;
    default:
      return TlsFailure::kNotTrusted;
  }
}

std::string fingerprint_of(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &length) != 1) return {};
  return hex_encode({reinterpret_cast<const char*>(digest), length});
}

}  // namespace

TlsFailure TlsFilter::failure() const {
  if (established_ && error_.empty()) return TlsFailure::kNone;
  const TlsFailure kind = kind_of(SSL_get_verify_result(ssl_.get()));
  // An opportunistic client's handshake fails for other reasons than the certificate.
  const bool verifies = client_ && client_->check != TlsPeer::Check::kRecord;
  return verifies && kind != TlsFailure::kNone ? kind : TlsFailure::kHandshake;
}

void TlsFilter::add_peer(TlsInfo& info) const {
  X509* peer = SSL_get0_peer_certificate(ssl_.get());
  if (!peer) return;
  info.fingerprint = fingerprint_of(peer);
  const long result = SSL_get_verify_result(ssl_.get());
  if (result == X509_V_OK) {
    char name[256] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof name);
    info.peer_subject = name;
  }
  if (!client_) return;
  // A resumed session keeps the result of the handshake that began it; its key in the cache holds the same demands.
  info.resumed = SSL_session_reused(ssl_.get()) == 1;
  info.problem = kind_of(result);
  if (result != X509_V_OK) {
    info.problem_text = X509_verify_cert_error_string(result);
  } else if (client_->check == TlsPeer::Check::kDane) {
    info.verified = TlsVerified::kDane;
  } else if (client_->names) {
    info.verified = TlsVerified::kNames;
  }
}

StreamFilter::State TlsFilter::begin(std::string& wire) {
  if (SSL_is_server(ssl_.get())) return State::kOk;
  output_ = &wire;
  const State state = shake();
  output_ = nullptr;
  return state;
}

StreamFilter::State TlsFilter::received(std::span<const char> octets, std::string& plain, std::string& wire) {
  input_ = {octets.data(), octets.size()};
  output_ = &wire;
  State state = established_ ? State::kOk : shake();
  // One record's worth at a time; what OpenSSL has read of the wire it must give before the span is gone.
  char room[16 * 1024];
  while (state == State::kOk && established_) {
    ERR_clear_error();
    std::size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), room, sizeof room, &got);
    if (result == 1) {
      plain.append(room, got);
      continue;
    }
    state = failed(result);
    if (input_.empty() || state != State::kOk) break;
  }
  input_ = {};
  output_ = nullptr;
  return state;
}

StreamFilter::State TlsFilter::send(std::string_view plain, std::string& wire) {
  if (plain.empty()) return State::kOk;
  output_ = &wire;
  ERR_clear_error();
  std::size_t done = 0;
  const int result = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &done);
  output_ = nullptr;
  return result == 1 ? State::kOk : (failed(result), State::kFailed);
}

void TlsFilter::close(std::string& wire) {
  if (!established_ || !error_.empty()) return;
  output_ = &wire;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
  output_ = nullptr;
}

TlsInfo TlsFilter::info() const {
  TlsInfo info;
  if (!established_) return info;
  info.version = SSL_get_version(ssl_.get());
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_.get())) {
    info.cipher = SSL_CIPHER_get_name(cipher);
    info.bits = SSL_CIPHER_get_bits(cipher, nullptr);
  }
  if (const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) info.sni = name;
  const unsigned char* alpn = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &length);
  if (alpn) info.alpn.assign(reinterpret_cast<const char*>(alpn), length);
  add_peer(info);
  return info;
}

}  // namespace postern
