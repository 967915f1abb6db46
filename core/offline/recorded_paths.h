// Return paths of a transaction that is led again: what was made and taken apart then stands in its trail, since the
// keys of that day may be gone, and a replay needs none.
//
// Thread: that of the replay. Errors: "replay.unanswered" for an address that the trail does not know.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "postern/return_path.h"
#include "postern/trail.h"

namespace postern {

class RecordedPaths final : public ReturnPaths {
 public:
  /// `live` says what depends on no key; it outlives this.
  explicit RecordedPaths(const ReturnPaths& live) : live_(live) {}
  void read(const std::vector<TrailEntry>& entries);

  Result<Address> forward(const Address& sender, WallTime now) const override;
  bool is_return_path(const Address& recipient) const override { return live_.is_return_path(recipient); }
  Result<Address> reverse(const Address& recipient, WallTime now) const override;
  bool takes_from(const Address& sender) const override { return live_.takes_from(sender); }
  std::string terms() const override { return live_.terms(); }

 private:
  const ReturnPaths& live_;
  std::map<std::string, std::string> reversed_;  ///< a return path, and the address behind it or a fault's code
};

}  // namespace postern
