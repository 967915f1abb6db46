#include "core/tls/context.h"

#include "postern/stream.h"
#include "postern/tls.h"

namespace postern {

TlsContext::~TlsContext() = default;
TlsService::~TlsService() = default;

std::unique_ptr<StreamFilter> TlsContext::make_client_filter(const TlsPeer&) {
  return nullptr;
}

std::shared_ptr<TlsContext> TlsContext::with_default(std::string_view) {
  return nullptr;
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

Result<std::string> alpn_list(const std::vector<std::string>& protocols) {
  std::string list;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) return fault("tls.alpn", "\"" + protocol + "\" is no protocol name");
    list += static_cast<char>(protocol.size());
    list += protocol;
  }
  return list;
}

}  // namespace postern
