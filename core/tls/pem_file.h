// PEM files: read whole and with care, then parsed from memory, so that a name in the configuration that leads to a
// pipe or a device is a fault and never a server that hangs (OpenSSL's own readers open and read whatever is there).
//
// Thread: any; it reads the disk, so only where settings are loaded.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <string>

#include "postern/error.h"

namespace postern {

constexpr std::size_t kMaxPemOctets = std::size_t{4} << 20;  // every CA of the Internet fits into a tenth of it

/// The octets of a regular file. Faults have the code `code`.
Result<std::string> read_pem_file(const std::string& path, const std::string& code);

/// Certificate and chain into a context.
Result<void> use_chain_file(SSL_CTX* context, const std::string& path);
/// The private key; a key under a passphrase is a fault, since nobody is there to be asked.
Result<void> use_key_file(SSL_CTX* context, const std::string& path);
/// Further CAs to trust.
Result<void> trust_file(SSL_CTX* context, const std::string& path, const std::string& code);

}  // namespace postern
