#include "core/pipeline/trail_terms.h"

#include <algorithm>

#include "core/pipeline/trail_quota.h"
#include "postern/endpoint.h"
#include "postern/text.h"

namespace postern {
namespace {

constexpr std::size_t kMaxRules = 32;  // of one record that it is found by
enum class Word : char {
  kMessage = 'm',
  kSession = 's',
  kSender = 'f',
  kRecipient = 't',
  kDomain = 'd',
  kClient = 'c',
  kNetwork = 'n',
  kRule = 'r',
  kRefused = 'x',
};

/// FNV-1a. Its values stay, as those of postern/hash.h do not promise; the index's version says which they are.
TrailTerm term(Word kind, std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto mix = [&hash](char c) { hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL; };
  mix(static_cast<char>(kind));
  for (const char c : text) mix(ascii_lower(c));
  return static_cast<TrailTerm>(hash);
}

std::string_view domain_of(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

std::string_view without_at(std::string_view domain) {
  return domain.starts_with('@') ? domain.substr(1) : domain;
}

void put_once(std::vector<std::string>& list, std::string_view text, std::size_t limit) {
  if (text.empty() || list.size() >= limit) return;
  std::string lower = to_lower(text);
  if (std::ranges::find(list, lower) == list.end()) list.push_back(std::move(lower));
}

/// "a@x -> b@y": who was replaced, and by whom.
void put_targets(TrailSubjects& out, std::string_view text) {
  const std::size_t arrow = text.find(" -> ");
  if (arrow == std::string_view::npos) return;
  put_once(out.recipients, text.substr(0, arrow), TrailLog::kMaxRecipients);
  put_once(out.recipients, text.substr(arrow + 4), TrailLog::kMaxRecipients);
}

std::string_view without_brackets(std::string_view path) {
  if (path.starts_with('<') && path.ends_with('>') && path.size() >= 2) return path.substr(1, path.size() - 2);
  return path;
}

void add_entry(TrailSubjects& out, const TrailEntry& entry) {
  switch (entry.kind) {
    case TrailEntry::Kind::kFact:
      if (entry.name == "draft") out.draft = entry.answer;
      if (entry.name == "sender" && out.sender.empty()) out.sender = to_lower(without_brackets(entry.answer));
      if (entry.name == "alias" || entry.name == "rewrite") put_targets(out, entry.answer);
      break;
    case TrailEntry::Kind::kGate:
      if (entry.stage == Stage::kRcpt)
        put_once(out.recipients, without_brackets(entry.question), TrailLog::kMaxRecipients);
      break;
    case TrailEntry::Kind::kRule:
      if (!entry.answer.empty()) put_once(out.rules, entry.name, kMaxRules);
      break;
    case TrailEntry::Kind::kVerdict:
    case TrailEntry::Kind::kError:
      put_once(out.rules, entry.name, kMaxRules);
      break;
    default:
      break;
  }
}

/// Whether a record may speak of the query's words that stand in its trail only: reading a trail costs more than this.
bool may_speak_of(const TrailRecord& record, std::string_view word) {
  return std::search(record.trail.begin(), record.trail.end(), word.begin(), word.end(),
                     [](char a, char b) { return ascii_lower(a) == ascii_lower(b); }) != record.trail.end();
}

bool is_client(const TrailRecord& record, std::string_view text) {
  return equal_folded(record.client, text) || source_of(record.client) == text;
}

/// A word that may be a sender, a recipient, a domain or a rule.
class Looking {
 public:
  explicit Looking(const TrailRecord& record) : record_(record) {}
  bool message(std::string_view word) {
    return record_.message == word || (may_speak_of(record_, word) && all().draft == word);
  }
  bool sender(std::string_view word) {
    return equal_folded(record_.sender, word) || (may_speak_of(record_, word) && equal_folded(all().sender, word));
  }
  bool recipient(std::string_view word) {
    if (std::ranges::any_of(record_.recipients, [&](const std::string& one) { return equal_folded(one, word); }))
      return true;
    return may_speak_of(record_, word) &&
           std::ranges::any_of(all().recipients, [&](const std::string& one) { return equal_folded(one, word); });
  }
  bool domain(std::string_view word) {
    const auto same = [&](std::string_view address) { return equal_folded(domain_of(address), without_at(word)); };
    if (same(record_.sender) || std::ranges::any_of(record_.recipients, same)) return true;
    return may_speak_of(record_, without_at(word)) &&
           (same(all().sender) || std::ranges::any_of(all().recipients, same));
  }
  bool rule(std::string_view word) {
    return may_speak_of(record_, word) &&
           std::ranges::any_of(all().rules, [&](const std::string& one) { return equal_folded(one, word); });
  }

 private:
  const TrailSubjects& all() {
    if (!subjects_) subjects_ = subjects_of(record_);
    return *subjects_;
  }
  const TrailRecord& record_;
  std::optional<TrailSubjects> subjects_;
};

bool fits_text(const TrailRecord& record, Looking& looking, const std::string& text) {
  if (text.empty() || record.session == text || is_client(record, text) || looking.message(text)) return true;
  if (text.find('@') != std::string::npos && !text.starts_with('@'))
    return looking.sender(text) || looking.recipient(text);
  return text.find('.') != std::string::npos && looking.domain(text);
}

}  // namespace

TrailSubjects subjects_of(const TrailRecord& record) {
  TrailSubjects out;
  out.sender = to_lower(record.sender);
  for (const std::string& one : record.recipients) put_once(out.recipients, one, TrailLog::kMaxRecipients);
  if (const auto entries = Trail::decode(record.trail))
    for (const TrailEntry& entry : *entries) add_entry(out, entry);
  return out;
}

std::string source_of(std::string_view client) {
  const auto ip = IpAddress::parse(client);
  return ip ? TrailSource::of(*ip).to_string() : std::string(client);
}

bool fits(const TrailRecord& record, const TrailQuery& query) {
  if (query.refused_only && record.accepted) return false;
  if (query.accepted_only && !record.accepted) return false;
  if (query.since && record.when < *query.since) return false;
  if (query.until && record.when > *query.until) return false;
  if (!query.session.empty() && record.session != query.session) return false;
  if (!query.client.empty() && !is_client(record, query.client)) return false;
  Looking looking(record);
  if (!query.message.empty() && !looking.message(query.message)) return false;
  return fits_text(record, looking, query.text) && (query.sender.empty() || looking.sender(query.sender)) &&
         (query.recipient.empty() || looking.recipient(query.recipient)) &&
         (query.domain.empty() || looking.domain(query.domain)) && (query.rule.empty() || looking.rule(query.rule));
}

std::vector<TrailTerm> terms_of(const TrailRecord& record) {
  std::vector<TrailTerm> out;
  const TrailSubjects subjects = subjects_of(record);
  const auto put = [&out](Word kind, std::string_view text) {
    if (!text.empty()) out.push_back(term(kind, text));
  };
  put(Word::kMessage, record.message);
  put(Word::kMessage, subjects.draft);
  put(Word::kSession, record.session);
  put(Word::kClient, record.client);
  put(Word::kNetwork, source_of(record.client));
  for (const std::string_view sender : {std::string_view(subjects.sender), std::string_view(record.sender)}) {
    put(Word::kSender, sender);
    put(Word::kDomain, domain_of(sender));
  }
  for (const std::string& one : subjects.recipients) {
    put(Word::kRecipient, one);
    put(Word::kDomain, domain_of(one));
  }
  for (const std::string& one : subjects.rules) put(Word::kRule, one);
  if (!record.accepted) out.push_back(term(Word::kRefused, {}));
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

std::vector<std::vector<TrailTerm>> terms_of(const TrailQuery& query) {
  std::vector<std::vector<TrailTerm>> out;
  const auto put = [&out](Word kind, std::string_view text) {
    if (!text.empty()) out.push_back({term(kind, text)});
  };
  if (!query.text.empty())
    out.push_back({term(Word::kMessage, query.text), term(Word::kSession, query.text), term(Word::kClient, query.text),
                   term(Word::kNetwork, query.text), term(Word::kSender, query.text),
                   term(Word::kRecipient, query.text), term(Word::kDomain, without_at(query.text))});
  put(Word::kMessage, query.message);
  put(Word::kSession, query.session);
  put(Word::kSender, query.sender);
  put(Word::kRecipient, query.recipient);
  put(Word::kDomain, without_at(query.domain));
  put(Word::kRule, query.rule);
  if (!query.client.empty()) out.push_back({term(Word::kClient, query.client), term(Word::kNetwork, query.client)});
  if (query.refused_only) out.push_back({term(Word::kRefused, {})});
  return out;
}

}  // namespace postern
