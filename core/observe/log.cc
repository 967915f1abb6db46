// The handle, the names of levels, and the log that tests look at.
#include "postern/log.h"

#include <algorithm>
#include <array>

#include "core/observe/format.h"
#include "postern/metrics.h"

namespace postern {
namespace {

constexpr std::array<std::string_view, 6> kLevels{"trace", "debug", "info", "warn", "error", "off"};
constexpr std::size_t kMaxBound = 2048;  // octets that bound fields may take of each line

}  // namespace

std::string_view to_text(LogLevel level) {
  return kLevels[static_cast<std::size_t>(level) % kLevels.size()];
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  auto found = std::ranges::find(kLevels, text);
  if (found == kLevels.end()) return {};
  return static_cast<LogLevel>(found - kLevels.begin());
}

LogTarget::~LogTarget() = default;
LogSystem::~LogSystem() = default;

void LogSystem::publish(Metrics& metrics) const {
  for (LogLevel level : {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError})
    metrics.watch("postern_log_dropped_total", "Log lines lost because a ring was full.",
                  [this, level] { return static_cast<double>(dropped(level)); },
                  {{"level", std::string(to_text(level))}});
  metrics.watch("postern_log_write_errors_total", "Writes to the log's sink that failed.",
                [this] { return static_cast<double>(write_errors()); });
}

Log Log::with(LogFields fields) const {
  Log child = *this;
  if (target_ != nullptr) target_->bind(child.bound_, fields);
  return child;
}

// Fields that would make the prefix too long are left out whole.
void bind_fields(std::string& bound, LogFormat format, LogFields fields) {
  std::array<char, kMaxBound> room;
  for (const LogField& field : fields) {
    LineBuffer out(std::span<char>(room).first(kMaxBound - std::min(kMaxBound, bound.size())));
    format_fields(out, format, {field});
    if (!out.was_cut()) bound += out.view();
  }
}

CaptureLog::CaptureLog(LogLevel level) : LogTarget(level_), level_(level) {}
CaptureLog::~CaptureLog() = default;

void CaptureLog::write(LogLevel level, std::string_view event, std::string_view bound, LogFields fields) noexcept {
  std::array<char, LogSystem::kMaxLineBytes> room;
  LineBuffer out(room);
  out.put(bound);
  format_fields(out, LogFormat::kText, fields);
  std::string_view text = out.view();
  if (text.starts_with(' ')) text.remove_prefix(1);
  lines_.push_back({level, std::string(event), std::string(text)});
}

void CaptureLog::bind(std::string& bound, LogFields fields) const {
  bind_fields(bound, LogFormat::kText, fields);
}

std::size_t CaptureLog::count(std::string_view event) const {
  return static_cast<std::size_t>(std::ranges::count(lines_, event, &Line::event));
}

const CaptureLog::Line* CaptureLog::last(std::string_view event) const {
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line)
    if (line->event == event) return &*line;
  return nullptr;
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// One escape after its backslash; moves `at` to its last character.
std::string unescaped(std::string_view text, std::size_t& at) {
  switch (text[at]) {
    case 'n':
      return "\n";
    case 'r':
      return "\r";
    case 't':
      return "\t";
    case 'x':
      if (at + 2 < text.size()) {
        char octet = static_cast<char>(hex_digit(text[at + 1]) * 16 + hex_digit(text[at + 2]));
        at += 2;
        return {octet};
      }
      break;
    case 'u':  // only C1 controls are written so
      if (at + 4 < text.size()) {
        char octet = static_cast<char>(hex_digit(text[at + 3]) * 16 + hex_digit(text[at + 4]));
        at += 4;
        return {'\xC2', octet};
      }
      break;
    default:
      break;
  }
  return {text[at]};
}

}  // namespace

std::optional<std::string> CaptureLog::Line::field(std::string_view key) const {
  std::optional<std::string> value;  // the last of several
  for (std::size_t at = 0; at < fields.size(); ++at) {
    std::size_t equals = fields.find('=', at);
    if (equals == std::string::npos) break;
    bool wanted = std::string_view(fields).substr(at, equals - at) == key;
    std::string text;
    at = equals + 1;
    if (at < fields.size() && fields[at] == '"') {
      for (++at; at < fields.size() && fields[at] != '"'; ++at)
        if (fields[at] == '\\' && at + 1 < fields.size())
          text += unescaped(fields, ++at);
        else
          text += fields[at];
      ++at;
    } else {
      for (; at < fields.size() && fields[at] != ' '; ++at) text += fields[at];
    }
    if (wanted) value = text;
  }
  return value;
}

}  // namespace postern
