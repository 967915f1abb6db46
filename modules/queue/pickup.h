// Pickup: takes mail in that local programs left in the drop folder (postern-sendmail, while nobody listens on the
// submission socket). pickup_file.h has the files.
//
// The folder is mode 03733: whoever may reach it may put files in, and neither list nor take what is in it; new files
// belong to the server's group, which reads them (0640). Whether others than root reach it is a matter of the folders
// above: [server] state is closed to them, so that the default is /var/spool/postern/drop.
//
// A file goes through the gate, the hooks and "root" as a session's mail does; its client is the role "local", logged
// in as "unix:" and the name of the file's owner (a name of the system, never taken for a mail account). The submitter
// is gone, so that a refusal for good becomes a bounce step, of which the queue makes a report; a temporary one leaves
// the file where it is. Each file is taken once, for all crashes but one: it is renamed to "claim.ID" before the commit
// under ID and removed after it; a claim whose ID is in the spool is only removed. (A crash within the moments between
// commit and removal, by the end of which the message has already left the spool, takes it twice.)
//
// Owner: the QueueService; runs on worker 0 until cancelled. It looks at the start, when the system tells of a new file
// (inotify), and every [pickup] poll; a file that could not be taken waits by itself, longer each time. Errors: log
// lines (pickup.*), a file that cannot be read becomes "bad.*".
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pickup_file.h"
#include "postern/auth.h"
#include "postern/config.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/sync.h"
#include "postern/task.h"

namespace postern::queue {

struct PickupSettings : Located {
  bool enabled = true;
  std::filesystem::path folder;
  Duration poll = 10s;
  Size max_message_size = 50_MiB;
};
void describe(Schema<PickupSettings>& s);

struct PickupParts {
  Spool& spool;
  Policy& policy;
  const Directory* directory = nullptr;  ///< for its default domain
  std::string hostname;
  std::string folder;  ///< Pickup::folder_for
  PickupSettings settings;
  Log log;
};

class Pickup {
 public:
  static constexpr std::size_t kAtOnce = 16;          ///< files on their way at one time
  static constexpr std::size_t kMaxListed = 10'000;   ///< of one look
  static constexpr std::size_t kMaxRejections = 100;  ///< recipients refused one by one that a log line is written for
  static constexpr Duration kFirstWait = 30s;         ///< of a file that could not be taken now; doubled each time
  static constexpr Duration kLongestWait = 15min;

  /// What an empty [pickup] folder means: postern-sendmail's default beside the default state folder, which is closed
  /// to those who send; else "drop" in the state folder, so that servers with states of their own keep out of each
  /// other.
  static std::string folder_for(const PickupSettings& settings, const std::string& state);

  explicit Pickup(PickupParts parts) : parts_(std::move(parts)) {}

  /// Takes in what is there and what comes, until it is cancelled.
  Task<void> run();
  /// One look. Returns how many messages were taken in.
  Task<std::size_t> look();

  /// Makes the folder, with its permissions. Blocks.
  static Result<void> make_folder(const std::string& folder);

 private:
  struct Round;
  struct Job;
  enum class Done : std::uint8_t { kTaken, kLater, kGone };

  Task<void> lane(Round* round);
  Task<Done> take(std::string name);
  Task<Done> give_up(std::string name, Fault why);
  Task<Result<bool>> is_claimed(std::string name);
  Task<Result<void>> claim(Job& job);
  Task<Result<void>> read_message(Job& job, Draft& draft, std::uint64_t offset);
  void skip_waiting(std::vector<std::string>& names, Instant now);
  void note(const std::string& name, Done done, Instant now);
  Task<Done> submit(Job& job, Draft draft);
  Task<bool> ask_for_recipients(Job& job, std::vector<Recipient> wanted);
  Decision with_refusals(Job& job, Decision decision) const;
  void trace(const Job& job, Draft& draft) const;
  std::string path_of(std::string_view name) const { return parts_.folder + "/" + std::string(name); }

  /// Of a file that could not be taken now, by the part of its name that it keeps.
  struct Wait {
    Duration length{};
    Instant until{};
  };
  PickupParts parts_;
  Event wake_;
  std::map<std::string, Wait, std::less<>> waits_;  ///< at most kMaxListed
};

}  // namespace postern::queue
