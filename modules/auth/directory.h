// The service "directory", answered from the snapshot in force; and how a reload replaces that.
//
// A look-up takes no lock and does not wait: one acquire load of a pointer. The snapshot that was replaced is kept
// until every worker has come round its loop once, for no look-up holds it across a wait; and one generation longer,
// for readers that are no worker (specs run by a reload).
//
// Owner:  AuthModule. Thread: look-ups on any; publish() and retire() on worker 0; stage() and facts() where a reload
// checks.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "postern/auth.h"
#include "postern/executor.h"
#include "snapshot.h"

namespace postern::auth {

class SnapshotDirectory final : public Directory {
 public:
  explicit SnapshotDirectory(std::shared_ptr<const Snapshot> first)
      : kept_{std::move(first)}, current_(kept_[0].get()) {}

  DomainKind domain_kind(std::string_view ascii_domain) const override { return current().domain_kind(ascii_domain); }
  std::string default_domain() const override { return current().default_domain(); }
  Task<AddressLookup> find(Address address) override { return Task<AddressLookup>::ready(current().find(address)); }

  /// Of the snapshot that a reload has checked, when there is one: the proof is about what is to come.
  DirectoryFacts facts() const override { return staged_ ? staged_->facts() : current().facts(); }
  std::optional<AddressLookup> look_ahead(const Address& address) const override {
    return staged_ ? staged_->find(address) : current().find(address);
  }

  /// Valid until the caller next waits.
  const Snapshot& current() const { return *current_.load(std::memory_order_acquire); }

  /// What a reload found, or nothing when it was wrong. Thread: the one that checks, before any publish().
  void stage(std::shared_ptr<const Snapshot> next) { staged_ = std::move(next); }
  /// Puts the staged snapshot in force; true when there was one. Call retire() after it.
  bool publish();
  /// Returns when no worker can still see what came before the last snapshot, and forgets that.
  Task<void> retire(Runtime& runtime);

 private:
  std::vector<std::shared_ptr<const Snapshot>> kept_;  // the last is current
  std::atomic<const Snapshot*> current_;
  std::shared_ptr<const Snapshot> staged_;
};

}  // namespace postern::auth
