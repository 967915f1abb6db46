// Questions and answers of effects as texts of a trail, both ways: TRAIL.md, "Effects", is their contract.
//
// A text is made so that it can be read by people and read back exactly. What does not fit an entry (Trail::kMaxText)
// is cut in a way that no reader takes for the whole. Readers give nothing for what is no such text.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/trail_secrets.h"
#include "postern/auth.h"
#include "postern/database.h"
#include "postern/dns.h"
#include "postern/http.h"
#include "postern/key_value.h"

namespace postern {

/// A question that is longer than an entry's text: its beginning, its length and its hash.
std::string fit_question(std::string text);
/// An answer that is longer: cut and marked.
std::string fit_answer(std::string text);

/// "error http.timeout: detail"; and back.
std::string fault_text(const Fault& fault);
std::optional<Fault> parse_fault(std::string_view text);

/// "dns.mx".
std::string dns_effect(RecordType type);
/// "10 mx.example.org; 20 mx2.example.org [ad, canonical example.net]", "nxdomain".
std::string dns_text(const DnsAnswer& answer, std::string_view question);
std::optional<DnsAnswer> parse_dns(std::string_view text, std::string_view question, RecordType type);

std::string_view domain_text(DomainKind kind);  ///< "local", "relay", "foreign"
std::optional<DomainKind> parse_domain_kind(std::string_view text);

/// How the directory knows an address: its domain, and what it found.
struct LocatedAddress {
  DomainKind domain = DomainKind::kForeign;
  AddressLookup lookup;
};
/// Appends "account bob", "wild alias a@x.example, b@y.example", "nobody", "foreign", "relay", "temporary".
void append_lookup(std::string& out, DomainKind domain, const AddressLookup& lookup);
std::optional<LocatedAddress> parse_lookup(std::string_view text);

/// "GET https://example.org/"; with a body " [5 octets, sha256 2cf2…]" behind it.
std::string http_question(const HttpRequest& request);
/// Status, type and size, fields, an empty line, body: much as it came.
std::string http_text(const HttpResponse& response, std::string_view asked_url);
/// Nothing also when the body is not whole.
std::optional<HttpResponse> parse_http(std::string_view text, std::string_view asked_url);

/// "users: SELECT 1 FROM t WHERE a = ? [\"x\", 5, <secret>]".
std::string sql_question(std::string_view database, std::string_view statement,
                         const std::vector<SqlArgument>& arguments);
/// {"columns":["a"],"rows":[[1],["x"]],"changed":0}
std::string sql_text(const SqlRows& rows);
std::optional<SqlRows> parse_sql(std::string_view text);

/// "kv.get", "kv.set", "kv.incr", "kv.remove".
std::string_view kv_effect(KeyValueRequest::Kind kind);
/// memory "key" = "value" for 60s
std::string kv_question(std::string_view store, const KeyValueRequest& request);
std::string kv_text(const KeyValueRequest& request, const KeyValueReply& reply);
/// Nothing also when the value is secret.
std::optional<KeyValueReply> parse_kv(KeyValueRequest::Kind kind, std::string_view text);

}  // namespace postern
