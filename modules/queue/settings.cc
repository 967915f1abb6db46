#include "settings.h"

namespace postern::queue {

void describe(Schema<QueueSettings>& s) {
  s.table("queue", "What happens to accepted mail until its last recipient has been served.");
  s.applies(Apply::kRestart);
  s.field(
       "retry", &QueueSettings::retry,
       "Waits before the second, third ... attempt for a recipient that could not be served; the last one is repeated. "
       "Each is varied by a tenth, so that what failed together is not tried together.")
      .items(1, 32)
      .range(1s, 24h * 7);
  s.field("give_up_after", &QueueSettings::give_up_after,
          "Age at which a message that still cannot be delivered is set aside (held, with the reason) instead of tried "
          "again. RFC 5321 section 4.5.4.1 asks for four to five days.")
      .range(1min, 24h * 60);
  s.field("local_concurrency", &QueueSettings::local_concurrency,
          "Deliveries into mailboxes at one time, of each worker. More share one sync of the disk.")
      .range(1, 4096);
  s.field("remote_concurrency", &QueueSettings::remote_concurrency,
          "Attempts to other servers at one time, of each worker.")
      .range(1, 10'000);
  s.field("hot_messages", &QueueSettings::hot_messages,
          "Messages whose envelope and plan each worker keeps in memory until their turn (about 1 KiB each); those of "
          "others are read from the spool again.")
      .range(0, 1'000'000);
  s.field("delivered_to", &QueueSettings::delivered_to, "Put a Delivered-To field above mail for local mailboxes.");
}

}  // namespace postern::queue
