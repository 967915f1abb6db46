// Mail domains and addresses, checked once at the edge and typed from then on.
//
// A Domain holds the form that DNS, lookups and comparison want: lower-case ASCII, A-labels for an internationalised
// name (RFC 5890), or an address literal. An Address is a local part and a domain, or one of two special values: the
// null reverse path (the default value) and `postmaster` without a domain. The local part is kept unquoted, so that
// "joe"@example.org and joe@example.org are equal as RFC 5321 §4.1.2 wants; to_string() quotes where that is needed.
//
// Nothing here throws apart from bad_alloc; a text that does not parse gives a SyntaxFault, whose text is safe for a
// 501. An ordinary address is parsed in one pass and allocates its two strings only. Values; any thread.
//
// RFC: 5321 §4.1.2, §4.1.3, §4.5.3.1; 6531 (UTF-8 local parts, U-labels); 5233 (sub-addresses).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "postern/endpoint.h"

namespace postern {

inline constexpr std::size_t kMaxLocalPart = 64;  ///< octets; RFC 5321 §4.5.3.1.1
inline constexpr std::size_t kMaxDomain = 255;    ///< octets; RFC 5321 §4.5.3.1.2
inline constexpr std::size_t kMaxPath = 256;      ///< octets with brackets; RFC 5321 §4.5.3.1.3
inline constexpr std::size_t kMaxLabel = 63;      ///< octets of one label; RFC 1035 §2.3.4

/// Why a text is not what it should be. `what` is a fixed phrase that may be shown to a peer ("the domain has an empty
/// label"); `offset` is the octet of the parsed text at which that was found.
struct SyntaxFault {
  std::string_view what;
  std::size_t offset = 0;
  bool too_long = false;          ///< a limit was passed (553/501 5.1.x against 5.5.2 is the caller's choice)
  std::string to_string() const;  ///< "the domain has an empty label (at octet 7)"
};

template <class T>
using Parsed = std::expected<T, SyntaxFault>;

/// A validated mail domain. The default value is empty: no domain.
class Domain {
 public:
  Domain() = default;

  struct Options {
    bool allow_utf8 = true;     ///< U-labels are turned into A-labels (RFC 5891); else a syntax fault
    bool allow_literal = true;  ///< [192.0.2.1], [IPv6:2001:db8::1]
  };
  /// A whole domain name or address literal, without a trailing dot. Underscores are let through: real senders have
  /// them.
  static Parsed<Domain> parse(std::string_view text, Options options);
  static Parsed<Domain> parse(std::string_view text) { return parse(text, Options{}); }
  static Domain literal(const IpAddress& address);

  bool empty() const { return text_.empty(); }
  bool is_literal() const { return !text_.empty() && text_.front() == '['; }
  std::optional<IpAddress> address() const;  ///< of a literal

  /// Lower-case ASCII: "xn--bcher-kva.example" or "[IPv6:2001:db8::1]".
  const std::string& ascii() const { return text_; }
  const std::string& to_string() const { return text_; }
  /// With U-labels, "bücher.example"; the ASCII form when it has none or they do not convert.
  std::string unicode() const;

  /// Whether this is `parent` or a name below it. Never true for literals, unless equal.
  bool is_within(const Domain& parent) const;
  /// What follows the first label; empty at the last label and for literals.
  std::string_view parent() const;

  auto operator<=>(const Domain&) const = default;

 private:
  std::string text_;
};

/// A mailbox address, the null reverse path (default value), or `postmaster` without a domain.
class Address {
 public:
  Address() = default;  ///< the null reverse path

  struct Options {
    bool allow_utf8 = true;                      ///< UTF-8 in local part and domain (SMTPUTF8)
    bool allow_postmaster = false;               ///< `postmaster` alone, in any case (RFC 5321 §4.5.1)
    std::size_t max_local_part = kMaxLocalPart;  ///< widen for senders with long VERP local parts
  };
  /// A whole addr-spec, "user@example.org" or "\"odd name\"@[192.0.2.1]"; no brackets, comments or white space.
  static Parsed<Address> parse(std::string_view text, Options options);
  static Parsed<Address> parse(std::string_view text) { return parse(text, Options{}); }
  /// From parts; `local` is unquoted. Fails on what could not be written in an SMTP command.
  static Parsed<Address> make(std::string_view local, Domain domain);

  bool is_null() const { return local_.empty() && domain_.empty(); }
  bool is_bare_postmaster() const { return domain_.empty() && !local_.empty(); }
  /// Local part "postmaster" in any case, with or without a domain (RFC 5321 §4.5.1).
  bool is_postmaster() const;

  const std::string& local() const { return local_; }  ///< unquoted; may hold any printable octet, and UTF-8
  const Domain& domain() const { return domain_; }
  bool needs_smtputf8() const { return utf8_; }  ///< the local part is not ASCII (a domain never forces it)

  /// As it goes on the wire, local part quoted where needed: "user@example.org"; "" for the null path.
  std::string to_string() const;
  void append_to(std::string& out) const;  ///< to_string(), without a new string
  std::string path() const;                ///< "<user@example.org>", "<>"
  std::string display() const;             ///< for people: the domain with U-labels

  /// The sub-address after the first of `delimiters` (not at the local part's start): "news" of user+news@example.org.
  std::string_view tag(std::string_view delimiters = "+") const;
  /// The local part without its sub-address and delimiter.
  std::string_view base(std::string_view delimiters = "+") const;
  Address without_tag(std::string_view delimiters = "+") const;
  Address with_domain(Domain domain) const;

  /// Domain without regard to case (it is kept in lower case), local part octet by octet.
  auto operator<=>(const Address&) const = default;

 private:
  std::string local_;
  Domain domain_;
  bool utf8_ = false;
};

/// Options of parse_path(). The defaults are those of RCPT TO before SMTPUTF8 was asked for.
struct PathOptions {
  bool allow_utf8 = false;              ///< SMTPUTF8 in effect
  bool allow_missing_brackets = false;  ///< `MAIL FROM: user@example.org` of old clients; also blanks before the path
  bool allow_null = false;              ///< <>, in MAIL FROM only
  bool allow_postmaster = false;        ///< <postmaster>, in RCPT TO only
  std::size_t max_local_part = kMaxLocalPart;
};

/// What parse_path() found.
struct Path {
  Address address;            ///< is_null() for <>
  std::size_t length = 0;     ///< octets of the text that were the path, with leading blanks; parameters follow
  bool source_route = false;  ///< "@a,@b:" stood before it and was ignored
};

/// Parses the SMTP path at the start of `text`: what follows `MAIL FROM:` or `RCPT TO:`, with any parameters behind it.
///
/// Shape:  the path ends at '>' (or, without brackets, at a blank); the next octet must be a blank or the end.
/// Errors: SyntaxFault with the octet's offset in `text`.
/// RFC:    5321 §4.1.2 (Path), App. C (source routes: accepted, stripped), §4.5.3.1.3 (256 octets).
Parsed<Path> parse_path(std::string_view text, const PathOptions& options = {});

/// Whether `text` is well-formed UTF-8 without surrogates and overlong forms (RFC 3629).
bool is_valid_utf8(std::string_view text);

}  // namespace postern

template <>
struct std::hash<postern::Domain> {
  std::size_t operator()(const postern::Domain& domain) const noexcept {
    return std::hash<std::string>{}(domain.ascii());
  }
};

template <>
struct std::hash<postern::Address> {
  std::size_t operator()(const postern::Address& address) const noexcept {
    return std::hash<std::string>{}(address.local()) * 31 + std::hash<std::string>{}(address.domain().ascii());
  }
};
