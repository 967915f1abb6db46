// MemorySpool: the model of a spool. The same operations on it and on the spool on disk must give the same answers; the
// tests of other rooms use it because it needs no disk. It shares the index with the real one, and nothing of the
// files.
//
// Thread: any worker; it takes a mutex, which is why it is for tests.
#include <map>
#include <mutex>

#include "core/spool/draft.h"
#include "core/spool/id_source.h"
#include "core/spool/reader.h"

namespace postern::spool {

namespace {

/// Answers in the next turn of the loop, as the disk would.
template <class T>
class Soon final : public SpoolOp<T> {
 public:
  Soon(Executor& home, std::function<Result<T>()> ask) : home_(home), ask_(std::move(ask)) {}
  void start() override { home_.post_later(*this); }
  void run() override {
    this->result = ask_();
    this->finish();
  }

 private:
  Executor& home_;
  std::function<Result<T>()> ask_;
};

template <class T>
SpoolWait<T> soon(Executor& home, std::function<Result<T>()> ask) {
  return SpoolWait<T>(new Soon<T>(home, std::move(ask)));
}

class MemorySpool final : public Spool, private DraftHost {
 public:
  explicit MemorySpool(SpoolSettings settings) : settings_(std::move(settings)) {}

  Draft begin(Executor& home, std::uint64_t size_hint) override {
    std::scoped_lock lock(mutex_);
    auto& ids = ids_.try_emplace(home.index(), home.index() % kMaxWorkers).first->second;
    MessageId id = ids.next(home.wall(), 0);
    return Draft(std::make_unique<Draft::Impl>(home, id, size_hint, static_cast<DraftHost&>(*this),
                                               std::make_shared<ChunkPool>()));
  }

  SpoolWait<MessageReader> open(Executor& home, MessageId id) override {
    return soon<MessageReader>(home, [this, id, &home]() -> Result<MessageReader> {
      std::scoped_lock lock(mutex_);
      const Index::Entry* entry = index_.find(id.value());
      if (!entry) return fault("spool.gone", id.to_string());
      const Stored& stored = stored_.at(id.value());
      auto reader = std::make_unique<MessageReader::Impl>(home);
      reader->set(Index::info(id.value(), *entry), stored.head, stored.octets);
      return MessageReader(std::move(reader));
    });
  }

  SpoolWait<void> change(Executor& home, Change change) override {
    return soon<void>(home, [this, change = std::move(change)]() -> Result<void> {
      apply(change);
      return {};
    });
  }

  void change_lazily(Executor&, Change change) override { apply(change); }

  SpoolWait<std::vector<MessageInfo>> list(Executor& home, MessageId after, std::size_t limit) override {
    return soon<std::vector<MessageInfo>>(home, [this, after, limit] {
      std::scoped_lock lock(mutex_);
      std::vector<MessageInfo> out;
      const auto& entries = index_.entries();
      for (auto at = entries.upper_bound(after.value()); at != entries.end() && out.size() < limit; ++at)
        out.push_back(Index::info(at->first, at->second));
      return out;
    });
  }

  SpoolWait<SpoolStats> stats(Executor& home) override {
    return soon<SpoolStats>(home, [this] {
      std::scoped_lock lock(mutex_);
      SpoolStats stats = counters_;
      stats.messages = index_.entries().size();
      stats.recipients = index_.waiting();
      stats.message_bytes = index_.content_bytes();
      return stats;
    });
  }

  Handling handling(Executor&, MessageId, bool) override { return {}; }

 private:
  struct Stored {
    AcceptHead head;
    std::string octets;
  };

  void apply(const Change& change) {
    RecordHeader header{.id = change.id.value(),
                        .type = type_of(change.mark),
                        .recipient = change.recipient,
                        .time = to_micros(change.time),
                        .count = change.count};
    std::scoped_lock lock(mutex_);
    ++counters_.marks;
    index_.change(header, change.text);
    if (!index_.find(change.id.value())) stored_.erase(change.id.value());
  }

  void commit(JournalRequest& request) override {
    Stored stored{.head = request.head, .octets = {}};
    for (std::string_view part : request.payload) stored.octets += part;
    {
      std::scoped_lock lock(mutex_);
      index_.accept(request.header.id, request.head, segment_, 0, record_size(request.header.length),
                    request.payload.size() < 2 ? std::string_view() : request.payload[1]);
      stored_.insert_or_assign(request.header.id, std::move(stored));
      ++counters_.commits;
      ++counters_.batches;
    }
    request.home->post_later(request);
  }

  Store* store() override { return nullptr; }
  const SpoolSettings& settings() const override { return settings_; }

  SpoolSettings settings_;
  std::mutex mutex_;
  Index index_;
  Segment segment_;  ///< where all messages are said to be
  std::map<std::uint64_t, Stored> stored_;
  std::map<unsigned, IdSource> ids_;
  SpoolStats counters_;
};

}  // namespace
}  // namespace postern::spool

namespace postern {

std::unique_ptr<Spool> make_memory_spool(SpoolSettings settings) {
  return std::make_unique<spool::MemorySpool>(std::move(settings));
}

}  // namespace postern
