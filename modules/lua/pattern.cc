#include "pattern.h"

#include "postern/text.h"

namespace postern::lua {
namespace {

/// Classes of ASCII: no locale, so that the same pattern matches the same everywhere.
bool in_class(unsigned char c, char letter) {
  const char ch = static_cast<char>(c);
  bool inside = false;
  switch (ascii_lower(letter)) {
    case 'a':
      inside = is_ascii_alpha(ch);
      break;
    case 'c':
      inside = c < 0x20 || c == 0x7f;
      break;
    case 'd':
      inside = is_ascii_digit(ch);
      break;
    case 'g':
      inside = c > 0x20 && c < 0x7f;
      break;
    case 'l':
      inside = ch >= 'a' && ch <= 'z';
      break;
    case 'p':
      inside = c > 0x20 && c < 0x7f && !is_ascii_alnum(ch);
      break;
    case 's':
      inside = ch == ' ' || (c >= 9 && c <= 13);
      break;
    case 'u':
      inside = ch >= 'A' && ch <= 'Z';
      break;
    case 'w':
      inside = is_ascii_alnum(ch);
      break;
    case 'x':
      inside = is_ascii_digit(ch) || (ascii_lower(ch) >= 'a' && ascii_lower(ch) <= 'f');
      break;
    default:
      return letter == ch;
  }
  return letter >= 'A' && letter <= 'Z' ? !inside : inside;
}

}  // namespace

Pattern::Pattern(std::string_view pattern, std::string_view subject, std::int64_t& steps)
    : pattern_(pattern),
      subject_(subject),
      steps_(steps),
      anchored_(pattern.starts_with('^')),
      begin_(anchored_ ? 1 : 0) {}

bool Pattern::step(std::int64_t count) {
  if (fault_ != PatternFault::kNone) return false;
  steps_ -= count;
  if (steps_ < 0) fault_ = PatternFault::kSteps;
  return steps_ >= 0;
}

std::size_t Pattern::malformed(const char* what) {
  if (fault_ == PatternFault::kNone) {
    fault_ = PatternFault::kMalformed;
    what_ = what;
  }
  return kNo;
}

bool Pattern::match_at(std::size_t start) {
  level_ = 0;
  depth_ = 0;
  const std::size_t end = match(start, begin_);
  if (end == kNo || fault_ != PatternFault::kNone) return false;
  for (std::size_t i = 0; i < level_; ++i)
    if (captures_[i].length == Capture::kOpen) return malformed("unfinished capture"), false;
  end_ = end;
  return true;
}

bool Pattern::find(std::size_t start, std::size_t& begin) {
  for (begin = start; begin <= subject_.size() && fault_ == PatternFault::kNone; ++begin) {
    if (match_at(begin)) return true;
    if (anchored_) return false;
  }
  return false;
}

std::size_t Pattern::match(std::size_t s, std::size_t p) {
  if (++depth_ > kMaxPatternDepth) {
    if (fault_ == PatternFault::kNone) fault_ = PatternFault::kDepth;
    return kNo;
  }
  std::size_t result = kNo;
  for (;;) {
    if (!step()) break;
    if (p == pattern_.size()) {
      result = s;
      break;
    }
    const char c = pattern_[p];
    if (c == '(') {
      const bool position = p + 1 < pattern_.size() && pattern_[p + 1] == ')';
      result = open_capture(s, p + (position ? 2 : 1), position ? Capture::kPosition : Capture::kOpen);
      break;
    }
    if (c == ')') {
      result = close_capture(s, p + 1);
      break;
    }
    if (c == '$' && p + 1 == pattern_.size()) {
      result = s == subject_.size() ? s : kNo;
      break;
    }
    if (c == '%' && p + 1 < pattern_.size()) {
      const char kind = pattern_[p + 1];
      if (kind == 'b' || kind == 'f' || is_ascii_digit(kind)) {
        s = escape(s, p);
        if (s == kNo) break;
        p = kind == 'b' ? p + 4 : kind == 'f' ? set_end(p + 2) : p + 2;
        continue;
      }
    }
    const std::size_t next = item_end(p);
    if (next == kNo) break;
    const char suffix = next < pattern_.size() ? pattern_[next] : '\0';
    if (suffix == '*' || suffix == '+') {
      result = greedy(s, p, next, suffix == '+' ? 1 : 0);
      break;
    }
    if (suffix == '-') {
      result = lazy(s, p, next);
      break;
    }
    if (suffix == '?') {
      if (fits(s, p, next)) {
        result = match(s + 1, next + 1);
        if (result != kNo || fault_ != PatternFault::kNone) break;
      }
      p = next + 1;
      continue;
    }
    if (!fits(s, p, next)) break;
    ++s;
    p = next;
  }
  --depth_;
  return result;
}

std::size_t Pattern::greedy(std::size_t s, std::size_t p, std::size_t next, std::size_t least) {
  std::size_t count = 0;
  while (fits(s + count, p, next)) {
    ++count;
    if (!step()) return kNo;
  }
  for (;; --count) {
    if (count < least) return kNo;
    const std::size_t result = match(s + count, next + 1);
    if (result != kNo || fault_ != PatternFault::kNone) return result;
    if (count == 0) return kNo;
  }
}

std::size_t Pattern::lazy(std::size_t s, std::size_t p, std::size_t next) {
  for (;;) {
    const std::size_t result = match(s, next + 1);
    if (result != kNo || fault_ != PatternFault::kNone) return result;
    if (!fits(s, p, next)) return kNo;
    ++s;
  }
}

std::size_t Pattern::open_capture(std::size_t s, std::size_t p, std::size_t length) {
  if (level_ >= kMaxCaptures) return malformed("too many captures");
  captures_[level_++] = {s, length};
  const std::size_t result = match(s, p);
  if (result == kNo) --level_;
  return result;
}

std::size_t Pattern::close_capture(std::size_t s, std::size_t p) {
  std::size_t open = level_;
  while (open > 0 && captures_[open - 1].length != Capture::kOpen) --open;
  if (open == 0) return malformed("invalid pattern capture");
  Capture& capture = captures_[open - 1];
  capture.length = s - capture.begin;
  const std::size_t result = match(s, p);
  if (result == kNo) capture.length = Capture::kOpen;
  return result;
}

std::size_t Pattern::escape(std::size_t s, std::size_t p) {
  switch (pattern_[p + 1]) {
    case 'b':
      return balance(s, p + 2);
    case 'f':
      return frontier(s, p + 2);
    default:
      return back_reference(s, p + 1);
  }
}

std::size_t Pattern::balance(std::size_t s, std::size_t p) {
  if (p + 1 >= pattern_.size()) return malformed("malformed pattern (missing arguments to '%b')");
  if (s >= subject_.size() || subject_[s] != pattern_[p]) return kNo;
  std::size_t open = 1;
  for (std::size_t at = s + 1; at < subject_.size(); ++at) {
    if (!step()) return kNo;
    if (subject_[at] == pattern_[p + 1]) {
      if (--open == 0) return at + 1;
    } else if (subject_[at] == pattern_[p]) {
      ++open;
    }
  }
  return kNo;
}

std::size_t Pattern::frontier(std::size_t s, std::size_t p) {
  if (p >= pattern_.size() || pattern_[p] != '[') return malformed("missing '[' after '%f' in pattern");
  const std::size_t next = set_end(p);
  if (next == kNo) return kNo;
  const auto before = static_cast<unsigned char>(s == 0 ? '\0' : subject_[s - 1]);
  const auto here = static_cast<unsigned char>(s < subject_.size() ? subject_[s] : '\0');
  return !in_set(before, p, next - 1) && in_set(here, p, next - 1) ? s : kNo;
}

std::size_t Pattern::back_reference(std::size_t s, std::size_t p) {
  const auto index = static_cast<std::size_t>(pattern_[p] - '1');
  if (index >= level_ || captures_[index].length >= Capture::kPosition)
    return malformed("invalid capture index in pattern");
  const Capture& capture = captures_[index];
  if (!step(static_cast<std::int64_t>(capture.length / 16))) return kNo;
  const std::string_view wanted = subject_.substr(capture.begin, capture.length);
  return subject_.substr(s).starts_with(wanted) ? s + capture.length : kNo;
}

/// Behind the single item at `p`: a character, a class, a set.
std::size_t Pattern::item_end(std::size_t p) {
  const char c = pattern_[p];
  if (c == '[') return set_end(p);
  if (c != '%') return p + 1;
  if (p + 1 >= pattern_.size()) return malformed("malformed pattern (ends with '%')");
  return p + 2;
}

/// Behind the ']' of the set whose '[' is at `p`.
std::size_t Pattern::set_end(std::size_t p) {
  const std::size_t begin = p;
  ++p;
  if (p < pattern_.size() && pattern_[p] == '^') ++p;
  bool first = true;  // a ']' in front is an ordinary member
  while (p < pattern_.size() && (pattern_[p] != ']' || first)) {
    first = false;
    p += pattern_[p] == '%' ? 2 : 1;
  }
  if (p >= pattern_.size()) return malformed("malformed pattern (missing ']')");
  return step(static_cast<std::int64_t>((p - begin) / 4)) ? p + 1 : kNo;
}

bool Pattern::in_set(unsigned char c, std::size_t p, std::size_t last) const {
  bool found = true;
  if (pattern_[++p] == '^') {
    found = false;
    ++p;
  }
  for (; p < last; ++p) {
    const auto low = static_cast<unsigned char>(pattern_[p]);
    if (low == '%' && p + 1 < last) {
      if (in_class(c, pattern_[++p])) return found;
    } else if (p + 2 < last && pattern_[p + 1] == '-') {
      if (low <= c && c <= static_cast<unsigned char>(pattern_[p + 2])) return found;
      p += 2;
    } else if (low == c) {
      return found;
    }
  }
  return !found;
}

bool Pattern::fits(std::size_t s, std::size_t p, std::size_t next) {
  if (s >= subject_.size()) return false;
  const auto c = static_cast<unsigned char>(subject_[s]);
  switch (pattern_[p]) {
    case '.':
      return true;
    case '%':
      return in_class(c, pattern_[p + 1]);
    case '[':
      return step(static_cast<std::int64_t>((next - p) / 4)) && in_set(c, p, next - 1);
    default:
      return pattern_[p] == static_cast<char>(c);
  }
}

}  // namespace postern::lua
