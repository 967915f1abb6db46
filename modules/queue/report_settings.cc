#include "report_settings.h"

#include <optional>

#include "postern/address.h"

namespace postern::queue {

void describe(Schema<ReportSettings>& s) {
  s.table("report", "What senders are told when their mail cannot be delivered, or not yet (RFC 3461).");
  s.applies(Apply::kRestart);
  s.field("double_bounces", &ReportSettings::double_bounces,
          "When a message without a sender (itself a report) cannot be delivered, tell the postmaster.");
  s.field("postmaster", &ReportSettings::postmaster,
          "Address for those, and the one reports come from. Empty: postmaster at the default local domain.")
      .check([](const std::string& text) -> std::optional<std::string> {
        if (text.empty() || Address::parse(text)) return std::nullopt;
        return Address::parse(text).error().to_string();
      })
      .example("postmaster@example.org");
  s.field("from_name", &ReportSettings::from_name, "The name that reports come from.").length(1, 80);
  s.field("return_limit", &ReportSettings::return_limit,
          "Messages up to this size are returned whole with a failure if their sender asked for that (RET=FULL); of "
          "larger ones the header alone.")
      .range(0_B, 50_MiB);
  s.field("return_unasked", &ReportSettings::return_unasked,
          "The same when the sender did not say what to return (no RET).")
      .range(0_B, 50_MiB);
  s.field("max_recipients", &ReportSettings::max_recipients,
          "Recipients that one report is about; of more, several reports are made.")
      .range(1, 5000);
}

}  // namespace postern::queue
