// A certificate authority of a test's own: chains with the names and dates that the test wants. No part of the server.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "postern/tls.h"

namespace postern::test {

struct Freer {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer>;
using CertPtr = std::unique_ptr<X509, Freer>;

struct Dates {
  long from_days = -1;
  long to_days = 30;
};

/// A certificate with its key, in memory.
struct Issued {
  CertPtr certificate;
  KeyPtr key;

  std::string pem() const {
    const std::unique_ptr<BIO, Freer> bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate.get());
    return text(bio.get());
  }
  std::string key_pem() const {
    const std::unique_ptr<BIO, Freer> bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return text(bio.get());
  }
  /// The whole certificate, or its public key (selector 1), as a TLSA record holds it: itself or its SHA-256.
  TlsAssociation tlsa(std::uint8_t usage, std::uint8_t selector, std::uint8_t matching) const {
    unsigned char* der = nullptr;
    const int size = selector == 0 ? i2d_X509(certificate.get(), &der)
                                   : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
    std::string octets(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    if (matching != 0) {
      unsigned char digest[EVP_MAX_MD_SIZE];
      unsigned length = 0;
      EVP_Digest(octets.data(), octets.size(), digest, &length, matching == 1 ? EVP_sha256() : EVP_sha512(), nullptr);
      octets.assign(reinterpret_cast<char*>(digest), length);
    }
    return {usage, selector, matching, octets};
  }

 private:
  static std::string text(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<std::size_t>(size)};
  }
};

class TestCa {
 public:
  TestCa() : root_(make("Test CA", {}, {}, nullptr)) {}
  const Issued& root() const { return root_; }
  /// `common_name` stands in the subject, `names` in the subjectAltName.
  Issued issue(const std::string& common_name, const std::vector<std::string>& names, Dates dates = {}) const {
    return make(common_name, names, dates, &root_);
  }

 private:
  static void extend(X509* certificate, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static Issued make(const std::string& common_name, const std::vector<std::string>& names, Dates dates,
                     const Issued* issuer) {
    Issued made{CertPtr(X509_new()), KeyPtr(EVP_EC_gen("P-256"))};
    X509* certificate = made.certificate.get();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), issuer ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 86'400 * dates.from_days);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400 * dates.to_days);
    X509_set_pubkey(certificate, made.key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer->certificate.get() : certificate));
    std::string alternatives;
    for (const std::string& name : names) alternatives += (alternatives.empty() ? "DNS:" : ",DNS:") + name;
    if (!alternatives.empty()) extend(certificate, NID_subject_alt_name, alternatives);
    extend(certificate, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    X509_sign(certificate, issuer ? issuer->key.get() : made.key.get(), EVP_sha256());
    return made;
  }
  Issued root_;
};

}  // namespace postern::test
