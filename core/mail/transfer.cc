// Decoders of transfer encodings, fed in pieces of any size.
#include <array>

#include "core/mail/chars.h"
#include "postern/mime.h"

namespace postern {
namespace {

constexpr std::uint8_t kNoDigit = 0xff;
constexpr std::uint8_t kBlank = 0xfe;
constexpr std::uint8_t kPad = 0xfd;

constexpr std::array<std::uint8_t, 256> make_table() {
  std::array<std::uint8_t, 256> table{};
  table.fill(kNoDigit);
  std::uint8_t value = 0;
  for (char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")) {
    table[static_cast<unsigned char>(c)] = value++;
  }
  for (char c : std::string_view(" \t\r\n")) table[static_cast<unsigned char>(c)] = kBlank;
  table['='] = kPad;
  return table;
}
constexpr std::array<std::uint8_t, 256> kDigits = make_table();

char* put_octets(char* to, std::uint32_t bits, int count) {
  for (int shift = 16; count-- > 0; shift -= 8) *to++ = static_cast<char>((bits >> shift) & 0xff);
  return to;
}

}  // namespace

void Base64Decoder::feed(std::string_view piece, std::string& out) {
  const std::size_t before = out.size();
  out.resize(before + (piece.size() + 3) / 4 * 3 + 3);  // at most this; cut below
  char* to = out.data() + before;
  const auto digit_at = [&](std::size_t i) { return kDigits[static_cast<unsigned char>(piece[i])]; };
  for (std::size_t i = 0; i < piece.size(); ++i) {
    // Whole groups at once: nearly all of a body. Digits are below 64, all other classes have the top bit.
    const bool between_groups = count_ == 0 && !padded_;
    while (between_groups && i + 4 < piece.size()) {
      const std::uint32_t a = digit_at(i), b = digit_at(i + 1), c = digit_at(i + 2), d = digit_at(i + 3);
      if (((a | b | c | d) & 0x80) != 0) break;
      to = put_octets(to, a << 18 | b << 12 | c << 6 | d, 3);
      i += 4;
    }
    to = take(digit_at(i), to);
  }
  out.resize(static_cast<std::size_t>(to - out.data()));
}

char* Base64Decoder::take(std::uint8_t digit, char* to) {
  if (digit == kBlank) return to;
  if (digit == kPad) {
    if (count_ >= 2) to = put_octets(to, bits_ << (24 - 6 * count_), count_ - 1);
    damaged_ = damaged_ || count_ == 1 || (count_ == 0 && !padded_);
    bits_ = 0;
    count_ = 0;
    padded_ = true;
    return to;
  }
  if (digit == kNoDigit) {
    damaged_ = true;
    return to;
  }
  damaged_ = damaged_ || padded_;  // data behind the padding: pieces that were encoded one by one
  bits_ = bits_ << 6 | digit;
  if (++count_ < 4) return to;
  to = put_octets(to, bits_, 3);
  bits_ = 0;
  count_ = 0;
  return to;
}

void Base64Decoder::finish(std::string& out) {
  std::array<char, 3> last{};
  if (count_ >= 2) out.append(last.data(), put_octets(last.data(), bits_ << (24 - 6 * count_), count_ - 1));
  damaged_ = damaged_ || count_ != 0;
  bits_ = 0;
  count_ = 0;
}

void QuotedPrintableDecoder::feed(std::string_view piece, std::string& out) {
  for (std::size_t i = 0; i < piece.size();) {
    if (state_ == State::kPlain) {
      const std::size_t end = std::min(piece.find_first_of("= \t\r\n", i), piece.size());
      if (end > i) {
        out += blanks_;
        blanks_.clear();
        out += piece.substr(i, end - i);
        i = end;
        continue;
      }
    }
    step(piece[i++], out);
  }
}

void QuotedPrintableDecoder::step(char octet, std::string& out) {
  switch (state_) {
    case State::kPlain:
      return plain(octet, out);
    case State::kCr:
      if (octet != '\n') return give_up(octet, blanks_ + "\r", out);
      out += "\r\n";
      break;
    case State::kEquals:
      return behind_equals(octet, out);
    case State::kHex:
      if (mail::hex_value(octet) < 0) return give_up(octet, std::string{'=', first_}, out);
      out += static_cast<char>(mail::hex_value(first_) << 4 | mail::hex_value(octet));
      break;
    case State::kSoft:  // blanks behind a soft line end's "="
      if (octet == '\r') {
        state_ = State::kSoftCr;
        return;
      }
      if (mail::is_blank(octet) && blanks_.size() < kMaxBlanks) {
        blanks_ += octet;
        return;
      }
      if (octet != '\n') return give_up(octet, "=" + blanks_, out);
      break;
    case State::kSoftCr:
      if (octet != '\n') return give_up(octet, {}, out);
      break;
  }
  blanks_.clear();
  state_ = State::kPlain;
}

void QuotedPrintableDecoder::plain(char octet, std::string& out) {
  if (octet == '\r') {
    state_ = State::kCr;
    return;
  }
  if (mail::is_blank(octet) && blanks_.size() < kMaxBlanks) {
    blanks_ += octet;
    return;
  }
  if (octet != '\n') out += blanks_;  // RFC 2045 §6.7 rule 3
  blanks_.clear();
  if (octet == '=') {
    state_ = State::kEquals;
  } else if (mail::is_blank(octet)) {
    blanks_ += octet;
  } else {
    out += octet;
  }
}

void QuotedPrintableDecoder::behind_equals(char octet, std::string& out) {
  if (mail::hex_value(octet) >= 0) {
    first_ = octet;
    state_ = State::kHex;
  } else if (octet == '\n') {
    state_ = State::kPlain;
  } else if (octet == '\r') {
    state_ = State::kSoftCr;
  } else if (mail::is_blank(octet)) {
    blanks_ += octet;
    state_ = State::kSoft;
  } else {
    give_up(octet, "=", out);
  }
}

// What looked like an escape was none: it is written as it came, and `octet` starts anew.
void QuotedPrintableDecoder::give_up(char octet, std::string_view written, std::string& out) {
  damaged_ = true;
  state_ = State::kPlain;
  out += written;
  blanks_.clear();
  plain(octet, out);
}

void QuotedPrintableDecoder::finish(std::string& out) {
  damaged_ = damaged_ || state_ != State::kPlain;
  if (state_ == State::kHex) out += {'=', first_};
  if (state_ == State::kCr) out += '\r';
  blanks_.clear();  // RFC 2045 §6.7 rule 3
  state_ = State::kPlain;
}

void BodyDecoder::feed(std::string_view piece, std::string& out) {
  if (encoding_ == TransferEncoding::kBase64) {
    base64_.feed(piece, out);
  } else if (encoding_ == TransferEncoding::kQuotedPrintable) {
    quoted_.feed(piece, out);
  } else {
    out += piece;
  }
}

void BodyDecoder::finish(std::string& out) {
  if (encoding_ == TransferEncoding::kBase64) base64_.finish(out);
  if (encoding_ == TransferEncoding::kQuotedPrintable) quoted_.finish(out);
}

}  // namespace postern
