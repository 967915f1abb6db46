// The directory as rules and the policy see it: what it says of an address is written to the trail, once for each
// address and run, and in a replay it is the trail that answers.
//
// An entry "directory.find" tells what is known of an address and, by that, of its domain; "directory.domain" stands
// only where nobody wanted more. Writing allocates nothing but the trail's own room: the texts are built in the
// worker's scratch strings, between two waits.
//
// Owner:  a run (LiveEffects, or one RCPT); it and what it is asked for do not outlive worker and trail.
// Thread: its worker.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "postern/auth.h"
#include "postern/pipeline.h"

namespace postern {

struct PolicyWorker;

class RecordedDirectory final : public Directory {
 public:
  /// All outlive it. Behind `until` an answer that would have to be waited for is "temporary".
  RecordedDirectory(PolicyWorker& worker, Trail& trail, Stage stage, Instant until = Instant::max())
      : worker_(worker), trail_(trail), stage_(stage), until_(until) {}

  DomainKind domain_kind(std::string_view ascii_domain) const override;
  Task<AddressLookup> find(Address address) override;
  std::string default_domain() const override;  ///< configuration: not written
  DirectoryFacts facts() const override;        ///< likewise

  // The same in steps, for callers that ask for a domain first and then for the address: one entry for both.

  Instant now() const;
  DomainKind peek(std::string_view ascii_domain) const;  ///< without an entry
  Task<AddressLookup> look_up(const Address& address);   ///< without an entry; a ready Task where the directory's is
  /// `since`: now() before the question.
  void write(const Address& address, DomainKind domain, const AddressLookup& found, Instant since) const;

 private:
  static constexpr std::size_t kRemembered = 16;
  struct Seen {
    std::uint64_t question = 0, answer = 0;
  };
  bool is_new(std::string_view effect, std::string_view question, std::string_view answer) const;

  PolicyWorker& worker_;
  Trail& trail_;
  Stage stage_;
  Instant until_;
  mutable std::array<Seen, kRemembered> seen_{};  ///< what was written last; in place of a set, which would allocate
  mutable std::size_t next_ = 0;
};

}  // namespace postern
