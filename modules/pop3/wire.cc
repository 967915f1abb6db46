#include "wire.h"

namespace postern::pop3 {

DotStuffer::Piece DotStuffer::next(std::string_view text) {
  if (text.empty()) return {};
  if (line_start_ && text.front() == '.') {
    line_start_ = false;
    return {1, 0};
  }
  std::size_t found = text.find("\n.");
  if (found != std::string_view::npos) {
    line_start_ = false;
    return {found + 2, found + 1};
  }
  line_start_ = text.back() == '\n';
  return {text.size(), text.size()};
}

bool TopLimit::line_ends() {
  if (!in_header_) return --lines_ == 0;
  if (!line_empty_) return false;
  in_header_ = false;
  return lines_ == 0;
}

std::string_view TopLimit::take(std::string_view chunk) {
  if (done_) return {};
  std::size_t at = 0;
  while (at < chunk.size()) {
    std::size_t lf = chunk.find('\n', at);
    std::string_view line = chunk.substr(at, lf == std::string_view::npos ? lf : lf - at);
    if (line.find_first_not_of('\r') != std::string_view::npos) line_empty_ = false;
    if (lf == std::string_view::npos) break;
    at = lf + 1;
    done_ = line_ends();
    line_empty_ = true;
    if (done_) return chunk.substr(0, at);
  }
  return chunk;
}

}  // namespace postern::pop3
