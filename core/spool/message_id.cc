#include <array>

#include "core/spool/id_source.h"
#include "postern/spool.h"

namespace postern {

namespace {
constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";  // sorts as the values do
constexpr std::size_t kTextLength = 13;                                     // 65 bits, the first always 0
}  // namespace

std::string MessageId::to_string() const {
  std::string text(kTextLength, '0');
  std::uint64_t rest = value_;
  for (std::size_t i = kTextLength; i-- > 0; rest >>= 5) text[i] = kAlphabet[rest & 31];
  return text;
}

std::optional<MessageId> MessageId::parse(std::string_view text) {
  if (text.size() != kTextLength || text[0] > 'f') return std::nullopt;
  std::uint64_t value = 0;
  for (char c : text) {
    std::size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 5 | digit;
  }
  if (value == 0) return std::nullopt;
  return MessageId(value);
}

WallTime MessageId::arrival() const {
  return spool::kIdEpoch + std::chrono::milliseconds(value_ >> spool::kIdTimeShift);
}

namespace spool {

MessageId IdSource::next(WallTime now, std::uint64_t floor) {
  auto millis = std::chrono::floor<std::chrono::milliseconds>(now - kIdEpoch).count();
  std::uint64_t ticks = millis > 0 ? static_cast<std::uint64_t>(millis) : 0;
  ticks = std::max(ticks, (floor >> kIdTimeShift) + 1);  // a clock set back must not repeat what was given out
  ticks = std::max(ticks, last_ticks_);
  if (ticks != last_ticks_) serial_ = 0;
  if (serial_ == kIdSerials) {
    ++ticks;
    serial_ = 0;
  }
  last_ticks_ = ticks;
  return MessageId(ticks << kIdTimeShift | std::uint64_t{worker_} << kIdWorkerShift | serial_++);
}

}  // namespace spool
}  // namespace postern
