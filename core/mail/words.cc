// Charsets and encoded words (RFC 2047).
//
// iconv serves only the charsets named here: the C library knows hundreds, some of them with a history of endless loops
// and overflows, and mail needs a few dozen. Its tables are loaded on first use of each.
#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "core/mail/chars.h"
#include "postern/message.h"
#include "postern/mime.h"

namespace postern {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::size_t kMaxCharset = 64;      // octets of a charset's name, language included (RFC 2231 §5)
constexpr std::size_t kMaxEncodedWord = 75;  // octets that we write; RFC 2047 §2

// windows-1252 from 0x80 to 0x9f; 0 is not assigned.
constexpr std::array<char16_t, 32> kWindows1252{0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                                0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
                                                0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                                0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

char32_t windows1252(char c) {
  const auto octet = static_cast<unsigned char>(c);
  if (octet < 0x80 || octet > 0x9f) return octet;
  const char16_t point = kWindows1252[octet - 0x80];
  return point == 0 ? 0xfffd : point;
}

char32_t latin9(char c) {
  switch (static_cast<unsigned char>(c)) {
    case 0xa4:
      return 0x20ac;
    case 0xa6:
      return 0x160;
    case 0xa8:
      return 0x161;
    case 0xb4:
      return 0x17d;
    case 0xb8:
      return 0x17e;
    case 0xbc:
      return 0x152;
    case 0xbd:
      return 0x153;
    case 0xbe:
      return 0x178;
    default:
      return windows1252(c);
  }
}

template <class Point>
std::string map_octets(std::string_view text, Point point) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (char c : text) mail::append_utf8(out, point(c));
  return out;
}

std::string replace_bad_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = mail::utf8_length(text);
    out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

struct Alias {
  std::string_view name;
  const char* iconv_name;
};
// Names that senders use, with the superset that they mean by them.
constexpr std::array<Alias, 22> kAliases{{
    {"gb2312", "GBK"},
    {"gbk", "GBK"},
    {"gb18030", "GB18030"},
    {"big5", "BIG5"},
    {"big5-hkscs", "BIG5-HKSCS"},
    {"euc-jp", "EUC-JP"},
    {"euc-kr", "CP949"},
    {"ks_c_5601-1987", "CP949"},
    {"cp949", "CP949"},
    {"shift_jis", "CP932"},
    {"shift-jis", "CP932"},
    {"sjis", "CP932"},
    {"windows-31j", "CP932"},
    {"cp932", "CP932"},
    {"iso-2022-jp", "ISO-2022-JP"},
    {"koi8-r", "KOI8-R"},
    {"koi8-u", "KOI8-U"},
    {"utf-16", "UTF-16"},
    {"utf-16le", "UTF-16LE"},
    {"utf-16be", "UTF-16BE"},
    {"tis-620", "TIS-620"},
    {"macintosh", "MACINTOSH"},
}};

// Gives the name for iconv_open(), or nothing for a charset that is not served.
std::optional<std::string> iconv_name(std::string_view charset) {
  const auto alias = std::ranges::find(kAliases, charset, &Alias::name);
  if (alias != kAliases.end()) return alias->iconv_name;
  const auto numbered = [&](std::string_view prefix, std::size_t most,
                            std::string_view written) -> std::optional<std::string> {
    if (!charset.starts_with(prefix)) return std::nullopt;
    const std::string_view digits = charset.substr(prefix.size());
    if (digits.empty() || digits.size() > most || !std::ranges::all_of(digits, mail::is_digit)) return std::nullopt;
    return std::string(written) + std::string(digits);
  };
  if (auto name = numbered("iso-8859-", 2, "ISO-8859-")) return name;
  if (auto name = numbered("iso8859-", 2, "ISO-8859-")) return name;
  if (auto name = numbered("windows-125", 1, "CP125")) return name;
  if (auto name = numbered("cp125", 1, "CP125")) return name;
  if (auto name = numbered("cp8", 2, "CP8")) return name;
  return numbered("ibm8", 2, "IBM8");
}

struct IconvClose {
  void operator()(void* handle) const { iconv_close(handle); }
};

std::optional<std::string> through_iconv(std::string_view text, const std::string& name) {
  iconv_t opened = iconv_open("UTF-8", name.c_str());
  if (opened == reinterpret_cast<iconv_t>(-1)) return std::nullopt;  // NOLINT: iconv's own way to say so
  const std::unique_ptr<void, IconvClose> handle(opened);
  std::string out;
  std::array<char, 1024> room;
  std::string copy(text);
  char* in = copy.data();
  std::size_t left = copy.size();
  while (left > 0) {
    char* to = room.data();
    std::size_t free = room.size();
    const std::size_t before = left;
    const std::size_t code = iconv(opened, &in, &left, &to, &free);
    out.append(room.data(), room.size() - free);
    if (code != static_cast<std::size_t>(-1)) break;
    const bool moved = left != before || free != room.size();
    if (errno == E2BIG && moved) continue;
    out += kReplacement;
    ++in;
    --left;
  }
  char* to = room.data();
  std::size_t free = room.size();
  iconv(opened, nullptr, nullptr, &to, &free);
  out.append(room.data(), room.size() - free);
  return out;
}

// One "=?charset?encoding?text?=" at the start of `text`.
struct EncodedWord {
  std::string charset;
  std::string octets;
  std::size_t size = 0;  // of the word as written
};

std::string decode_q(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '=' && i + 1 < text.size() ? mail::hex_value(text[i + 1]) : -1;
    const int low = high >= 0 && i + 2 < text.size() ? mail::hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += text[i] == '_' ? ' ' : text[i];
    }
  }
  return out;
}

std::optional<EncodedWord> encoded_word(std::string_view text) {
  if (!text.starts_with("=?")) return std::nullopt;
  const std::size_t charset_end = text.substr(0, kMaxCharset + 2).find('?', 2);
  if (charset_end == std::string_view::npos || charset_end == 2 || charset_end + 3 > text.size()) return std::nullopt;
  const char encoding = mail::lower(text[charset_end + 1]);
  if ((encoding != 'q' && encoding != 'b') || text[charset_end + 2] != '?') return std::nullopt;
  const std::size_t begin = charset_end + 3;
  // Blanks inside are against RFC 2047 §2, but some senders leave them.
  const std::size_t end = text.find('?', begin);
  if (end == std::string_view::npos || end + 1 >= text.size() || text[end + 1] != '=') return std::nullopt;
  EncodedWord word;
  const std::string_view charset = text.substr(2, charset_end - 2);
  if (!std::ranges::all_of(charset, mail::is_token)) return std::nullopt;
  word.charset = mail::to_lower(charset.substr(0, charset.find('*')));
  const std::string_view body = text.substr(begin, end - begin);
  if (encoding == 'q') {
    word.octets = decode_q(body);
  } else {
    Base64Decoder decoder;
    decoder.feed(body, word.octets);
    decoder.finish(word.octets);
  }
  word.size = end + 2;
  return word;
}

// A decoded word must not bring line ends or NUL back into a header.
void append_safe(std::string& out, std::string_view text) {
  for (char c : text) out += (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f ? ' ' : c;
}

// Collects the octets of neighbouring words of one charset: characters are split between them against RFC 2047 §5.
class WordJoiner {
 public:
  explicit WordJoiner(std::string& out) : out_(out) {}
  void add(EncodedWord word) {
    if (word.charset != charset_) flush();
    charset_ = std::move(word.charset);
    octets_ += word.octets;
  }
  void flush() {
    if (octets_.empty()) return;
    const std::optional<std::string> text = to_utf8(octets_, charset_);
    append_safe(out_, text ? *text : scrub_utf8(octets_));
    octets_.clear();
  }

 private:
  std::string& out_;
  std::string charset_;
  std::string octets_;
};

void append_base64(std::string& out, std::string_view octets) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < octets.size(); i += 3) {
    const std::string_view group = octets.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (k < group.size() ? static_cast<unsigned char>(group[k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= group.size() ? kAlphabet[(bits >> (18 - 6 * k)) & 63] : '=';
  }
}

}  // namespace

std::optional<std::string> to_utf8(std::string_view text, std::string_view charset) {
  if (charset.size() > kMaxCharset) return std::nullopt;
  const std::string name = mail::to_lower(mail::trim(charset));
  if (name == "utf-8" || name == "utf8") return replace_bad_utf8(text);
  // What calls itself ASCII or Latin-1 and is neither was written on windows-1252.
  if (name == "us-ascii" || name == "ascii" || name == "iso-8859-1" || name == "latin1" || name == "windows-1252" ||
      name == "cp1252") {
    return map_octets(text, windows1252);
  }
  if (name == "iso-8859-15" || name == "latin9") return map_octets(text, latin9);
  const std::optional<std::string> known = iconv_name(name);
  return known ? through_iconv(text, *known) : std::nullopt;
}

std::string scrub_utf8(std::string_view text) {
  if (is_valid_utf8(text)) return std::string(text);
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  while (!text.empty()) {
    const std::size_t length = mail::utf8_length(text);
    if (length == 0) {
      mail::append_utf8(out, windows1252(text.front()));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string decode_words(std::string_view value) {
  if (value.find("=?") == std::string_view::npos) return scrub_utf8(value);
  std::string out;
  WordJoiner joiner(out);
  bool after_word = false;
  std::size_t at = 0;
  while (at < value.size()) {
    const std::size_t next = std::min(value.find("=?", at), value.size());
    const std::string_view between = value.substr(at, next - at);
    std::optional<EncodedWord> word = next < value.size() ? encoded_word(value.substr(next)) : std::nullopt;
    const bool only_space = std::ranges::all_of(between, mail::is_space);
    if (!after_word || !word || !only_space) {
      joiner.flush();
      out += scrub_utf8(between);
    }
    after_word = word.has_value();
    at = next;
    if (word) {
      at += word->size;
      joiner.add(std::move(*word));
    } else if (next < value.size()) {
      out += "=?";
      at += 2;
    }
  }
  joiner.flush();
  return out;
}

std::string encode_words(std::string_view utf8) {
  const bool plain = std::ranges::all_of(utf8, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (plain && utf8.find("=?") == std::string_view::npos) return std::string(utf8);
  constexpr std::string_view kStart = "=?utf-8?b?";
  constexpr std::size_t kOctets = (kMaxEncodedWord - kStart.size() - 2) / 4 * 3;
  const std::string clean = scrub_utf8(utf8);
  std::string out;
  for (std::string_view rest = clean; !rest.empty();) {
    std::size_t take = std::min(kOctets, rest.size());
    while (take < rest.size() && (static_cast<unsigned char>(rest[take]) & 0xc0U) == 0x80U) --take;
    if (!out.empty()) out += ' ';
    out += kStart;
    append_base64(out, rest.substr(0, take));
    out += "?=";
    rest.remove_prefix(take);
  }
  return out;
}

namespace {

/// Text between two addresses: blanks and commas around it stay.
void append_text(std::string& out, std::string_view text) {
  const std::size_t first = std::min(text.find_first_not_of(" ,;"), text.size());
  const std::size_t last = std::max(text.find_last_not_of(' ') + 1, first);  // npos + 1 is 0
  out.append(text.substr(0, first)).append(encode_words(text.substr(first, last - first))).append(text.substr(last));
}

}  // namespace

std::string encode_field_value(std::string_view utf8) {
  std::string out;
  while (!utf8.empty()) {
    const std::size_t open = utf8.find('<');
    const std::size_t close = open == utf8.npos ? utf8.npos : utf8.find('>', open);
    if (close == utf8.npos) break;
    append_text(out, utf8.substr(0, open));
    out += encode_words(utf8.substr(open, close - open + 1));
    utf8.remove_prefix(close + 1);
  }
  append_text(out, utf8);
  return out;
}

}  // namespace postern
