// The watch over line ends, octet by octet.
#include "body_scanner.h"

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "postern/random.h"

using postern::smtp::BodyScanner;
using Framing = BodyScanner::Framing;

namespace {

struct Outcome {
  std::string text;
  std::size_t used = 0;
  bool ended = false, bare = false, nul = false, high = false;
  std::size_t longest = 0;
  bool operator==(const Outcome&) const = default;
};

/// Feeds `input` in pieces that end at each of `cuts`.
Outcome scan(std::string_view input, std::vector<std::size_t> cuts, Framing framing = Framing::kDots,
             bool normalize = true) {
  BodyScanner scanner(framing, normalize);
  Outcome out;
  cuts.push_back(input.size());
  std::size_t at = 0;
  for (const std::size_t cut : cuts) {
    while (at < cut && !out.ended) {
      const BodyScanner::Step step = scanner.next(input.substr(at, cut - at));
      out.text += step.piece;
      at += step.consumed;
      out.ended = step.ended;
      REQUIRE((step.consumed > 0 || !step.piece.empty()));
    }
  }
  if (framing == Framing::kChunks) out.text += scanner.finish();
  out.used = at;
  out.bare = scanner.bare_newline();
  out.nul = scanner.nul();
  out.high = scanner.has_8bit();
  out.longest = scanner.longest_line();
  return out;
}

std::string shown(std::string_view octets) {
  std::string out;
  for (const char c : octets) out += c == '\r' ? "<r>" : c == '\n' ? "<n>" : std::string(1, c);
  return out;
}

}  // namespace

TEST_CASE("every text over a small alphabet is read the same however it is cut") {
  constexpr std::string_view kAlphabet = "\r\n.x";
  for (const Framing framing : {Framing::kDots, Framing::kChunks})
    for (std::size_t number = 0; number < 4 * 4 * 4 * 4 * 4 * 4 * 4; ++number) {
      std::string text;
      for (std::size_t rest = number, n = 0; n < 7; ++n, rest /= 4) text += kAlphabet[rest % 4];
      const Outcome whole = scan(text, {}, framing);
      for (std::size_t cut = 1; cut < text.size(); ++cut) {
        const Outcome parts = scan(text, {cut}, framing);
        if (parts == whole) continue;
        FAIL(shown(text), " cut at ", cut, ": ", shown(parts.text), " against ", shown(whole.text));
      }
    }
}

TEST_CASE("only CRLF dot CRLF ends, at every place where it stands and nowhere else") {
  constexpr std::string_view kAlphabet = "\r\n.x";
  for (std::size_t number = 0; number < 4 * 4 * 4 * 4 * 4 * 4 * 4; ++number) {
    std::string text;
    for (std::size_t rest = number, n = 0; n < 7; ++n, rest /= 4) text += kAlphabet[rest % 4];
    const Outcome found = scan(text, {});
    const std::size_t end = ("\r\n" + text).find("\r\n.\r\n");  // the start counts as a line's start
    CAPTURE(shown(text));
    CHECK(found.ended == (end != std::string::npos));
    if (found.ended) CHECK(found.used == end + 3);
  }
}

TEST_CASE("what comes out of normalising has no bare CR or LF") {
  const Outcome out = scan("a\nb\rc\r\r\nd\n\n.\r\n", {});
  CHECK(out.text == "a\r\nb c \r\nd\r\n\r\n.\r\n");
  CHECK(out.bare);
  CHECK(!out.ended);
}

TEST_CASE("long lines, NUL and octets above 127 are noted") {
  std::string text = "ab\r\n" + std::string(5000, 'x') + "\r\nabc\r\n.\r\n";
  CHECK(scan(text, {1000, 3000}).longest == 5000);
  CHECK(!scan(text, {}).high);
  text[40] = '\xE9';
  CHECK(scan(text, {}).high);
  CHECK(!scan(text, {}).nul);
  text[41] = '\0';
  CHECK(scan(text, {}).nul);
  CHECK(!scan(text, {}).bare);
}

TEST_CASE("a plain text comes out in one piece") {
  BodyScanner scanner(Framing::kDots, false);
  const std::string text = "From: a\r\n\r\nline\r\nline\r\n.\r\nNOOP\r\n";
  const BodyScanner::Step first = scanner.next(text);
  CHECK(first.piece == "From: a\r\n\r\nline\r\nline\r\n");
  CHECK(first.piece.data() == text.data());
}

TEST_CASE("texts of many lines, with an oddity anywhere, are seen alike in one piece and octet by octet") {
  std::vector<std::size_t> each(400);
  std::iota(each.begin(), each.end(), 1);
  postern::Prng random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    while (text.size() < 400) text += std::string(random.next() % 90, random.next() % 4 != 0 ? 'x' : '.') + "\r\n";
    text.resize(400);
    for (unsigned odd = static_cast<unsigned>(random.next() % 4); odd > 0; --odd)
      text[random.next() % text.size()] = std::string_view("\r\n.\0\xE9", 5)[random.next() % 5];
    CAPTURE(shown(text));
    for (const Framing framing : {Framing::kDots, Framing::kChunks})
      for (const bool normalize : {false, true}) {
        const Outcome whole = scan(text, {}, framing, normalize), slow = scan(text, each, framing, normalize);
        CHECK((whole == slow || (!normalize && whole.bare && slow.bare)));
      }
  }
}
