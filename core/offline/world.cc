#include "core/offline/world.h"

#include <fmt/format.h>

#include "core/pipeline/effect_texts.h"
#include "core/pipeline/trail_reader.h"
#include "postern/text.h"

namespace postern {

/// For what is not asked of the answers: the default domain, which a spec has when it states only one local domain.
class OfflineWorld::NoDirectory final : public Directory {
 public:
  DomainKind domain_kind(std::string_view) const override { return DomainKind::kForeign; }
  std::string default_domain() const override { return default_; }
  Task<AddressLookup> find(Address) override { return Task<AddressLookup>::ready({}); }
  DirectoryFacts facts() const override { return {}; }
  void set_default(std::string domain) { default_ = std::move(domain); }

 private:
  std::string default_;
};

OfflineWorld::OfflineWorld(const OfflineSetup& setup)
    : setup_(setup), scripts_(setup.settings.scripts), gate_(setup.gate), directory_(std::make_unique<NoDirectory>()) {
  answer_anew();
}

OfflineWorld::~OfflineWorld() {
  machine_.reset();  // before the rules that run in it
}

void OfflineWorld::state(std::string_view effect, std::string_view question, std::string answer) {
  const auto [at, is_new] = stated_.insert_or_assign(Key(effect, question), std::vector{std::move(answer)});
  if (is_new)
    answers_.add(effect, question, at->second.front());
  else
    answer_anew();
}

/// From the first of each question's answers on, as if nothing had been asked.
void OfflineWorld::answer_anew() {
  answers_ = RecordedAnswers();
  answers_.fall_back_to(store_);
  answers_.fold_addresses();
  for (const auto& [key, answers] : stated_)
    for (const std::string& one : answers) answers_.add(key.first, key.second, one);
}

void OfflineWorld::state_default(std::string_view effect, std::string_view question, std::string_view answer) {
  if (!stated_.contains(Key(effect, question))) state(effect, question, std::string(answer));
}

void OfflineWorld::set_clock(WallTime now) {
  clock_ = now;
}

Result<void> OfflineWorld::answer_dns(std::string_view name, RecordType type, DnsAnswer answer) {
  std::string asked = to_lower(name);
  if (asked.ends_with('.')) asked.pop_back();
  answer.canonical_name = asked;
  state(dns_effect(type), asked, dns_text(answer, asked));
  return {};
}

Result<void> OfflineWorld::set_domain(std::string_view domain, DomainKind kind) {
  auto parsed = Domain::parse(domain);
  if (!parsed) return fault("spec.value", fmt::format("\"{}\": {}", domain, parsed.error().to_string()));
  if (kind == DomainKind::kLocal && directory_->default_domain().empty()) directory_->set_default(parsed->ascii());
  state("directory.domain", parsed->ascii(), std::string(domain_text(kind)));
  return {};
}

Result<void> OfflineWorld::set_address(std::string_view address, AddressLookup lookup) {
  auto parsed = Address::parse(address);
  if (!parsed) return fault("spec.value", fmt::format("\"{}\": {}", address, parsed.error().to_string()));
  const std::string& domain = parsed->domain().ascii();
  const auto known = stated_.find(Key("directory.domain", domain));
  if (known == stated_.end())
    static_cast<void>(set_domain(domain, DomainKind::kLocal));
  else if (known->second.front() != domain_text(DomainKind::kLocal))
    return fault("spec.value", fmt::format("{} was stated as {}: it has no accounts here", domain, known->second[0]));
  for (const Address& target : lookup.targets) targets_.push_back(target);
  std::string text;
  append_lookup(text, DomainKind::kLocal, lookup);
  state("directory.find", to_lower(parsed->to_string()), std::move(text));
  return {};
}

Result<void> OfflineWorld::answer(std::string_view effect, std::string_view question, std::string_view answer) {
  if (effect.empty()) return fault("spec.value", "an answer needs the name of its effect");
  const std::string asked = effect == "directory.find" ? to_lower(question) : std::string(question);
  stated_[Key(effect, asked)].emplace_back(answer);
  answers_.add(effect, asked, answer);
  return {};
}

Result<void> OfflineWorld::use_scripts(const std::vector<std::string>& files) {
  if (machine_) return fault("spec.scripts", "the scripts are loaded already: a mail went through them");
  scripts_.assign(files.begin(), files.end());
  return {};
}

Result<void> OfflineWorld::set_relay_network(std::string_view network) {
  const auto parsed = IpNetwork::parse(network);
  if (!parsed) return fault("spec.value", fmt::format("\"{}\" is no network", network));
  if (machine_) return fault("spec.value", "the relay networks stand since the first mail");
  gate_.networks.push_back({*parsed, "stated by the spec", {}});
  return {};
}

Result<void> OfflineWorld::load() {
  if (machine_) return {};
  machine_ = std::make_unique<OfflineMachine>(OfflineMachine::Options{.directory = *directory_, .start = clock_});
  PipelineSettings settings = setup_.settings;
  settings.scripts = scripts_;
  Diagnostics diagnostics;
  rules_ = prepare_rules(settings, gate_, setup_.registry, setup_.engine, machine_->metrics(), 1, diagnostics);
  if (rules_) {
    machine_->install(*rules_);
    return {};
  }
  machine_.reset();
  return fault("spec.scripts", "the scripts cannot be loaded:\n" + diagnostics.render());
}

void OfflineWorld::close_over(const Address& address) {
  const std::string& domain = address.domain().ascii();
  if (domain.empty()) return;
  state_default("directory.domain", domain, domain_text(DomainKind::kForeign));
  if (stated_[Key("directory.domain", domain)].back() != domain_text(DomainKind::kLocal)) return;
  AddressLookup nobody;
  nobody.kind = AddressLookup::Kind::kNoSuchUser;
  std::string text;
  append_lookup(text, DomainKind::kLocal, nobody);
  state_default("directory.find", to_lower(address.to_string()), text);
}

void OfflineWorld::close_directory(const Address& sender, const std::vector<Recipient>& recipients) {
  close_over(sender);
  for (const Recipient& recipient : recipients) {
    close_over(recipient.address);
    if (!recipient.address.is_bare_postmaster()) continue;
    if (auto domain = Domain::parse(directory_->default_domain()))
      close_over(recipient.address.with_domain(std::move(*domain)));
  }
  for (const Address& target : targets_) close_over(target);
}

std::string OfflineWorld::store_name(std::string_view name) const {
  return name.empty() ? setup_.settings.kv : std::string(name);
}

Result<void> OfflineWorld::set_key(std::string_view store, std::string_view key, std::optional<std::string> value) {
  if (key.empty() || key.size() > KeyValueStore::kMaxKey)
    return fault("spec.value", fmt::format("a key has 1 to {} octets", KeyValueStore::kMaxKey));
  if (value && value->size() > KeyValueStore::kMaxValue)
    return fault("spec.value", fmt::format("a value has at most {} octets", KeyValueStore::kMaxValue));
  KeyValueRequest request{.kind = KeyValueRequest::Kind::kRemove, .key = std::string(key)};
  if (value) {
    request.kind = KeyValueRequest::Kind::kSet;
    request.value = std::move(*value);
  }
  store_.set_clock(clock_);
  if (auto done = store_.kv(store_name(store), request); !done) return std::unexpected(done.error());
  return {};
}

Result<std::optional<std::string>> OfflineWorld::key(std::string_view store, std::string_view key) {
  store_.set_clock(clock_);
  auto reply = store_.kv(store_name(store), {.key = std::string(key)});
  if (!reply) return std::unexpected(reply.error());
  return std::move(reply->value);
}

Result<void> OfflineWorld::check_answered() const {
  std::string out;
  for (const RecordedAnswers::Unanswered& one : answers_.unanswered())
    out += fmt::format("\n  {} \"{}\", asked at {}{}", one.effect, one.question, to_string(one.stage),
                       one.why == "was not asked" ? "" : ": the answer " + one.why);
  if (out.empty()) return {};
  return fault("spec.unanswered", "the rules asked what the spec does not state:" + out);
}

/// The scripts, and the time for all of them.
Result<void> OfflineWorld::prepare() {
  if (auto loaded = load(); !loaded) return loaded;
  machine_->advance_to(clock_);
  answers_.set_clock(clock_);
  store_.set_clock(clock_);
  return {};
}

Result<SpecResult> OfflineWorld::mail(const SpecMail& mail) {
  auto described = offline_mail(mail);
  if (!described) return std::unexpected(described.error());
  close_directory(described->envelope.sender, described->recipients);
  if (auto ready = prepare(); !ready) return std::unexpected(ready.error());
  auto result = machine_->run(*described, answers_);
  if (auto answered = check_answered(); !answered) {
    answer_anew();  // a spec that expected this goes on, and is told again
    return std::unexpected(answered.error());
  }
  return result;
}

Result<SpecEventResult> OfflineWorld::event(const SpecEvent& event) {
  SpecMail addresses;  // of the event, read as those of a mail are
  addresses.sender = event.sender;
  addresses.recipients = event.recipients;
  auto described = offline_mail(addresses);
  if (!described) return std::unexpected(described.error());
  close_directory(described->envelope.sender, described->recipients);
  if (auto ready = prepare(); !ready) return std::unexpected(ready.error());
  Envelope envelope = std::move(described->envelope);
  envelope.recipients = std::move(described->recipients);
  QueueEvent asked{.stage = event.stage,
                   .envelope = envelope,
                   .size = event.size,
                   .accepted = event.accepted.value_or(clock_),
                   .attempts = event.attempts,
                   .options = event.options,
                   .destination = event.destination,
                   .host = event.host,
                   .reply = event.reply,
                   .next = event.next};
  for (std::uint32_t i = 0; i < envelope.recipients.size(); ++i) asked.recipients.push_back(i);
  Trail trail;
  auto verdict = machine_->run(asked, answers_, trail);
  if (auto answered = check_answered(); !answered) {
    answer_anew();
    return std::unexpected(answered.error());
  }
  if (!verdict) return std::unexpected(verdict.error());
  SpecEventResult out{.verdict = std::move(*verdict), .options = std::move(asked.options)};
  if (const auto entries = Trail::decode(trail.bytes())) {
    out.story = render_story(*entries);
    for (const TrailEntry& entry : *entries)
      if (entry.kind == TrailEntry::Kind::kError) out.failures.push_back(entry.answer);
  }
  return out;
}

}  // namespace postern
