// The settings of reports to senders: [report].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <cstdint>
#include <string>

#include "postern/config.h"

namespace postern::queue {

struct ReportSettings : Located {
  bool double_bounces = true;
  std::string postmaster;
  std::string from_name = "Mail Delivery System";
  Size return_limit = 10_MiB;
  Size return_unasked = 64_KiB;
  std::uint32_t max_recipients = 500;
};
void describe(Schema<ReportSettings>& s);

}  // namespace postern::queue
