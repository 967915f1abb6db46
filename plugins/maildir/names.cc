#include "names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "postern/text.h"

namespace postern::maildir {

namespace {

constexpr std::size_t kMaxUidl = 70;  // RFC 1939 §7

bool harmless(char c) {
  return is_ascii_alnum(c) || std::string_view("+-=@_.~").find(c) != std::string_view::npos;
}

/// Stable for ever, unlike hash_bytes(): FNV-1a of 128 bits.
std::string stable_hash(std::string_view text) {
  unsigned __int128 hash = (static_cast<unsigned __int128>(0x6c62272e07bb0142ULL) << 64) | 0x62b821756295c58dULL;
  const unsigned __int128 prime = (static_cast<unsigned __int128>(0x0000000001000000ULL) << 64) | 0x000000000000013bULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * prime;
  return fmt::format("{:016x}{:016x}", static_cast<std::uint64_t>(hash >> 64), static_cast<std::uint64_t>(hash));
}

/// One code point of UTF-8; an ill-formed octet stands for itself (as Latin-1).
char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC2 ? 1 : 0;
  if (lead < 0x80 || more == 0 || lead > 0xF4 || at + more > text.size()) return lead;
  char32_t code = lead & (0x3FU >> more);
  for (std::size_t i = 0; i < more; ++i) {
    const auto octet = static_cast<unsigned char>(text[at + i]);
    if ((octet & 0xC0U) != 0x80) return lead;
    code = (code << 6) | (octet & 0x3FU);
  }
  at += more;
  return code;
}

void append_utf16(std::string& out, char32_t code) {
  const auto put = [&out](std::uint32_t unit) {
    out += static_cast<char>(unit >> 8);
    out += static_cast<char>(unit & 0xFF);
  };
  if (code < 0x10000) return put(code);
  code -= 0x10000;
  put(0xD800 + static_cast<std::uint32_t>(code >> 10));
  put(0xDC00 + static_cast<std::uint32_t>(code & 0x3FF));
}

/// Base64 of RFC 3501: "," for "/", no padding.
std::string shifted(std::string_view utf16) {
  std::string text = base64_encode(utf16);
  while (text.ends_with('=')) text.pop_back();
  std::ranges::replace(text, '/', ',');
  return '&' + text + '-';
}

/// What may not stand in a file's name as itself, or separates folders.
bool plain_in_folder(char32_t code) {
  return code >= 0x20 && code < 0x7F && code != '.' && code != '/';
}

std::optional<std::uint64_t> size_field(std::string_view base, std::string_view key) {
  const std::size_t at = base.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = base.substr(at + key.size());
  return to_number<std::uint64_t>(take_until(rest, ','));
}

}  // namespace

std::string safe_component(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (harmless(c) && !(i == 0 && c == '.'))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<std::string> account_path(std::string_view account) {
  const std::size_t at = account.rfind('@');
  const bool has_domain = at != std::string_view::npos && at + 1 < account.size() && at > 0;
  std::string user = safe_component(has_domain ? account.substr(0, at) : account);
  std::string domain = has_domain ? safe_component(account.substr(at + 1)) : "_local";
  if (has_domain && domain.starts_with('_')) domain.replace(0, 1, "%5F");
  constexpr std::size_t kMaxName = 255;  // of ext4, xfs, zfs
  if (user.empty() || user.size() > kMaxName || domain.size() > kMaxName)
    return fault("store.no_account", fmt::format("\"{}\" cannot be the name of an account", safe_component(account)));
  return domain + '/' + user;
}

std::string modified_utf7(std::string_view utf8) {
  std::string out;
  std::string wide;
  for (std::size_t at = 0; at < utf8.size();) {
    const char32_t code = next_code_point(utf8, at);
    if (!plain_in_folder(code)) {
      append_utf16(wide, code);
      continue;
    }
    if (!wide.empty()) out += shifted(wide);
    wide.clear();
    out += static_cast<char>(code);
    if (code == '&') out += '-';
  }
  if (!wide.empty()) out += shifted(wide);
  return out;
}

Result<std::string> folder_path(std::string_view folder) {
  if (folder.empty() || equal_folded(folder, "INBOX")) return std::string();
  std::string path;
  for (const std::string_view part : split(folder, '/')) {
    if (part.empty()) return fault("store.no_folder", "a folder's name has an empty part");
    path += '.';
    path += modified_utf7(part);
  }
  if (path.size() > kMaxComponent) return fault("store.no_folder", "a folder's name is too long");
  return path;
}

std::string flag_letters(const std::vector<std::string>& flags) {
  static constexpr std::array<std::pair<std::string_view, char>, 6> kLetters = {{{"\\Draft", 'D'},
                                                                                 {"\\Flagged", 'F'},
                                                                                 {"$Forwarded", 'P'},
                                                                                 {"\\Answered", 'R'},
                                                                                 {"\\Seen", 'S'},
                                                                                 {"\\Deleted", 'T'}}};
  std::string letters;
  for (const auto& [word, letter] : kLetters)
    if (std::ranges::any_of(flags, [&, name = word](const std::string& flag) { return equal_folded(flag, name); }))
      letters += letter;
  return letters;
}

FileName parse_file_name(std::string_view name) {
  FileName out;
  const std::size_t info = name.find(":2,");
  out.base = name.substr(0, info);
  if (info != std::string_view::npos) out.flags = name.substr(info + 3);
  out.size = size_field(out.base, ",S=");
  out.wire_size = size_field(out.base, ",W=");
  const auto seconds = to_number<std::int64_t>(name.substr(0, std::min(name.find('.'), name.size())));
  constexpr std::int64_t kPlausible = 100'000'000;  // 1973; smaller numbers are no time
  if (seconds && *seconds > kPlausible && *seconds < (std::int64_t{1} << 40))
    out.delivered = WallTime(std::chrono::seconds(*seconds));
  return out;
}

std::string with_flag(std::string_view name, char flag) {
  const FileName parts = parse_file_name(name);
  std::string letters(parts.flags);
  if (letters.find(flag) == std::string::npos) letters.insert(std::ranges::upper_bound(letters, flag), flag);
  return fmt::format("{}:2,{}", parts.base, letters);
}

std::string unique_id(std::string_view base) {
  const bool fits = !base.empty() && base.size() <= kMaxUidl &&
                    std::ranges::all_of(base, [](char c) { return c >= 0x21 && c <= 0x7E; });
  return fits ? std::string(base) : "h." + stable_hash(base);
}

Result<Place> Place::parse(std::string_view token) {
  Place place;
  const auto bad = [] { return fault("store.token", "not a token of this store"); };
  const std::size_t tab = token.find('\t');
  if (tab == std::string_view::npos) return bad();
  place.dir = token.substr(0, tab);
  place.name = token.substr(tab + 1);
  place.base = place.name.substr(0, place.name.find(",S="));
  // It came back from our own spool; still, no token may lead out of the root.
  const bool inside =
      !place.dir.empty() && !place.dir.starts_with('/') &&
      std::ranges::none_of(split(place.dir, '/'), [](auto part) { return part == ".." || part == "."; });
  const bool named = !place.base.empty() && !place.base.starts_with('.') && place.name.find('/') == std::string::npos;
  return inside && named ? Result<Place>(std::move(place)) : bad();
}

}  // namespace postern::maildir
