// Address and the SMTP path. One scanner for the local part serves both; the domain's end is found by the caller, who
// knows what may follow it.
#include "postern/address.h"

#include "core/mail/chars.h"

namespace postern {
namespace {

using mail::iequals;
using mail::is_8bit;
using mail::is_atext;
using mail::is_blank;

std::unexpected<SyntaxFault> syntax(std::string_view what, std::size_t offset, bool too_long = false) {
  return std::unexpected(SyntaxFault{what, offset, too_long});
}

std::unexpected<SyntaxFault> shifted(const SyntaxFault& fault, std::size_t by) {
  return syntax(fault.what, fault.offset + by, fault.too_long);
}

struct LocalPart {
  std::size_t end = 0;  // in the scanned text
  bool utf8 = false;
};

// Steps over one UTF-8 character at `at`; 0 octets when it is ill-formed.
Parsed<std::size_t> utf8_step(std::string_view text, std::size_t at, bool allowed) {
  if (!allowed) return syntax("UTF-8 in the local part needs SMTPUTF8", at);
  const std::size_t length = mail::utf8_length(text.substr(at));
  if (length == 0) return syntax("the local part is not valid UTF-8", at);
  return length;
}

// Quoted-string of RFC 5321 §4.1.2, from its opening quote at `at`. The unquoted text goes to `out`, if there is one.
Parsed<LocalPart> scan_quoted(std::string_view text, std::size_t at, bool allow_utf8, std::string* out) {
  LocalPart local;
  for (std::size_t i = at + 1; i < text.size();) {
    const char c = text[i];
    if (c == '"') {
      local.end = i + 1;
      return local;
    }
    if (is_8bit(c)) {
      const Parsed<std::size_t> length = utf8_step(text, i, allow_utf8);
      if (!length) return std::unexpected(length.error());
      if (out) out->append(text, i, *length);
      local.utf8 = true;
      i += *length;
      continue;
    }
    if (c == '\\') ++i;
    if (i >= text.size()) break;
    if (text[i] < 0x20 || text[i] == 0x7f) return syntax("the quoted local part has a control character", i);
    if (is_8bit(text[i])) return syntax("a backslash must stand before an ASCII character", i);
    if (out) *out += text[i];
    ++i;
  }
  return syntax("the quoted local part lacks its closing quote", text.size());
}

// Dot-string of RFC 5321 §4.1.2, with UTF-8 (RFC 6531 §3.3).
Parsed<LocalPart> scan_dotted(std::string_view text, std::size_t at, bool allow_utf8, std::string* out) {
  LocalPart local;
  std::size_t i = at;
  bool after_dot = true;
  while (i < text.size()) {
    const char c = text[i];
    if (c == '.') {
      if (after_dot)
        return syntax(i == at ? "the local part starts with a dot" : "the local part has two dots in a row", i);
      after_dot = true;
      ++i;
      continue;
    }
    if (is_8bit(c)) {
      const Parsed<std::size_t> length = utf8_step(text, i, allow_utf8);
      if (!length) return std::unexpected(length.error());
      local.utf8 = true;
      i += *length;
    } else if (is_atext(c)) {
      ++i;
    } else {
      break;
    }
    after_dot = false;
  }
  if (i == at) return syntax("the local part is missing", at);
  if (after_dot) return syntax("the local part ends with a dot", i - 1);
  if (out) out->assign(text, at, i - at);
  local.end = i;
  return local;
}

Parsed<LocalPart> scan_local(std::string_view text, std::size_t at, bool allow_utf8, std::string* out) {
  const bool quoted = at < text.size() && text[at] == '"';
  return quoted ? scan_quoted(text, at, allow_utf8, out) : scan_dotted(text, at, allow_utf8, out);
}

bool is_dot_string(std::string_view local) {
  bool after_dot = true;
  for (char c : local) {
    if (c == '.' ? after_dot : !is_atext(c) && !is_8bit(c)) return false;
    after_dot = c == '.';
  }
  return !after_dot;
}

std::size_t written_size(std::string_view local) {
  if (is_dot_string(local)) return local.size();
  std::size_t size = local.size() + 2;
  for (char c : local) size += c == '"' || c == '\\' ? 1 : 0;
  return size;
}

void append_quoted(std::string& out, std::string_view local) {
  out += '"';
  for (char c : local) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

// The route of RFC 5321 App. C, "@a,@b:", from its first '@'; gives the octet behind the colon.
Parsed<std::size_t> skip_route(std::string_view text, std::size_t at, bool allow_utf8) {
  for (;;) {
    if (at >= text.size() || text[at] != '@') return syntax("the source route expects '@'", at);
    std::size_t end = at + 1;
    if (end < text.size() && text[end] == '[') end = text.find(']', end);
    end = text.find_first_of(",:> \t", end);
    if (end == std::string_view::npos || (text[end] != ',' && text[end] != ':')) {
      return syntax("the source route lacks its colon", std::min(end, text.size()));
    }
    const Parsed<Domain> hop = Domain::parse(text.substr(at + 1, end - at - 1), {.allow_utf8 = allow_utf8});
    if (!hop) return shifted(hop.error(), at + 1);
    at = end + 1;
    if (text[end] == ':') return at;
  }
}

}  // namespace

Parsed<Address> Address::parse(std::string_view text, Options options) {
  Address address;
  const Parsed<LocalPart> local = scan_local(text, 0, options.allow_utf8, &address.local_);
  if (!local) return std::unexpected(local.error());
  if (local->end == text.size()) {
    if (options.allow_postmaster && iequals(text, "postmaster")) return address;
    return syntax("the address lacks '@' and a domain", text.size());
  }
  if (text[local->end] != '@') return syntax("the local part has a character that must be quoted", local->end);
  if (written_size(address.local_) > options.max_local_part) {
    return syntax("the local part is too long", options.max_local_part, true);
  }
  Parsed<Domain> domain = Domain::parse(text.substr(local->end + 1), {.allow_utf8 = options.allow_utf8});
  if (!domain) return shifted(domain.error(), local->end + 1);
  address.domain_ = std::move(*domain);
  address.utf8_ = local->utf8;
  return address;
}

Parsed<Address> Address::make(std::string_view local, Domain domain) {
  if (domain.empty()) return syntax("the domain is missing", local.size());
  Address address;
  for (std::size_t i = 0; i < local.size();) {
    const std::size_t length = mail::utf8_length(local.substr(i));
    if (length == 0) return syntax("the local part is not valid UTF-8", i);
    if (length == 1 && (local[i] < 0x20 || local[i] == 0x7f))
      return syntax("the local part has a control character", i);
    address.utf8_ = address.utf8_ || length > 1;
    i += length;
  }
  if (written_size(local) > kMaxPath) return syntax("the local part is too long", kMaxPath, true);
  address.local_ = local;
  address.domain_ = std::move(domain);
  return address;
}

bool Address::is_postmaster() const {
  return iequals(local_, "postmaster");
}

void Address::append_to(std::string& out) const {
  if (is_null()) return;
  if (is_dot_string(local_)) {
    out += local_;
  } else {
    append_quoted(out, local_);
  }
  if (domain_.empty()) return;
  out += '@';
  out += domain_.ascii();
}

std::string Address::to_string() const {
  std::string out;
  out.reserve(local_.size() + domain_.ascii().size() + 3);
  append_to(out);
  return out;
}

std::string Address::path() const {
  std::string out = "<";
  append_to(out);
  out += '>';
  return out;
}

std::string Address::display() const {
  std::string out = to_string();
  if (domain_.empty()) return out;
  out.resize(out.size() - domain_.ascii().size());
  return out += domain_.unicode();
}

std::string_view Address::tag(std::string_view delimiters) const {
  const std::size_t at = local_.find_first_of(delimiters, 1);
  return at == std::string::npos ? std::string_view{} : std::string_view(local_).substr(at + 1);
}

std::string_view Address::base(std::string_view delimiters) const {
  return std::string_view(local_).substr(0, local_.find_first_of(delimiters, 1));
}

Address Address::without_tag(std::string_view delimiters) const {
  Address other;
  other.local_ = base(delimiters);
  other.domain_ = domain_;
  for (char c : other.local_) other.utf8_ = other.utf8_ || is_8bit(c);
  return other;
}

Address Address::with_domain(Domain domain) const {
  Address other = *this;
  other.domain_ = std::move(domain);
  return other;
}

namespace {

// The address of a path, from `at`; gives the octet behind it, a closing bracket not included.
Parsed<std::size_t> path_address(std::string_view text, std::size_t at, const PathOptions& options, Address& out) {
  const Parsed<LocalPart> local = scan_local(text, at, options.allow_utf8, nullptr);
  if (!local) return std::unexpected(local.error());
  // Neither a domain nor an address literal can hold these, so that the first of them ends the address.
  const std::size_t end = std::min(text.find_first_of("> \t", local->end), text.size());
  Parsed<Address> address =
      Address::parse(text.substr(at, end - at), {options.allow_utf8, options.allow_postmaster, options.max_local_part});
  if (!address) return shifted(address.error(), at);
  out = std::move(*address);
  if (written_size(out.local()) + out.domain().ascii().size() + 3 > kMaxPath) {
    return syntax("the path is longer than 256 octets", at + kMaxPath, true);
  }
  return end;
}

}  // namespace

Parsed<Path> parse_path(std::string_view text, const PathOptions& options) {
  std::size_t at = 0;
  while (options.allow_missing_brackets && at < text.size() && is_blank(text[at])) ++at;
  const bool brackets = at < text.size() && text[at] == '<';
  if (!brackets && !options.allow_missing_brackets) return syntax("the address must stand in angle brackets", at);
  if (brackets) ++at;
  if (at >= text.size() || is_blank(text[at])) return syntax("the address is missing", at);
  Path path;
  if (brackets && text[at] == '>') {
    if (!options.allow_null) return syntax("the null path is not allowed here", at);
  } else {
    if (text[at] == '@') {
      const Parsed<std::size_t> behind = skip_route(text, at, options.allow_utf8);
      if (!behind) return std::unexpected(behind.error());
      at = *behind;
      path.source_route = true;
    }
    const Parsed<std::size_t> end = path_address(text, at, options, path.address);
    if (!end) return std::unexpected(end.error());
    at = *end;
    if (brackets && (at == text.size() || text[at] != '>')) return syntax("the closing angle bracket is missing", at);
  }
  path.length = at + (brackets ? 1 : 0);
  if (path.length < text.size() && !is_blank(text[path.length])) {
    return syntax("a space must follow the path", path.length);
  }
  return path;
}

}  // namespace postern
