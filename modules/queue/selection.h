// Which messages a command is about: by id, sender, recipient, destination, or a query of such terms.
//
//   held destination:slow.example older:2d sender:*@lists.example
//
// All terms must hold. "*" in an address or domain stands for anything; case does not count. A Walk goes through the
// spool's list page by page and opens a message only when its label does not answer, so that the worker is never kept
// for longer than a page, and memory holds one page.
//
// Thread: worker 0, as all commands. Errors: queue.query (with what is wrong), those of the spool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "postern/control.h"
#include "postern/envelope.h"
#include "postern/spool.h"

namespace postern::queue {

struct Selection {
  std::optional<MessageId> id;
  std::string sender, recipient, destination;  ///< patterns; "<>" is the null sender
  std::string why;                             ///< part of the reason, as list shows it
  std::optional<bool> held;
  std::optional<Duration> older;
  std::optional<std::uint32_t> attempts;  ///< at least

  /// From the arguments id, sender, recipient, destination and query.
  static Result<Selection> of(const ControlRequest& request);
  bool everything() const;  ///< no term at all
  /// Whether a message is among them; nothing when its envelope must be looked at.
  std::optional<bool> matches(const MessageInfo& info, WallTime now) const;
  bool matches(const Envelope& envelope) const;
};

bool held_now(const MessageInfo& info, WallTime now);
/// Whether hooks hold back everything of it that waits.
bool held_by_hooks(const MessageInfo& info, WallTime now);
/// The reason of the first recipient that waits.
std::string reason_of(const MessageInfo& info, WallTime now);
/// Whether `text` is what `pattern` says; "*" stands for anything, letters count in any case.
bool glob(std::string_view pattern, std::string_view text);

class Walk {
 public:
  static constexpr std::size_t kPage = 1000;

  Walk(Spool& spool, Selection selection) : spool_(spool), selection_(std::move(selection)) {}
  /// The next message of the selection; nothing at the end.
  Task<Result<std::optional<MessageInfo>>> next();
  std::size_t looked_at() const { return looked_at_; }

 private:
  Task<Result<bool>> fill();
  Task<Result<bool>> selected(const MessageInfo& info);

  Spool& spool_;
  Selection selection_;
  std::vector<MessageInfo> page_;
  std::size_t at_ = 0;
  MessageId after_;
  std::size_t looked_at_ = 0;
  bool ended_ = false;
};

}  // namespace postern::queue
