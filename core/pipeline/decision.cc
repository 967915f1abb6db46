// The small parts of the contracts: replies on the wire, decisions as replies, and the key functions of the interfaces,
// so that their type information lives in libpostern.
#include <fmt/format.h>

#include <algorithm>

#include "postern/pipeline.h"

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
void Policy::reverse_answered(SessionState&, Transaction*) {}
bool Policy::trusts_proxy(const IpAddress&) const {
  return false;
}
Matcher::~Matcher() = default;
Action::~Action() = default;
RuleRegistry::~RuleRegistry() = default;
HookHandler::~HookHandler() = default;
ScriptEngine::~ScriptEngine() = default;
Effects::~Effects() = default;
Queue::~Queue() = default;
void Queue::before_commit(Envelope&, const ClientInfo&, WallTime) {}
Task<std::size_t> Queue::request(std::string) {
  return Task<std::size_t>::ready(0);
}
Directory::~Directory() = default;
SaslExchange::~SaslExchange() = default;
Authenticator::~Authenticator() = default;

}  // namespace postern
