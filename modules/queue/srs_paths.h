// The service "return-paths" by SRS, and the transport that sends with what it made.
//
// Owner: the module. Thread: any; the secrets are replaced by a reload as a whole, old ones stay until the end, for
// those who read them meanwhile. Errors: as srs.h has them; "srs.off" before the secrets were read.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "postern/return_path.h"
#include "postern/transport.h"
#include "settings.h"
#include "srs.h"

namespace postern::queue {

class SrsPaths final : public ReturnPaths {
 public:
  /// `settings` are enabled(); `state` is the state folder.
  SrsPaths(const SrsSettings& settings, const std::string& state);

  /// Reads the secrets; makes a file of one when there is none: true then. Blocks; for prepare and its like.
  Result<bool> load();
  const std::string& file() const { return file_; }
  const Domain& domain() const { return options_.domain; }

  Result<Address> forward(const Address& sender, WallTime now) const override;
  bool is_return_path(const Address& recipient) const override;
  Result<Address> reverse(const Address& recipient, WallTime now) const override;
  bool takes_from(const Address& sender) const override;
  std::string terms() const override;

 private:
  SrsOptions options_;  ///< without keys
  SrsSenders accept_;
  std::string file_;
  std::mutex mutex_;  ///< a reload's; never taken on a mail's way
  std::vector<std::unique_ptr<const Srs>> all_;
  std::atomic<const Srs*> current_{nullptr};
};

/// Carries the option "sender" of a relay step out. A message's own reports still go to its true sender.
class SenderTransport final : public Transport {
 public:
  explicit SenderTransport(Transport& inner) : inner_(inner) {}
  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override;
  std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const override;

 private:
  Task<std::vector<AttemptResult>> attempt_as(AttemptRequest request, Address sender);
  Transport& inner_;
};

}  // namespace postern::queue
