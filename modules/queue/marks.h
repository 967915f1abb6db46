// What the queue writes into the marks of a recipient, beside what the spool itself knows: the words before the note of
// an attempt, and what administrators decided about its way.
//
//   note of an attempt   [warning owed; ][maybe sent; ][held since 1763816400; ]why
//   route                released; let go; gateway mx.example.org:26       each of them or none, in this order
//
// Values; any thread. What is not understood is taken as part of the reason, or left out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "postern/spool.h"
#include "postern/time.h"

namespace postern::queue {

/// What the note of an attempt mark begins with once all of the message has left and no answer came.
inline constexpr std::string_view kMaybeSent = "maybe sent; ";
/// And what it begins with, before that, while the warning of the delay is still to be sent.
inline constexpr std::string_view kWarningOwed = "warning owed; ";

/// A hook holds a recipient back: since when without a break, and in its words why.
struct HookHold {
  WallTime since{};
  std::string why;
  std::string note() const;  ///< as it stands in the mark, behind the words before it
  /// Nothing when the note tells of no hold.
  static std::optional<HookHold> of(std::string_view note);
};
/// The hold of a recipient that waits, while it lasts.
std::optional<HookHold> hook_hold(const RecipientInfo& info, WallTime now);

/// A note as people read it: without the words that are the queue's own.
std::string_view plain_note(std::string_view note);

/// What administrators decided about a recipient.
struct RouteMark {
  bool released = false;  ///< from quarantine
  bool let_go = false;    ///< no hook may hold it back any more
  std::string gateway;    ///< where it goes instead; empty: as the plan says
  std::string text() const;
  static RouteMark of(std::string_view text);
};

}  // namespace postern::queue
