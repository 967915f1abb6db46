#include "core/pipeline/effect_texts.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cmath>

#include "core/dns/name.h"
#include "postern/schema.h"
#include "postern/text.h"
#include "postern/trail.h"

namespace postern {
namespace {

constexpr std::size_t kHashDigits = 32;  // of SHA-256: enough to tell two questions apart

std::string hash_of(std::string_view octets) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (!EVP_Digest(octets.data(), octets.size(), digest.data(), &size, EVP_sha256(), nullptr)) return {};
  return hex_encode({reinterpret_cast<const char*>(digest.data()), size}).substr(0, kHashDigits);
}

/// In quotes; quotes and backslashes behind a backslash, what is not printable ASCII as \DDD (as in RFC 1035 §5.1).
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out.append(1, '\\').append(1, c);
    else if (octet < 0x20 || octet >= 0x7f)
      fmt::format_to(std::back_inserter(out), "\\{:03}", octet);
    else
      out += c;
  }
  out += '"';
}

/// Reads such a text at the start of `text` and takes it off.
std::optional<std::string> take_quoted(std::string_view& text) {
  if (!text.starts_with('"')) return std::nullopt;
  std::string out;
  for (std::size_t at = 1; at < text.size(); ++at) {
    char c = text[at];
    if (c == '"') {
      text.remove_prefix(at + 1);
      return out;
    }
    if (c == '\\') {
      if (++at >= text.size()) return std::nullopt;
      c = text[at];
      if (is_ascii_digit(c)) {
        const auto number = to_number<unsigned>(text.substr(at, 3), 0, 255);
        if (!number || at + 3 > text.size()) return std::nullopt;
        c = static_cast<char>(*number);
        at += 2;
      }
    }
    out += c;
  }
  return std::nullopt;
}

// ---- dns ----

struct RecordText {
  std::string& out;
  void operator()(const AddressRecord& r) const { out += r.to_string(); }
  void operator()(const MxRecord& r) const {
    fmt::format_to(std::back_inserter(out), "{} {}", r.preference, r.exchange);
  }
  void operator()(const TxtRecord& r) const { append_quoted(out, r.text); }
  void operator()(const NameRecord& r) const { out += r.name; }
  void operator()(const SrvRecord& r) const {
    fmt::format_to(std::back_inserter(out), "{} {} {} {}", r.priority, r.weight, r.port, r.target);
  }
  void operator()(const TlsaRecord& r) const {
    fmt::format_to(std::back_inserter(out), "{} {} {} {}", r.usage, r.selector, r.matching, hex_encode(r.data));
  }
  void operator()(const SoaRecord& r) const {
    fmt::format_to(std::back_inserter(out), "{} {} {} {}", r.primary, r.mailbox, r.serial, r.minimum);
  }
};

/// The words of one record: split at blanks, a number each where one is expected.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) {}
  template <class T>
  bool number(T& out) {
    const auto value = to_number<T>(take_until(text_, ' '));
    if (value) out = *value;
    return value.has_value();
  }
  bool name(std::string& out) {
    out = take_until(text_, ' ');
    return !out.empty();
  }
  bool octets(std::string& out) {
    const auto value = hex_decode(take_until(text_, ' '));
    if (value) out = *value;
    return value.has_value();
  }
  bool end() const { return text_.empty(); }

 private:
  std::string_view text_;
};

std::optional<DnsRecord> parse_words(std::string_view text, RecordType type) {
  Words in(text);
  switch (type) {
    case RecordType::kA:
    case RecordType::kAaaa: {
      const auto address = IpAddress::parse(text);
      return address ? std::optional<DnsRecord>(*address) : std::nullopt;
    }
    case RecordType::kMx: {
      MxRecord r;
      if (in.number(r.preference) && in.name(r.exchange) && in.end()) return r;
      return std::nullopt;
    }
    case RecordType::kSrv: {
      SrvRecord r;
      if (in.number(r.priority) && in.number(r.weight) && in.number(r.port) && in.name(r.target) && in.end()) return r;
      return std::nullopt;
    }
    case RecordType::kTlsa: {
      TlsaRecord r;
      if (in.number(r.usage) && in.number(r.selector) && in.number(r.matching) && in.octets(r.data) && in.end())
        return r;
      return std::nullopt;
    }
    case RecordType::kSoa: {
      SoaRecord r;
      if (in.name(r.primary) && in.name(r.mailbox) && in.number(r.serial) && in.number(r.minimum) && in.end()) return r;
      return std::nullopt;
    }
    case RecordType::kNs:
    case RecordType::kCname:
    case RecordType::kPtr: {
      NameRecord r;
      if (in.name(r.name) && in.end()) return r;
      return std::nullopt;
    }
    case RecordType::kTxt:
      break;
  }
  return std::nullopt;
}

/// Takes one record off: a quoted text, or what stands before the next separator.
std::optional<DnsRecord> take_record(std::string_view& text, RecordType type) {
  if (type == RecordType::kTxt) {
    auto read = take_quoted(text);
    return read ? std::optional<DnsRecord>(TxtRecord{std::move(*read)}) : std::nullopt;
  }
  const std::size_t end = std::min(text.find("; "), text.find(" ["));
  const auto record = parse_words(text.substr(0, end), type);
  text.remove_prefix(std::min(end, text.size()));
  return record;
}

std::optional<DnsStatus> parse_status(std::string_view word) {
  for (int i = 0; i <= static_cast<int>(DnsStatus::kOverloaded); ++i)
    if (const auto status = static_cast<DnsStatus>(i); to_string(status) == word) return status;
  return std::nullopt;
}

bool parse_attributes(std::string_view text, DnsAnswer& answer) {
  if (text.empty()) return true;
  if (!text.starts_with(" [") || !text.ends_with(']')) return false;
  text = text.substr(2, text.size() - 3);
  if (text == "ad" || text.starts_with("ad, ")) {
    answer.authenticated = true;
    text.remove_prefix(std::min<std::size_t>(4, text.size()));
  }
  if (text.empty()) return true;
  constexpr std::string_view kCanonical = "canonical ";
  if (!text.starts_with(kCanonical)) return false;
  answer.canonical_name = text.substr(kCanonical.size());
  return true;
}

std::string own_name(std::string_view question) {
  return dns::normalise_name(question).value_or(std::string(question));
}

// ---- directory ----

/// Takes an address off, up to the next ", " that stands in no quoted local part.
std::optional<Address> take_address(std::string_view& text) {
  bool quoted = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '\\' && quoted)
      ++at;
    else if (text[at] == '"')
      quoted = !quoted;
    else if (!quoted && text.substr(at).starts_with(", "))
      break;
  }
  auto address = Address::parse(text.substr(0, at), {.allow_postmaster = true, .max_local_part = Trail::kMaxText});
  text.remove_prefix(std::min(text.size(), at + (at < text.size() ? 2 : 0)));
  if (!address) return std::nullopt;
  return std::move(*address);
}

}  // namespace

std::string fit_question(std::string text) {
  if (text.size() <= Trail::kMaxText) return text;
  const std::string behind = fmt::format(" … [{} octets, sha256 {}]", text.size(), hash_of(text));
  text.resize(Trail::kMaxText - behind.size());
  return text + behind;
}

std::string fit_answer(std::string text) {
  if (text.size() <= Trail::kMaxText) return text;
  constexpr std::string_view kBehind = " … [cut]";
  text.resize(Trail::kMaxText - kBehind.size());
  return text.append(kBehind);
}

std::string fault_text(const Fault& fault) {
  std::string text = "error " + fault.code + ": " + fault.detail;
  if (text.size() > Trail::kMaxText) text.resize(Trail::kMaxText);  // a code is always whole
  return text;
}

std::optional<Fault> parse_fault(std::string_view text) {
  if (!text.starts_with("error ")) return std::nullopt;
  text.remove_prefix(6);
  const std::size_t colon = text.find(':');
  Fault out{std::string(text.substr(0, colon)), ""};
  if (out.code.empty() || out.code.find(' ') != std::string::npos) return std::nullopt;
  if (colon != std::string_view::npos) out.detail = trim_left(text.substr(colon + 1));
  return out;
}

std::string dns_effect(RecordType type) {
  return "dns." + to_lower(to_string(type));
}

std::string dns_text(const DnsAnswer& answer, std::string_view question) {
  std::string out;
  for (const DnsRecord& record : answer.records) {
    if (!out.empty()) out += "; ";
    std::visit(RecordText{out}, record);
  }
  if (!answer.ok() || answer.records.empty()) out = to_string(answer.status);
  const bool elsewhere = !answer.canonical_name.empty() && answer.canonical_name != own_name(question);
  if (!answer.authenticated && !elsewhere) return out;
  out += answer.authenticated ? " [ad" : " [";
  if (elsewhere) out.append(answer.authenticated ? ", canonical " : "canonical ").append(answer.canonical_name);
  return out += ']';
}

std::optional<DnsAnswer> parse_dns(std::string_view text, std::string_view question, RecordType type) {
  DnsAnswer answer;
  answer.canonical_name = own_name(question);
  if (const auto status = parse_status(text.substr(0, text.find(' ')))) {
    answer.status = *status;
    text.remove_prefix(std::min(text.find(' '), text.size()));
    return parse_attributes(text, answer) ? std::optional(std::move(answer)) : std::nullopt;
  }
  answer.status = DnsStatus::kOk;
  for (;;) {
    auto record = take_record(text, type);
    if (!record) return std::nullopt;
    answer.records.push_back(std::move(*record));
    if (!text.starts_with("; ")) break;
    text.remove_prefix(2);
  }
  return parse_attributes(text, answer) ? std::optional(std::move(answer)) : std::nullopt;
}

std::string_view domain_text(DomainKind kind) {
  return kind == DomainKind::kLocal ? "local" : kind == DomainKind::kRelay ? "relay" : "foreign";
}

std::optional<DomainKind> parse_domain_kind(std::string_view text) {
  for (const DomainKind kind : {DomainKind::kLocal, DomainKind::kRelay, DomainKind::kForeign})
    if (text == domain_text(kind)) return kind;
  return std::nullopt;
}

void append_lookup(std::string& out, DomainKind domain, const AddressLookup& lookup) {
  switch (lookup.kind) {
    case AddressLookup::Kind::kAccount:
      out.append("account ").append(lookup.account);
      return;
    case AddressLookup::Kind::kNoSuchUser:
      out += "nobody";
      return;
    case AddressLookup::Kind::kTemporary:
      out += "temporary";
      return;
    case AddressLookup::Kind::kForeign:
      // A domain of ours of which the directory itself knows nothing.
      out += domain == DomainKind::kLocal ? "unknown" : domain_text(domain);
      return;
    case AddressLookup::Kind::kAlias:
      break;
  }
  out += lookup.wild ? "wild alias " : "alias ";
  for (std::size_t i = 0; i < lookup.targets.size(); ++i) {
    if (i) out += ", ";
    lookup.targets[i].append_to(out);
  }
}

std::optional<LocatedAddress> parse_lookup(std::string_view text) {
  LocatedAddress out;
  out.domain = DomainKind::kLocal;
  if (text == "foreign" || text == "relay") {
    out.domain = text == "relay" ? DomainKind::kRelay : DomainKind::kForeign;
    return out;
  }
  if (text == "unknown") return out;
  if (text == "nobody" || text == "temporary") {
    out.lookup.kind = text == "nobody" ? AddressLookup::Kind::kNoSuchUser : AddressLookup::Kind::kTemporary;
    return out;
  }
  constexpr std::string_view kAccount = "account ", kWild = "wild ", kAlias = "alias ";
  if (text.starts_with(kAccount)) {
    out.lookup.kind = AddressLookup::Kind::kAccount;
    out.lookup.account = text.substr(kAccount.size());
    return out;
  }
  out.lookup.wild = text.starts_with(kWild);
  if (out.lookup.wild) text.remove_prefix(kWild.size());
  if (!text.starts_with(kAlias)) return std::nullopt;
  text.remove_prefix(kAlias.size());
  out.lookup.kind = AddressLookup::Kind::kAlias;
  while (!text.empty()) {
    auto target = take_address(text);
    if (!target) return std::nullopt;
    out.lookup.targets.push_back(std::move(*target));
  }
  return out;
}

// ---- http ----

std::string http_question(const HttpRequest& request) {
  std::string out = request.method + " " + url_without_secrets(request.url);
  if (!request.body.empty())
    fmt::format_to(std::back_inserter(out), " [{} octets, sha256 {}]", request.body.size(), hash_of(request.body));
  return fit_question(std::move(out));
}

std::string http_text(const HttpResponse& response, std::string_view asked_url) {
  std::string out = fmt::format("{} {} {} octets", response.status,
                                response.content_type.empty() ? "-" : response.content_type, response.body.size());
  if (response.url != asked_url && !response.url.empty()) out += " from " + url_without_secrets(response.url);
  for (const HttpHeader& field : response.headers) {
    out.append("\n").append(field.name).append(": ");
    if (names_secret(field.name))
      out += kSecretText;
    else
      out += equal_folded(field.name, "location") ? url_without_secrets(field.value) : field.value;
  }
  // A body that is cut is shorter than the first line says; no more of it is copied than a trail may take.
  return out.append("\n\n").append(std::string_view(response.body).substr(0, Trail::kMaxText));
}

std::optional<HttpResponse> parse_http(std::string_view text, std::string_view asked_url) {
  HttpResponse out;
  std::string_view first = take_until(text, '\n');
  const auto status = to_number<int>(take_until(first, ' '), 100, 599);
  if (!status) return std::nullopt;
  out.status = *status;
  out.content_type = take_until(first, ' ');
  if (out.content_type == "-") out.content_type.clear();
  std::optional<std::size_t> size;  // a spec need not count
  if (!first.empty() && !first.starts_with("from ")) {
    size = to_number<std::size_t>(take_until(first, ' '));
    if (!size || take_until(first, ' ') != "octets") return std::nullopt;
  }
  out.url = asked_url;
  if (first.starts_with("from ")) out.url = first.substr(5);
  bool whole = false;  // the empty line behind the fields was there
  while (!text.empty()) {
    const std::string_view line = take_until(text, '\n');
    whole = line.empty();
    if (whole) break;
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) return std::nullopt;
    out.headers.push_back({std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
  }
  out.body = text;
  if (size && (!whole || *size != out.body.size())) return std::nullopt;
  return out;
}

// ---- kv ----

std::string_view kv_effect(KeyValueRequest::Kind kind) {
  static constexpr std::string_view kNames[] = {"kv.get", "kv.set", "kv.incr", "kv.remove"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string kv_question(std::string_view store, const KeyValueRequest& request) {
  std::string out(store);
  out += ' ';
  append_quoted(out, request.key);
  if (request.kind == KeyValueRequest::Kind::kSet) {
    out += " = ";
    if (request.secret)
      out += kSecretText;
    else
      append_quoted(out, request.value);
  }
  if (request.kind == KeyValueRequest::Kind::kIncrement) fmt::format_to(std::back_inserter(out), " {:+}", request.by);
  if (request.expiry) out += " for " + to_text(*request.expiry);
  return fit_question(std::move(out));
}

std::string kv_text(const KeyValueRequest& request, const KeyValueReply& reply) {
  switch (request.kind) {
    case KeyValueRequest::Kind::kGet: {
      if (!reply.value) return "nothing";
      if (request.secret) return std::string(kSecretText);
      std::string out;
      append_quoted(out, *reply.value);
      return fit_answer(std::move(out));
    }
    case KeyValueRequest::Kind::kSet:
      return "ok";
    case KeyValueRequest::Kind::kIncrement:
    case KeyValueRequest::Kind::kRemove:
      break;
  }
  return std::to_string(reply.number);
}

std::optional<KeyValueReply> parse_kv(KeyValueRequest::Kind kind, std::string_view text) {
  KeyValueReply out;
  switch (kind) {
    case KeyValueRequest::Kind::kGet:
      if (text == "nothing") return out;
      out.value = take_quoted(text);
      if (!out.value || !text.empty()) return std::nullopt;
      return out;
    case KeyValueRequest::Kind::kSet:
      return text == "ok" ? std::optional(out) : std::nullopt;
    case KeyValueRequest::Kind::kIncrement:
    case KeyValueRequest::Kind::kRemove:
      break;
  }
  const auto number = to_number<std::int64_t>(text);
  if (!number) return std::nullopt;
  out.number = *number;
  return out;
}

}  // namespace postern
