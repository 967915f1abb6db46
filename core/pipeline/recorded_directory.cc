#include "core/pipeline/recorded_directory.h"

#include <algorithm>

#include "core/pipeline/effect_texts.h"
#include "core/pipeline/effects.h"
#include "core/pipeline/recorded_answers.h"
#include "postern/hash.h"

namespace postern {

bool RecordedDirectory::is_new(std::string_view effect, std::string_view question, std::string_view answer) const {
  const Seen now{hash_bytes(question, hash_bytes(effect) | 1), hash_bytes(answer)};
  const auto known = std::ranges::find(seen_, now.question, &Seen::question);
  if (known != seen_.end()) return std::exchange(known->answer, now.answer) != now.answer;
  seen_[next_++ % kRemembered] = now;
  return true;
}

Instant RecordedDirectory::now() const {
  return worker_.executor->now();
}

DomainKind RecordedDirectory::peek(std::string_view ascii_domain) const {
  if (worker_.recorded) return worker_.recorded->domain_kind(stage_, ascii_domain);
  return worker_.directory->domain_kind(ascii_domain);
}

DomainKind RecordedDirectory::domain_kind(std::string_view ascii_domain) const {
  const DomainKind kind = peek(ascii_domain);
  if (is_new("directory.domain", ascii_domain, domain_text(kind)))
    trail_.effect(stage_, "directory.domain", ascii_domain, domain_text(kind), 0);
  return kind;
}

Task<AddressLookup> RecordedDirectory::look_up(const Address& address) {
  if (worker_.recorded) return Task<AddressLookup>::ready(worker_.recorded->find(stage_, address));
  Task<AddressLookup> asked = worker_.directory->find(address);
  if (worker_.executor->now() < until_) return asked;
  auto answer = std::move(asked).operator co_await();
  if (answer.await_ready()) return Task<AddressLookup>::ready(answer.await_resume());
  AddressLookup late;
  late.kind = AddressLookup::Kind::kTemporary;
  return Task<AddressLookup>::ready(std::move(late));
}

void RecordedDirectory::write(const Address& address, DomainKind domain, const AddressLookup& found,
                              Instant since) const {
  std::string& question = worker_.scratch_question;
  std::string& answer = worker_.scratch_answer;
  question.clear();
  answer.clear();
  address.append_to(question);
  append_lookup(answer, domain, found);
  if (answer.size() > Trail::kMaxText) answer = fit_answer(std::move(answer));
  if (is_new("directory.find", question, answer))
    trail_.effect(stage_, "directory.find", question, answer, trail_micros(now() - since));
}

Task<AddressLookup> RecordedDirectory::find(Address address) {
  const Instant since = worker_.executor->now();
  AddressLookup found = co_await look_up(address);
  // A directory says "foreign" of relay domains, too.
  const DomainKind domain =
      found.kind == AddressLookup::Kind::kForeign ? peek(address.domain().ascii()) : DomainKind::kLocal;
  write(address, domain, found, since);
  co_return found;
}

std::string RecordedDirectory::default_domain() const {
  return worker_.directory->default_domain();
}

DirectoryFacts RecordedDirectory::facts() const {
  return worker_.directory->facts();
}

}  // namespace postern
