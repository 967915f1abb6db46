// What server and client contexts share: the pointer, the policy, names in lower case.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "postern/error.h"

namespace postern {

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContextPtr = std::unique_ptr<SSL_CTX, SslContextDeleter>;

/// Protocol versions, memory, and what is never done: renegotiation, compression.
Result<void> set_common(SSL_CTX* context, const std::string& min_version);

/// ALPN protocols as the wire has them: each behind its length. A fault for a name that is empty or over 255 octets.
Result<std::string> alpn_list(const std::vector<std::string>& protocols);

}  // namespace postern
