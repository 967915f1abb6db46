// Names of the standard library that need a room which is not built yet: using one is a load error that says which.
#include "rules.h"

namespace postern::mailets {

void declare_future(RuleRegistry& rules) {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"spf", "SPF"},
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
      {"is_in_drop_list", "user settings"},
      {"add_footer", "editing of MIME parts"},
      {"replace_content", "editing of MIME parts"},
      {"strip_attachment", "editing of MIME parts"},
      {"only_text", "editing of MIME parts"},
      {"convert_to_7bit", "editing of MIME parts"},
      {"wrap", "editing of MIME parts"},
      {"delivery_failed", "pipelines for failed deliveries"},
      {"to_repository", "repositories"},
      {"from_repository", "repositories"},
      {"split", "batches in the queue"},
      {"http_post", "HTTP"}};
  for (const auto& [name, room] : kNames) rules.add_future(name, room);
}

}  // namespace postern::mailets
