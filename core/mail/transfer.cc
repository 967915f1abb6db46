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

void put_octets(std::string& out, std::uint32_t bits, int count) {
  for (int shift = 16; count-- > 0; shift -= 8) out += static_cast<char>((bits >> shift) & 0xff);
}

}  // namespace

void Base64Decoder::feed(std::string_view piece, std::string& out) {
  for (char c : piece) {
    const std::uint8_t digit = kDigits[static_cast<unsigned char>(c)];
    if (digit == kBlank) continue;
    if (digit == kPad) {
      if (count_ >= 2) put_octets(out, bits_ << (24 - 6 * count_), count_ - 1);
      damaged_ = damaged_ || count_ == 1 || (count_ == 0 && !padded_);
      bits_ = 0;
      count_ = 0;
      padded_ = true;
      continue;
    }
    if (digit == kNoDigit) {
      damaged_ = true;
      continue;
    }
    damaged_ = damaged_ || padded_;  // data behind the padding: pieces that were encoded one by one
    bits_ = bits_ << 6 | digit;
    if (++count_ == 4) {
      put_octets(out, bits_, 3);
      bits_ = 0;
      count_ = 0;
    }
  }
}

void Base64Decoder::finish(std::string& out) {
  if (count_ >= 2) put_octets(out, bits_ << (24 - 6 * count_), count_ - 1);
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
  const auto give_up = [&](std::string_view written) {
    damaged_ = true;
    state_ = State::kPlain;
    out += written;
    step(octet, out);
  };
  const auto blanks_out = [&] {
    out += blanks_;
    blanks_.clear();
  };
  switch (state_) {
    case State::kPlain:
      if (mail::is_blank(octet)) {
        if (blanks_.size() >= kMaxBlanks) blanks_out();
        blanks_ += octet;
      } else if (octet == '\r') {
        state_ = State::kCr;
      } else if (octet == '\n') {
        blanks_.clear();
        out += '\n';
      } else {
        blanks_out();
        if (octet == '=') {
          state_ = State::kEquals;
        } else {
          out += octet;
        }
      }
      return;
    case State::kCr:
      state_ = State::kPlain;
      if (octet == '\n') {
        blanks_.clear();
        out += "\r\n";
        return;
      }
      blanks_out();
      return give_up("\r");
    case State::kEquals:
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
        give_up("=");
      }
      return;
    case State::kHex:
      if (mail::hex_value(octet) < 0) return give_up({std::array{'=', first_}.data(), 2});
      out += static_cast<char>(mail::hex_value(first_) << 4 | mail::hex_value(octet));
      state_ = State::kPlain;
      return;
    case State::kSoft:  // blanks behind a soft line end's "="
      if (octet == '\r') {
        state_ = State::kSoftCr;
      } else if (octet == '\n') {
        blanks_.clear();
        state_ = State::kPlain;
      } else if (mail::is_blank(octet) && blanks_.size() < kMaxBlanks) {
        blanks_ += octet;
      } else {
        out += '=';
        blanks_out();
        give_up("");
      }
      return;
    case State::kSoftCr:
      blanks_.clear();
      if (octet != '\n') return give_up("");
      state_ = State::kPlain;
      return;
  }
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
