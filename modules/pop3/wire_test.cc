#include "wire.h"

#include <doctest/doctest.h>

#include <string>

using namespace postern::pop3;

namespace {

std::string stuffed(std::string_view text, std::size_t chunk) {
  DotStuffer stuffer;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += chunk) {
    std::string_view piece = text.substr(at, chunk);
    while (!piece.empty()) {
      auto next = stuffer.next(piece);
      out += piece.substr(0, next.send);
      piece.remove_prefix(next.consume);
    }
  }
  return out.append(stuffer.terminator());
}

}  // namespace

TEST_CASE("dots at the start of lines are doubled, others are not, wherever chunks end") {
  std::string text = ".\r\n..a\r\nb.c\r\n.\r\n.";
  for (std::size_t chunk = 1; chunk <= text.size(); ++chunk)
    CHECK(stuffed(text, chunk) == "..\r\n...a\r\nb.c\r\n..\r\n..\r\n.\r\n");
}

TEST_CASE("an empty message is its terminator alone") {
  CHECK(stuffed("", 1) == ".\r\n");
}

TEST_CASE("TOP of a message without a body is all of it") {
  TopLimit limit(5);
  CHECK(limit.take("A: b\r\n\r\n") == "A: b\r\n\r\n");
  CHECK_FALSE(limit.done());
}
