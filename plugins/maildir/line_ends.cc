#include "line_ends.h"

namespace postern::maildir {

void ToFile::put(std::string_view octets, std::string& out) {
  if (octets.empty()) return;
  out.append(octets);
  size_ += octets.size();
  WireCounter counter;
  if (after_cr_) counter.feed("\r");
  const std::uint64_t before = counter.octets();
  counter.feed(octets);
  wire_size_ += counter.octets() - before;
  after_cr_ = octets.back() == '\r';
}

void ToFile::feed(std::string_view piece, std::string& out) {
  if (held_cr_ && !piece.empty()) {
    if (piece.front() != '\n') put("\r", out);
    held_cr_ = false;
  }
  while (!piece.empty()) {
    const std::size_t cr = piece.find('\r');
    put(piece.substr(0, cr), out);
    if (cr == std::string_view::npos) return;
    piece.remove_prefix(cr + 1);
    if (piece.empty()) {
      held_cr_ = true;
      return;
    }
    if (piece.front() != '\n') put("\r", out);
  }
}

void ToFile::finish(std::string& out) {
  if (held_cr_) put("\r", out);
  held_cr_ = false;
}

void ToWire::feed(std::string_view piece, std::string& out) {
  while (!piece.empty()) {
    const std::size_t lf = piece.find('\n');
    if (lf == std::string_view::npos) {
      out.append(piece);
      after_cr_ = piece.back() == '\r';
      return;
    }
    out.append(piece.substr(0, lf));
    const bool has_cr = lf == 0 ? after_cr_ : piece[lf - 1] == '\r';
    out.append(has_cr ? "\n" : "\r\n");
    after_cr_ = false;
    piece.remove_prefix(lf + 1);
  }
}

void WireCounter::feed(std::string_view piece) {
  octets_ += piece.size();
  for (std::size_t lf = piece.find('\n'); lf != std::string_view::npos; lf = piece.find('\n', lf + 1))
    if (lf == 0 ? !after_cr_ : piece[lf - 1] != '\r') ++octets_;
  if (!piece.empty()) after_cr_ = piece.back() == '\r';
}

}  // namespace postern::maildir
