// Service "tls": builds the server's TLS context from [tls] and replaces it whole on reload.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "core/loader/settings.h"
#include "postern/tls.h"

namespace postern {

class TlsKeeper final : public TlsService {
 public:
  ~TlsKeeper() override;
  /// Reads certificate and key; on a fault what was there stays. Without a certificate there is no TLS.
  Result<void> load(const TlsSettings& settings);
  void restore(std::shared_ptr<TlsContext> context) { current_.store(std::move(context)); }
  std::shared_ptr<TlsContext> server(std::string_view name = {}) override;

 private:
  std::atomic<std::shared_ptr<TlsContext>> current_;
};

}  // namespace postern
