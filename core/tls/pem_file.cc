#include "core/tls/pem_file.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <memory>

#include "core/tls/filter.h"
#include "postern/file.h"

namespace postern {

namespace {

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, BioDeleter>;

struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using X509Ptr = std::unique_ptr<X509, X509Deleter>;

struct KeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

/// A secret text that leaves nothing behind.
struct Wiped {
  std::string text;
  ~Wiped() { OPENSSL_cleanse(text.data(), text.size()); }
};

BioPtr memory(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// OpenSSL would ask on the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

X509Ptr next_certificate(BIO* bio) {
  return X509Ptr(PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr));
}

/// True when reading ended because there was no more, not because of an error. Empties OpenSSL's queue when it did.
bool at_end_of_pem() {
  const unsigned long last = ERR_peek_last_error();
  if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE) return false;
  ERR_clear_error();
  return true;
}

}  // namespace

Result<std::string> read_pem_file(const std::string& path, const std::string& code) {
  auto text = read_regular_file(path, kMaxPemOctets);
  if (!text) return fault(code, path + ": " + text.error().detail);
  return text;
}

Result<void> use_chain_file(SSL_CTX* context, const std::string& path) {
  auto text = read_pem_file(path, "tls.certificate");
  if (!text) return std::unexpected(text.error());
  const BioPtr bio = memory(*text);
  const X509Ptr leaf(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_passphrase, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1)
    return fault("tls.certificate", path + ": " + openssl_errors());
  SSL_CTX_clear_chain_certs(context);
  while (X509Ptr next = next_certificate(bio.get())) {
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1)
      return fault("tls.certificate", path + ": " + openssl_errors());
    (void)next.release();  // the context's now
  }
  if (!at_end_of_pem()) return fault("tls.certificate", path + ": " + openssl_errors());
  return {};
}

Result<void> use_key_file(SSL_CTX* context, const std::string& path) {
  auto text = read_pem_file(path, "tls.key");
  if (!text) return std::unexpected(text.error());
  const Wiped secret{std::move(*text)};
  const BioPtr bio = memory(secret.text);
  const std::unique_ptr<EVP_PKEY, KeyDeleter> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) return fault("tls.key", path + ": " + openssl_errors());
  return {};
}

Result<void> trust_file(SSL_CTX* context, const std::string& path, const std::string& code) {
  auto text = read_pem_file(path, code);
  if (!text) return std::unexpected(text.error());
  const BioPtr bio = memory(*text);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  std::size_t added = 0;
  while (const X509Ptr next = next_certificate(bio.get())) {
    if (X509_STORE_add_cert(store, next.get()) != 1) return fault(code, path + ": " + openssl_errors());
    ++added;
  }
  if (!at_end_of_pem()) return fault(code, path + ": " + openssl_errors());
  if (!added) return fault(code, path + ": holds no certificate");
  return {};
}

}  // namespace postern
