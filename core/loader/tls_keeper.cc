#include "core/loader/tls_keeper.h"

namespace postern {

TlsKeeper::~TlsKeeper() = default;

Result<void> TlsKeeper::load(const TlsSettings& settings) {
  if (settings.certificate.empty()) {
    current_.store(nullptr);
    return {};
  }
  TlsServerOptions options{.min_version = settings.min_version, .ciphers = settings.ciphers};
  options.certificates.push_back({settings.certificate, settings.key, {}});
  for (const TlsNamed& named : settings.named)
    options.certificates.push_back({named.certificate, named.key, named.names});
  auto made = make_server_tls(options);
  if (!made) return std::unexpected(made.error());
  current_.store(std::move(*made));
  return {};
}

std::shared_ptr<TlsContext> TlsKeeper::server(std::string_view name) {
  auto current = current_.load();
  return name.empty() || !current ? current : current->with_default(name);
}

}  // namespace postern
