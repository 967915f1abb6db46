#include "api.h"

#include <algorithm>
#include <string>
#include <vector>

#include "objects.h"
#include "postern/diagnostics.h"

namespace postern::lua {
namespace {

// clang-format off
constexpr ApiMember kPostern[] = {
    {"match", "postern.match", "the matchers; only while scripts are loaded"},
    {"act", "postern.act", "the mailets; only while scripts are loaded"},
    {"pipeline", "fun(name: string, rules?: postern.rule[]): fun(rules: postern.rule[])", "declares a pipeline; every mail begins in \"root\""},
    {"on", "postern.on", "declares a hook"},
    {"waive", "fun(code: string, reason: string)", "silences a lint of `postern check`"},
    {"all", "fun(functions: table<any, function>): table<any, any>, table<any, any>", "runs functions at once: their first results and their errors, by key"},
    {"accept", "postern.verdict", "ends the hooks of this stage well"},
    {"reject", "fun(code: integer, enhanced: string, text?: string): postern.verdict", "refuses for good: 5xx"},
    {"defer", "fun(code: integer, enhanced: string, text?: string): postern.verdict", "refuses for now: 4xx"},
    {"disconnect", "fun(code: integer, enhanced: string, text?: string): postern.verdict", "refuses and ends the session"},
    {"discard", "fun(reason: string): postern.verdict", "accepts, and delivers to nobody; traced with its reason"},
    {"quarantine", "fun(reason: string): postern.verdict", "keeps the mail for an operator"},
    {"hold", "fun(duration: string|integer, reason?: string): postern.verdict",
     "keeps the mail a while: \"10m\", or seconds; postern queue show tells the reason"},
    {"ip", "fun(text: string): postern.ip?", "an IP address; nil for what is none"},
    {"random", "fun(low?: integer, high?: integer): number", "[0, 1), or a whole number within bounds"},
    {"counter", "fun(name: string, by?: integer)", "counts in the metrics"},
    {"dns", "postern.dns", "questions to the DNS"},
    {"log", "postern.log", "lines in the log"},
    {"clock", "postern.clock", "the time"},
    {"http", "postern.http", "requests over HTTP"},
    {"sql", "postern.sql", "questions to databases"},
    {"kv", "postern.kv", "counts and values that outlive a mail"},
    {"directory", "postern.directory", "accounts, aliases and domains"},
    {"secret", "fun(value: any): any", "the value, as <secret> in the trail"},
    {"re", "fun(pattern: string, flags?: string): postern.regex", "a regular expression (RE2); make it at the top of the script"},
    {"ipset", "postern.ipset_maker", "a set of addresses and networks"},
    {"domainset", "postern.domainset_maker", "a set of domains"},
    {"map", "postern.map", "tables out of files"},
    {"json", "postern.json", "RFC 8259"},
    {"base64", "postern.base64", "RFC 4648"},
    {"hex", "postern.hex", "hexadecimal"},
    {"hash", "postern.hash", "hashes"},
    {"time", "postern.time", "dates as texts"},
};
constexpr ApiMember kDns[] = {
    {"a", "fun(name: string): postern.dns_answer?, string?", "IPv4 addresses; nil and why when nobody could say"},
    {"aaaa", "fun(name: string): postern.dns_answer?, string?", "IPv6 addresses"},
    {"mx", "fun(name: string): postern.dns_answer?, string?", "{ preference, exchange }"},
    {"txt", "fun(name: string): postern.dns_answer?, string?", "texts"},
    {"ptr", "fun(ip: postern.ip|string): postern.dns_answer?, string?", "names of an address"},
    {"tlsa", "fun(name: string): postern.dns_answer?, string?", "{ usage, selector, matching, data }"},
    {"srv", "fun(name: string): postern.dns_answer?, string?", "{ priority, weight, port, target }"},
    {"ns", "fun(name: string): postern.dns_answer?, string?", "names of servers"},
    {"soa", "fun(name: string): postern.dns_answer?, string?", "{ primary }"},
    {"cname", "fun(name: string): postern.dns_answer?, string?", "what an alias stands for"},
};
constexpr ApiMember kLog[] = {
    {"debug", "fun(text: any)", "for whoever looks for a mistake"},
    {"info", "fun(text: any)", "what happened"},
    {"warn", "fun(text: any)", "what should not happen"},
    {"error", "fun(text: any)", "what somebody must mend"},
};
constexpr ApiMember kClock[] = {{"now", "fun(): number", "seconds since 1970"}};
constexpr ApiMember kHttp[] = {
    {"get", "fun(url: string, options?: table): postern.http_response?, string?", "options: headers, timeout, max_size; nil and a code when there is no answer"},
    {"post", "fun(url: string, options: table): postern.http_response?, string?", "options also body, content_type"},
};
constexpr ApiMember kHttpResponse[] = {
    {"status", "integer", "200"},
    {"ok", "boolean", "2xx"},
    {"body", "string", ""},
    {"content_type", "string", ""},
    {"headers", "table<string, string>", "names in lower case"},
};
constexpr ApiMember kSql[] = {{"query", "fun(database: string, statement: string, ...: any): table?, string?", "rows by column, and `changed`; ? for arguments"}};
constexpr ApiMember kKeyValue[] = {
    {"get", "fun(key: string, options?: table): string?, string?", "the value, or nil"},
    {"set", "fun(key: string, value: any, expiry?: string|integer): boolean?, string?", "true"},
    {"incr", "fun(key: string, by?: integer, expiry?: string|integer): integer?, string?", "the new number"},
    {"remove", "fun(key: string): integer?, string?", "how many there were"},
    {"store", "fun(name: string): postern.kv", "another store, with these as methods"},
};
constexpr ApiMember kDirectory[] = {
    {"user", "fun(address: string): string?, string?", "the account"},
    {"alias", "fun(address: string): string[]?, string?", "where it leads"},
    {"domain", "fun(name: string): \"local\"|\"relay\"|\"foreign\"", ""},
};
constexpr ApiMember kMap[] = {{"file", "fun(path: string): table<string, string>", "a file of `key,value` lines (.csv) or `key = \"value\"` lines (.toml)"}};
constexpr ApiMember kJson[] = {
    {"decode", "fun(text: string): any, string?", "the value; nil and why"},
    {"encode", "fun(value: any): string", "keys sorted"},
    {"array", "fun(table?: table): table", "a table that is an array even when it is empty"},
    {"null", "userdata", "null"},
};
constexpr ApiMember kCodec[] = {
    {"encode", "fun(text: string): string", "the text in this form"},
    {"decode", "fun(text: string): string?", "nil for what is not exactly this form"},
};
constexpr ApiMember kHash[] = {
    {"sha256", "fun(text: string, form?: \"hex\"|\"raw\"|\"base64\"): string", "SHA-256"},
    {"sha1", "fun(text: string, form?: \"hex\"|\"raw\"|\"base64\"): string", "SHA-1"},
    {"md5", "fun(text: string, form?: \"hex\"|\"raw\"|\"base64\"): string", "MD5"},
    {"hmac_sha256", "fun(key: string, text: string, form?: \"hex\"|\"raw\"|\"base64\"): string", "RFC 2104"},
    {"equal", "fun(a: string, b: string): boolean", "compares without telling by its time where they differ"},
};
constexpr ApiMember kTime[] = {
    {"parse_rfc5322", "fun(text: string): number?, integer?", "seconds since 1970, and the zone's minutes"},
    {"format_rfc5322", "fun(seconds: number): string", "a Date field's value, in UTC"},
    {"parse_rfc3339", "fun(text: string): number?", "seconds since 1970"},
    {"rfc3339", "fun(seconds: number): string", "in UTC"},
};
constexpr ApiMember kSession[] = {
    {"id", "string", "of the session, as the log has it"},
    {"client", "postern.client", "who is connected"},
    {"role", "\"mx\"|\"submission\"|\"submissions\"|\"lmtp\"|\"local\"", "of the listener"},
    {"listener", "string", "its name in the configuration"},
    {"ehlo", "string?", "the name that the client gave"},
    {"esmtp", "boolean", "EHLO or LHLO, not HELO"},
    {"auth", "postern.session_auth", "who has logged in"},
    {"tls", "postern.session_tls?", "nil without TLS"},
    {"proxy", "postern.ip?", "the trusted host that declared the client's address"},
    {"notes", "table<string, string|number|boolean>", "kept for the connection"},
};
constexpr ApiMember kSessionAuth[] = {
    {"user", "string?", "nil: nobody has"},
    {"mechanism", "string?", "\"PLAIN\" and so on"},
};
constexpr ApiMember kSessionTls[] = {
    {"version", "string", "\"TLSv1.3\""},
    {"cipher", "string?", "as OpenSSL calls it"},
    {"server_name", "string?", "that the client asked for (SNI)"},
    {"peer", "string?", "name in the client's certificate, which was verified"},
};
constexpr ApiMember kClient[] = {
    {"ip", "postern.ip", "its address"},
    {"port", "integer", "its port"},
    {"local_ip", "postern.ip", "ours"},
    {"local_port", "integer", "ours"},
    {"reverse_name", "string?", "its name, where that leads back to its address"},
    {"reverse_verified", "boolean", "whether it does"},
    {"claimed_name", "string?", "its name, whether that leads back or not"},
    {"reverse_status", "string?", "what became of the question after it"},
};
constexpr ApiMember kIp[] = {
    {"reversed", "fun(self: postern.ip): string", "as lists want it: \"1.2.0.192\""},
    {"in_network", "fun(self: postern.ip, ...: string): boolean", "whether it lies in one of these"},
    {"is_v6", "boolean", ""},
    {"is_private", "boolean", ""},
    {"is_loopback", "boolean", ""},
};
constexpr ApiMember kAnswer[] = {
    {"any_in", "fun(self: postern.dns_answer, ...: string): boolean", "whether an address lies in one of these networks"},
    {"ok", "boolean", "there is such a name"},
    {"empty", "boolean", "there are no records"},
    {"status", "string", "\"ok\", \"nxdomain\""},
    {"authenticated", "boolean", "by DNSSEC"},
    {"canonical_name", "string", "behind aliases"},
};
constexpr ApiMember kRecipient[] = {
    {"address", "string", ""},
    {"local_part", "string", "with its tag"},
    {"user", "string", "without its tag"},
    {"tag", "string?", "\"news\" of user+news@example.org"},
    {"domain", "string", "in lower case, A-labels"},
    {"orcpt", "postern.orcpt?", "ORCPT of RCPT (RFC 3461)"},
    {"notify", "string?", "NOTIFY of RCPT: \"SUCCESS,FAILURE\""},
    {"notes", "table<string, string|number|boolean>", "of this recipient"},
};
constexpr ApiMember kOrcpt[] = {{"type", "string", "\"rfc822\""}, {"address", "string", "decoded"}};
constexpr ApiMember kMail[] = {
    {"sender", "string", "of the envelope; \"\" for a bounce"},
    {"sender_domain", "string?", "nil for a bounce"},
    {"recipients", "postern.recipient[]", "of the envelope; in a rule those that it is about"},
    {"recipients_where", "fun(self: postern.mail, wanted: fun(recipient: postern.recipient): any): postern.recipients", "those for which a function says so: what a matcher returns"},
    {"session", "postern.session", "that brought it"},
    {"notes", "table<string, string|number|boolean>", "of this mail, for later rules"},
    {"size", "integer", "octets; before data what the client declared"},
    {"id", "string?", "of the message, from data on"},
    {"received_count", "integer", "its Received fields"},
    {"body_type", "\"7bit\"|\"8bitmime\"|\"binarymime\"", "BODY of MAIL"},
    {"smtputf8", "boolean", "SMTPUTF8 of MAIL (RFC 6531)"},
    {"require_tls", "boolean", "REQUIRETLS of MAIL (RFC 8689)"},
    {"priority", "integer?", "MT-PRIORITY of MAIL (RFC 6710)"},
    {"envid", "string?", "ENVID of MAIL, decoded (RFC 3461)"},
    {"dsn_return", "\"headers\"|\"full\"|nil", "RET of MAIL (RFC 3461)"},
    {"declared_size", "integer?", "SIZE of MAIL (RFC 1870)"},
    {"hold_until", "integer?", "seconds since 1970 (RFC 4865)"},
    {"deliver_by", "postern.deliver_by?", "BY of MAIL (RFC 2852)"},
    {"header", "fun(self: postern.mail, name: string, nth?: integer): string?", "a field's value as UTF-8; nth from 1, from -1 at the end"},
    {"headers", "fun(self: postern.mail, name?: string): string[]|postern.header_field[]", "the values of all fields of a name; without one all fields"},
    {"raw_header", "fun(self: postern.mail, name?: string, nth?: integer): string?", "octets as they came: of one field, or of all"},
    {"addresses", "fun(self: postern.mail, name: string): postern.header_address[]", "of all fields of a name"},
    {"set_header", "fun(self: postern.mail, name: string, value: string|number)", "the only one of that name from now on"},
    {"add_header", "fun(self: postern.mail, name: string, value: string|number, place?: \"bottom\"|\"top\")", "one more"},
    {"replace_header", "fun(self: postern.mail, name: string, nth: integer, value: string|number)", "in its place"},
    {"remove_header", "fun(self: postern.mail, name: string, nth?: integer)", "one, or all of that name"},
    {"parts", "fun(self: postern.mail): postern.part[]", "all MIME parts in order, the first is the mail itself"},
    {"part", "fun(self: postern.mail, section: string): postern.part?", "by its number as in IMAP: \"1.2\""},
    {"attachments", "fun(self: postern.mail): postern.part[]", ""},
    {"text", "fun(self: postern.mail, limit?: integer): string?, postern.part?, boolean?", "plain text, else HTML, as UTF-8; its part; whether there is more"},
};
constexpr ApiMember kDeliverBy[] = {
    {"time", "integer", "seconds since 1970"},
    {"return_if_late", "boolean", "else the sender is only told"},
    {"trace", "boolean", ""},
};
constexpr ApiMember kHeaderField[] = {{"name", "string", "as written"}, {"value", "string", "as UTF-8"}};
constexpr ApiMember kHeaderAddress[] = {
    {"address", "string?", "nil when it is no valid address"},
    {"name", "string?", "shown beside it"},
    {"local_part", "string?", ""},
    {"domain", "string?", ""},
    {"group", "string?", "that it stands in"},
};
constexpr ApiMember kPart[] = {
    {"type", "string", "\"text/plain\", in lower case"},
    {"charset", "string?", "of a text"},
    {"parameters", "table<string, string>", "of Content-Type, names in lower case"},
    {"disposition", "string?", "\"attachment\", \"inline\""},
    {"filename", "string?", "without folders"},
    {"encoding", "\"7bit\"|\"8bit\"|\"binary\"|\"base64\"|\"quoted-printable\"|\"unknown\"", "of its transfer"},
    {"id", "string?", "Content-ID"},
    {"description", "string?", "Content-Description as UTF-8"},
    {"size", "integer", "octets in the message, encoded"},
    {"depth", "integer", "0 for the mail itself"},
    {"is_attachment", "boolean", ""},
    {"is_multipart", "boolean", ""},
    {"children", "postern.part[]", ""},
    {"parent", "postern.part?", ""},
    {"text", "fun(self: postern.part, limit?: integer): string?, postern.part?, boolean?", "as UTF-8, and whether there is more; nil for what is no text"},
    {"data", "fun(self: postern.part, limit?: integer): string, boolean", "octets, decoded, and whether there are more"},
    {"header", "fun(self: postern.part, name: string): string?", "of its own header"},
};
constexpr ApiMember kEvent[] = {
    {"stage", "string", "\"queued\" to \"bounced\""},
    {"id", "string", "of the message"},
    {"recipients", "postern.recipient[]", "that it is about"},
    {"destination", "string?", "domain or gateway; an account here"},
    {"attempts", "integer", "made so far"},
    {"accepted", "integer", "when the message came; seconds since 1970"},
    {"next", "integer?", "deferred: the next attempt; seconds since 1970"},
    {"host", "string?", "that replied"},
    {"reply", "postern.reply?", "what it said; from delivered on"},
    {"gateway", "string?", "host or host:port; a hook at route may set it"},
    {"tls", "string?", "as of act.relay; a hook at route may set it"},
    {"source", "string?", "address to connect from; a hook at route may set it"},
};
constexpr ApiMember kReply[] = {{"code", "integer", "550"}, {"enhanced", "string", "\"5.1.1\""}, {"text", "string", ""}};
constexpr ApiMember kRegex[] = {
    {"test", "fun(self: postern.regex, text: string): boolean", "whether it matches somewhere"},
    {"match", "fun(self: postern.regex, text: string): ...", "captures, or the match"},
    {"find", "fun(self: postern.regex, text: string, init?: integer): integer?, integer?, ...", "first and last octet, captures"},
    {"gsub", "fun(self: postern.regex, text: string, replacement: string|table|function, n?: integer): string, integer", "the new text, and how often"},
};
constexpr ApiMember kSet[] = {{"contains", "fun(self: any, value: any): boolean", "whether it lies in it"}};
constexpr ApiMember kMaker[] = {{"file", "fun(path: string): any", "of a file, an entry a line"}};

constexpr ApiClass kClasses[] = {
    {"", "What scripts are made of: `local postern = require \"postern\"`.", kPostern},
    {"dns", "Questions to the DNS; each is a wait.", kDns},
    {"log", "Lines in the log.", kLog},
    {"clock", "The time, as the trail has it.", kClock},
    {"http", "Requests over HTTP; each is a wait.", kHttp},
    {"http_response", "An answer over HTTP.", kHttpResponse},
    {"sql", "Questions to databases; each is a wait.", kSql},
    {"kv", "Values that outlive a mail; each question is a wait.", kKeyValue},
    {"directory", "Accounts, aliases and domains; each question is a wait.", kDirectory},
    {"map", "Tables out of files.", kMap},
    {"json", "JSON.", kJson},
    {"base64", "Base64.", kCodec},
    {"hex", "Hexadecimal.", kCodec},
    {"hash", "Hashes.", kHash},
    {"time", "Dates.", kTime},
    {"ipset_maker", "postern.ipset { ... }", kMaker},
    {"domainset_maker", "postern.domainset { ... }", kMaker},
    {"session", "A session, while somebody waits.", kSession},
    {"session_auth", "Who has logged in.", kSessionAuth},
    {"session_tls", "How the session is encrypted.", kSessionTls},
    {"client", "Who is connected.", kClient},
    {"ip", "An IP address.", kIp},
    {"dns_answer", "An answer of the DNS; also a list of its records.", kAnswer},
    {"recipient", "A recipient of the envelope.", kRecipient},
    {"orcpt", "An original recipient.", kOrcpt},
    {"mail", "A mail: what does not exist yet at a stage is an error that names it.", kMail},
    {"deliver_by", "BY of MAIL.", kDeliverBy},
    {"header_field", "A header field.", kHeaderField},
    {"header_address", "An address in the header.", kHeaderAddress},
    {"part", "A MIME part.", kPart},
    {"event", "What the queue tells.", kEvent},
    {"reply", "An SMTP reply.", kReply},
    {"regex", "A regular expression.", kRegex},
    {"set", "A set of addresses or domains.", kSet},
};
// clang-format on

/// What messages call an object, and the class that it is.
constexpr std::pair<std::string_view, std::string_view> kObjects[] = {{"IP address", "ip"},
                                                                      {"DNS answer", "dns_answer"}};

}  // namespace

std::span<const ApiClass> api_classes() {
  return kClasses;
}

const ApiClass* find_api_class(std::string_view name) {
  const auto found = std::ranges::find(kClasses, name, &ApiClass::name);
  return found == std::end(kClasses) ? nullptr : &*found;
}

void check_member(lua_State* L, const char* object, std::string_view name) {
  std::string_view word = object;
  for (const auto& [shown, class_name] : kObjects)
    if (shown == word) word = class_name;
  const ApiClass* known = find_api_class(word);
  if (known && std::ranges::find(known->members, name, &ApiMember::name) != known->members.end()) return;
  std::vector<std::string_view> words;
  for (const ApiMember& one : known ? known->members : std::span<const ApiMember>()) words.push_back(one.name);
  const std::string hint = did_you_mean(name, words);
  luaL_error(L, "%s has no field '%s'%s%s", object, std::string(name.substr(0, 100)).c_str(), hint.empty() ? "" : "; ",
             hint.c_str());
}

}  // namespace postern::lua
