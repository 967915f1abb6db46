// The small parts of the contracts: replies on the wire, decisions as replies, and the key functions of the interfaces,
// so that their type information lives in libpostern.
#include <fmt/format.h>

#include <algorithm>

#include "postern/database.h"
#include "postern/http.h"
#include "postern/key_value.h"
#include "postern/pipeline.h"
#include "postern/queue_event.h"
#include "postern/spec.h"

namespace postern {

namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

void append_reply_line(std::string& out, const Reply& reply, std::string_view line, bool last) {
  fmt::format_to(std::back_inserter(out), "{:03}{}", reply.code, last ? ' ' : '-');
  if (!reply.enhanced.empty()) {
    for (const char c : reply.enhanced) out += is_control(c) ? ' ' : c;
    if (!line.empty()) out += ' ';
  }
  // What was refused may be quoted in the text: no octet of it may end the line early.
  for (const char c : line) out += is_control(c) ? ' ' : c;
  out += "\r\n";
}

}  // namespace

std::string Reply::wire() const {
  std::string out;
  std::string_view rest = text;
  while (true) {
    const std::size_t end = rest.find('\n');
    const bool last = end == std::string_view::npos;
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    append_reply_line(out, *this, line, last);
    if (last) return out;
    rest.remove_prefix(end + 1);
  }
}

std::string_view Transaction::headers() const {
  return draft ? draft->header() : std::string_view();
}

bool Decision::refuses_all() const {
  return !outcomes.empty() && std::ranges::none_of(outcomes, [](const auto& one) { return one.reply.positive(); });
}

bool Decision::refuses_some() const {
  return std::ranges::any_of(outcomes, [](const auto& one) { return !one.reply.positive(); });
}

Reply Decision::reply() const {
  if (whole.refuses()) return whole.reply;
  if (!refuses_all()) return Reply{250, "2.0.0", "accepted"};
  // The client tries again for those that were only deferred, and learns the rest then.
  for (const RecipientOutcome& one : outcomes)
    if (one.reply.temporary()) return one.reply;
  return outcomes.front().reply;
}

Policy::~Policy() = default;
bool Policy::has_hooks(Stage) const {
  return true;  // who does not know waits for nothing to be missing
}
Task<Verdict> Policy::queue_event(QueueEvent&) {
  return Task<Verdict>::ready({});
}
void Policy::reverse_answered(SessionState&, Transaction*) {}
bool Policy::trusts_proxy(const IpAddress&) const {
  return false;
}
HeaderEdits RuleCall::edits_so_far() const {
  HeaderEdits out;
  // Past HeaderEdits::kMaxEdits the later ones are lost here, as they are at the commit.
  for (const HeaderEdits* one : {edits_of_all, edits_of_some, static_cast<const HeaderEdits*>(&transaction.edits)})
    if (one) out.merge(*one);
  return out;
}
Matcher::~Matcher() = default;
Action::~Action() = default;
AddressSource::~AddressSource() = default;
RuleRegistry::~RuleRegistry() = default;
HookHandler::~HookHandler() = default;
ScriptEngine::~ScriptEngine() = default;
bool ScriptEngine::run_specs(const std::vector<std::string>&, const std::function<std::unique_ptr<SpecWorld>()>&,
                             SpecReport&, Diagnostics& diagnostics) {
  diagnostics.error({}, "this engine has no specs");
  return false;
}
std::string ScriptEngine::annotations(const RuleRegistry&) const {
  return {};
}
SpecWorld::~SpecWorld() = default;
std::size_t SpecReport::failed() const {
  return static_cast<std::size_t>(std::ranges::count(cases, false, &Case::passed));
}
Database::~Database() = default;
KeyValueStore::~KeyValueStore() = default;
Effects::~Effects() = default;
Task<Result<HttpResponse>> Effects::http(HttpRequest) {
  return Task<Result<HttpResponse>>::ready(fault("effects.none", "nobody asks over HTTP here"));
}
Task<Result<SqlRows>> Effects::sql(std::string, std::string, std::vector<SqlArgument>) {
  return Task<Result<SqlRows>>::ready(fault("effects.none", "there is no database here"));
}
Task<Result<KeyValueReply>> Effects::kv(std::string, KeyValueRequest) {
  return Task<Result<KeyValueReply>>::ready(fault("effects.none", "nothing keeps values here"));
}
Result<Draft> Effects::begin_draft(std::uint64_t) {
  return fault("effects.none", "no message can be written here");
}
std::optional<std::string> Effects::recorded(std::string_view, std::string_view) {
  return std::nullopt;
}
Queue::~Queue() = default;
void Queue::before_commit(Envelope&, const ClientInfo&, WallTime) {}
Task<std::size_t> Queue::request(std::string) {
  return Task<std::size_t>::ready(0);
}
Directory::~Directory() = default;
std::optional<AddressLookup> Directory::look_ahead(const Address&) const {
  return std::nullopt;
}
SaslExchange::~SaslExchange() = default;
Authenticator::~Authenticator() = default;

}  // namespace postern
