#include "core/pipeline/recorded_answers.h"

#include <algorithm>
#include <charconv>

#include "core/pipeline/effect_texts.h"
#include "core/pipeline/pretence.h"
#include "postern/text.h"

namespace postern {
namespace {

constexpr std::string_view kFind = "directory.find", kDomain = "directory.domain", kClock = "clock.now",
                           kRandom = "random";
constexpr std::string_view kNotAsked = "was not asked", kLessOften = "was asked less often",
                           kNoRoom = "was not asked, or the trail had no room for it",
                           kUnreadable = "the answer was cut or cannot be read", kSecret = "the answer is secret";

std::unexpected<Fault> unanswered_fault(std::string_view effect) {
  return fault("replay.unanswered", std::string(effect) + ": no recorded answer");
}

WallTime wall_time(std::string_view micros) {
  return WallTime(std::chrono::microseconds(to_number<std::int64_t>(micros).value_or(0)));
}

}  // namespace

RecordedAnswers::RecordedAnswers(const std::vector<TrailEntry>& entries) {
  for (const TrailEntry& entry : entries) {
    if (entry.kind == TrailEntry::Kind::kEffect) add(entry.name, entry.question, entry.answer, entry.stage);
    if (entry.kind == TrailEntry::Kind::kStart) last_time_ = std::max(last_time_, wall_time(entry.answer));
    if (entry.kind == TrailEntry::Kind::kOmitted) incomplete_ = true;
  }
}

void RecordedAnswers::add(std::string_view effect, std::string_view question, std::string_view answer,
                          std::optional<Stage> stage) {
  entries_[Key(effect, question)].push_back({stage, std::string(answer)});
  if (effect != kFind) return;
  const auto located = parse_lookup(answer);
  const std::size_t at = question.rfind('@');
  if (located && at != std::string_view::npos)
    domains_.insert_or_assign(std::string(question.substr(at + 1)), located->domain);
}

const std::string* RecordedAnswers::take(Stage stage, std::string_view effect, std::string_view question,
                                         Repeat repeat) {
  const auto found = entries_.find(Key(effect, question));
  if (found == entries_.end()) {
    note(stage, effect, question, incomplete_ ? kNoRoom : kNotAsked);
    return nullptr;
  }
  std::vector<Entry>& all = found->second;
  const auto here = [stage](const Entry& one) { return !one.stage || *one.stage == stage; };
  auto chosen = std::ranges::find_if(all, [&](const Entry& one) { return here(one) && !one.used; });
  if (chosen == all.end() && repeat == Repeat::kNever)
    chosen = std::ranges::find_if(all, [](const Entry& one) { return !one.used; });
  if (chosen == all.end() && repeat == Repeat::kSame) {
    // The last one here, else the last one before this stage, else whatever there is.
    const auto last = [&](auto&& wanted) {
      const auto it = std::find_if(all.rbegin(), all.rend(), wanted);
      return it == all.rend() ? all.end() : std::prev(it.base());
    };
    chosen = last(here);
    if (chosen == all.end()) chosen = last([&](const Entry& one) { return one.stage < stage; });
    if (chosen == all.end()) chosen = all.begin();
  }
  if (chosen == all.end()) {
    note(stage, effect, question, kLessOften);
    return nullptr;
  }
  chosen->used = true;
  return &chosen->answer;
}

void RecordedAnswers::note(Stage stage, std::string_view effect, std::string_view question, std::string_view why) {
  const bool known = std::ranges::any_of(unanswered_, [&](const Unanswered& one) {
    return one.stage == stage && one.effect == effect && one.question == question;
  });
  if (known || unanswered_.size() >= kMaxUnanswered) return;
  unanswered_.push_back({stage, std::string(effect), std::string(question), std::string(why)});
}

DnsAnswer RecordedAnswers::dns(Stage stage, std::string_view name, RecordType type) {
  const std::string effect = dns_effect(type);
  const std::string question = fit_question(std::string(name));
  if (const std::string* text = take(stage, effect, question, Repeat::kSame)) {
    if (auto answer = parse_dns(*text, name, type)) return std::move(*answer);
    note(stage, effect, question, kUnreadable);
  }
  DnsAnswer silence;
  silence.status = DnsStatus::kTimeout;
  silence.canonical_name = name;
  silence.detail = "no recorded answer";
  return silence;
}

AddressLookup RecordedAnswers::find(Stage stage, const Address& address) {
  const std::string question = folds_ ? to_lower(address.to_string()) : address.to_string();
  AddressLookup none;
  if (!entries_.contains(Key(kFind, question))) {
    // Of a domain that is not ours nothing else can be known.
    if (const auto known = entries_.find(Key(kDomain, address.domain().ascii())); known != entries_.end())
      if (const auto kind = parse_domain_kind(known->second.back().answer); kind && *kind != DomainKind::kLocal)
        return none;
    if (const auto known = domains_.find(address.domain().ascii());
        known != domains_.end() && known->second != DomainKind::kLocal)
      return none;
  }
  if (const std::string* text = take(stage, kFind, question, Repeat::kSame)) {
    if (auto located = parse_lookup(*text)) return std::move(located->lookup);
    note(stage, kFind, question, kUnreadable);
  }
  none.kind = AddressLookup::Kind::kTemporary;
  return none;
}

DomainKind RecordedAnswers::domain_kind(Stage stage, std::string_view ascii_domain) {
  if (entries_.contains(Key(kDomain, ascii_domain))) {
    if (const auto kind = parse_domain_kind(*take(stage, kDomain, ascii_domain, Repeat::kSame))) return *kind;
  } else if (const auto known = domains_.find(ascii_domain); known != domains_.end()) {
    return known->second;
  }
  note(stage, kDomain, ascii_domain, incomplete_ ? kNoRoom : kNotAsked);
  return DomainKind::kForeign;
}

Result<HttpResponse> RecordedAnswers::http(Stage stage, const HttpRequest& request) {
  const std::string question = http_question(request);
  const std::string* text =
      take(stage, "http", question, Pretence::only_reads(request) ? Repeat::kSame : Repeat::kNever);
  if (!text) return unanswered_fault("http");
  if (auto failed = parse_fault(*text)) return std::unexpected(std::move(*failed));
  if (auto response = parse_http(*text, request.url)) return std::move(*response);
  note(stage, "http", question, kUnreadable);
  return unanswered_fault("http");
}

Result<SqlRows> RecordedAnswers::sql(Stage stage, std::string_view database, std::string_view statement,
                                     const std::vector<SqlArgument>& arguments) {
  const std::string question = sql_question(database, statement, arguments);
  const std::string* text = take(stage, "sql", question, Repeat::kSame);
  if (!text) return unanswered_fault("sql");
  if (auto failed = parse_fault(*text)) return std::unexpected(std::move(*failed));
  if (auto rows = parse_sql(*text)) return std::move(*rows);
  note(stage, "sql", question, kUnreadable);
  return unanswered_fault("sql");
}

Result<KeyValueReply> RecordedAnswers::kv(Stage stage, std::string_view store, const KeyValueRequest& request) {
  using Kind = KeyValueRequest::Kind;
  const std::string_view effect = kv_effect(request.kind);
  const std::string question = kv_question(store, request);
  if (fallback_ && !entries_.contains(Key(effect, question))) return fallback_->kv(store, request);
  const bool changes = request.kind == Kind::kIncrement || request.kind == Kind::kRemove;
  const std::string* text = take(stage, effect, question, changes ? Repeat::kNever : Repeat::kSame);
  if (!text) return unanswered_fault(effect);
  if (auto failed = parse_fault(*text)) return std::unexpected(std::move(*failed));
  if (auto reply = parse_kv(request.kind, *text)) return std::move(*reply);
  note(stage, effect, question, *text == kSecretText ? kSecret : kUnreadable);
  return unanswered_fault(effect);
}

WallTime RecordedAnswers::clock(Stage stage) {
  if (clock_) return *clock_;
  if (const std::string* text = take(stage, kClock, "", Repeat::kNever)) last_time_ = wall_time(*text);
  return last_time_;
}

double RecordedAnswers::random(Stage stage) {
  if (fallback_ && !entries_.contains(Key(kRandom, ""))) return fallback_->random();
  double value = 0;
  if (const std::string* text = take(stage, kRandom, "", Repeat::kNever))
    std::from_chars(text->data(), text->data() + text->size(), value);
  return value >= 0 && value < 1 ? value : 0.0;
}

std::string RecordedAnswers::text(Stage stage, std::string_view effect, std::string_view question) {
  const std::string* text = take(stage, effect, fit_question(std::string(question)), Repeat::kNever);
  return text ? *text : std::string();
}

}  // namespace postern
