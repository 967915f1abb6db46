// Octets as the text of a message, by DATA and by BDAT: read at once, an octet at a time, and as the input itself says,
// the outcome must be the same; and against a slow reader of the same rules that holds the whole text in its hand.
//
// Beyond that: only CRLF.CRLF ends a text, and normalised text has no bare CR or LF. Links modules/smtp.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "modules/smtp/body_scanner.h"
#include "modules/smtp/header_check.h"

using namespace postern;
using namespace postern::smtp;

namespace {

using Framing = BodyScanner::Framing;

void require(bool truth) {
  if (!truth) std::abort();
}

struct Outcome {
  std::string text;
  std::size_t used = 0;
  bool ended = false, bare = false, nul = false, high = false;
  std::size_t longest = 0;
  bool operator==(const Outcome&) const = default;
};

template <class NextSize>
Outcome scan(std::string_view input, Framing framing, bool normalize, NextSize next_size) {
  BodyScanner scanner(framing, normalize);
  Outcome out;
  while (out.used < input.size() && !out.ended) {
    std::string_view piece = input.substr(out.used, next_size());
    while (!piece.empty() && !out.ended) {
      const BodyScanner::Step step = scanner.next(piece);
      require(step.consumed <= piece.size() && (step.consumed > 0 || !step.piece.empty()));
      out.text += step.piece;
      out.used += step.consumed;
      out.ended = step.ended;
      piece.remove_prefix(step.consumed);
    }
  }
  if (framing == Framing::kChunks) out.text += scanner.finish();
  out.bare = scanner.bare_newline();
  out.nul = scanner.nul();
  out.high = scanner.has_8bit();
  out.longest = scanner.longest_line();
  return out;
}

/// The same by the letter of the rules: where the text ends, and what it is.
std::string by_the_letter(std::string_view input, bool dots, bool* ended) {
  std::string text = "\r\n" + std::string(input);
  const std::size_t end = dots ? text.find("\r\n.\r\n") : std::string::npos;
  *ended = end != std::string::npos;
  if (*ended) text.resize(end + 2);
  if (dots)
    for (std::size_t at = 0; (at = text.find("\r\n.", at)) != std::string::npos; at += 2) text.erase(at + 2, 1);
  std::string out;
  for (std::size_t at = 2; at < text.size(); ++at) {
    const bool crlf = text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n';
    if (crlf) {
      out += "\r\n";
      ++at;
    } else if (text[at] == '\n') {
      out += "\r\n";
    } else {
      out += text[at] == '\r' ? ' ' : text[at];
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4 || size > 16384) return 0;
  const Framing framing = data[0] & 1 ? Framing::kDots : Framing::kChunks;
  const bool normalize = (data[0] & 2) != 0;
  std::uint32_t seed = data[1] | data[2] << 8 | 1;
  const std::string_view input(reinterpret_cast<const char*>(data) + 3, size - 3);
  const Outcome whole = scan(input, framing, normalize, [&] { return input.size(); });
  const Outcome slow = scan(input, framing, normalize, [] { return std::size_t{1}; });
  const Outcome odd = scan(input, framing, normalize, [&] {
    seed = seed * 1664525 + 1013904223;
    return std::size_t{1} + (seed >> 24) % 37;
  });
  require(whole == slow && whole == odd);
  bool ended = false;
  const std::string expected = by_the_letter(input, framing == Framing::kDots, &ended);
  require(ended == whole.ended);
  if (whole.ended && (normalize || !whole.bare)) require(whole.text == expected);
  if (normalize || !whole.bare)
    for (std::size_t at = 0; at < whole.text.size(); ++at) {
      if (whole.text[at] == '\n') require(at > 0 && whole.text[at - 1] == '\r');
      if (whole.text[at] == '\r') require(at + 1 < whole.text.size() && whole.text[at + 1] == '\n');
    }
  OpeningCheck at_once, slowly;
  OpeningCheck::Answer answer = OpeningCheck::Answer::kUndecided;
  for (std::size_t at = 0; at < input.size() && answer == OpeningCheck::Answer::kUndecided; ++at)
    answer = slowly.feed(input.substr(at, 1));
  require(answer == at_once.feed(input));
  const Address sender;
  const HeaderFacts facts = read_header(whole.text);
  const MendRules rules{
      .submission = true, .strip_bcc = true, .sender = sender, .hostname = "h", .now = {}, .random = 1};
  if (const auto mended = mend_header(whole.text, facts, rules)) {
    const HeaderFacts again = read_header(*mended);
    require(again.date > 0 && again.message_id > 0 && again.bcc == 0 && again.return_path == 0);
  }
  return 0;
}
