// Names of the standard library that need a room which is not built yet: using one is a load error that says which.
#include "rules.h"

namespace postern::mailets {

void declare_future(RuleRegistry& rules) {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {{"spf", "SPF"},
                                                                             {"spf_check", "SPF"},
                                                                             {"dkim", "DKIM"},
                                                                             {"dkim_sign", "DKIM"},
                                                                             {"dkim_verify", "DKIM"},
                                                                             {"dmarc", "DMARC"},
                                                                             {"dmarc_check", "DMARC"},
                                                                             {"geo", "a geographic database"},
                                                                             {"clamav_scan", "scanners"},
                                                                             {"rspamd_scan", "scanners"},
                                                                             {"is_over_quota", "quotas"},
                                                                             {"to_repository", "repositories"},
                                                                             {"from_repository", "repositories"}};
  for (const auto& [name, room] : kNames) rules.add_future(name, room);
}

}  // namespace postern::mailets
