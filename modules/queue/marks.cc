#include "marks.h"

#include <fmt/format.h>

#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::string_view kHeldSince = "held since ";
constexpr std::string_view kReleased = "released";
constexpr std::string_view kLetGo = "let go";
constexpr std::string_view kGateway = "gateway ";
constexpr std::string_view kBetween = "; ";

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  if (text.starts_with(kBetween)) text.remove_prefix(kBetween.size());
  return true;
}

std::string_view behind_own_words(std::string_view note) {
  for (const std::string_view word : {kWarningOwed, kMaybeSent})
    if (note.starts_with(word)) note.remove_prefix(word.size());
  return note;
}

}  // namespace

std::string HookHold::note() const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since.time_since_epoch()).count();
  return fmt::format("{}{}{}{}", kHeldSince, seconds, kBetween, why);
}

std::optional<HookHold> HookHold::of(std::string_view note) {
  note = behind_own_words(note);
  if (!note.starts_with(kHeldSince)) return std::nullopt;
  note.remove_prefix(kHeldSince.size());
  const std::size_t end = note.find(kBetween);
  const auto seconds = to_number<std::uint32_t>(note.substr(0, end));
  if (end == note.npos || !seconds) return std::nullopt;
  return HookHold{WallTime(std::chrono::seconds(*seconds)), std::string(note.substr(end + kBetween.size()))};
}

std::optional<HookHold> hook_hold(const RecipientInfo& info, WallTime now) {
  if (info.state != RecipientState::kWaiting || info.next_attempt <= now) return std::nullopt;
  return HookHold::of(info.note);
}

std::string_view plain_note(std::string_view note) {
  note = behind_own_words(note);
  if (HookHold::of(note)) note.remove_prefix(note.find(kBetween) + kBetween.size());
  return note;
}

std::string RouteMark::text() const {
  std::string out;
  const auto add = [&out](std::string_view word, std::string_view what) {
    if (!out.empty()) out += kBetween;
    out.append(word).append(what);
  };
  if (released) add(kReleased, {});
  if (let_go) add(kLetGo, {});
  if (!gateway.empty()) add(kGateway, gateway);
  return out;
}

RouteMark RouteMark::of(std::string_view text) {
  RouteMark out;
  out.released = take(text, kReleased);
  out.let_go = take(text, kLetGo);
  if (text.starts_with(kGateway)) out.gateway = text.substr(kGateway.size());
  return out;
}

}  // namespace postern::queue
