#include "core/offline/replay.h"

#include <algorithm>
#include <thread>

#include "core/offline/recorded_mail.h"
#include "core/offline/recorded_paths.h"
#include "core/pipeline/archive.h"
#include "core/pipeline/trail_files.h"

namespace postern {
namespace {

constexpr std::size_t kPortion = 4096;       // transactions between two looks at the progress
constexpr std::size_t kMaxBeside = 100'000;  // records of brought-in mails that wait for their main mail

std::string parent_of(const std::vector<TrailEntry>& entries) {
  for (const TrailEntry& entry : entries)
    if (entry.kind == TrailEntry::Kind::kFact && entry.name == "brought-by")
      return entry.answer.substr(0, entry.answer.find(' '));
  return {};
}

/// The message of the session "brought-ID".
std::string brought_name(const TrailEntry& start) {
  return start.name.substr(start.name.find('-') + 1);
}

}  // namespace

/// What one record came to.
struct Replay::Piece {
  enum class Kind : std::uint8_t { kReplayed, kCut, kDamaged, kBrought, kOther };
  Kind kind = Kind::kReplayed;
  bool bodyless = false;
  std::string name;  ///< RecordedMail::name
  std::optional<ReplayFinding> finding;
};

class Replay::Job {
 public:
  Job(std::shared_ptr<const RuleEpoch> rules, std::shared_ptr<const GateConfig> gate, Directory& directory,
      const ReturnPaths* return_paths, std::string hostname)
      : directory_(directory), hostname_(std::move(hostname)) {
    rules_.gate = std::move(gate);
    rules_.workers.push_back(std::move(rules));
    if (return_paths) paths_.emplace(*return_paths);
  }

  Piece run(Env& env, const std::string& archive, const TrailRecord& record,
            const std::multimap<std::string, std::vector<TrailEntry>>& beside) {
    Piece out;
    auto recorded = recorded_mail(record, archived(env, archive, record));
    if (!recorded) {
      out.kind = recorded.error().code == "replay.cut"       ? Piece::Kind::kCut
                 : recorded.error().code == "replay.brought" ? Piece::Kind::kBrought
                 : recorded.error().code == "replay.other"   ? Piece::Kind::kOther
                                                             : Piece::Kind::kDamaged;
      return out;
    }
    out.name = recorded->name;
    out.bodyless = recorded->reached_message && !recorded->mail.text;
    out.finding = compare(*recorded, record, beside);
    return out;
  }

 private:
  std::optional<ReplayFinding> compare(RecordedMail& recorded, const TrailRecord& record,
                                       const std::multimap<std::string, std::vector<TrailEntry>>& beside) {
    if (!machine_) make_machine(recorded.when);
    machine_->advance_to(recorded.when);
    if (paths_) paths_->read(recorded.entries);
    // Under the same rules a note is what it was; under others what they make of it, and only the rest is taken over.
    recorded.mail.notes_win = recorded.rules == rules_.workers.front()->rules->hash;
    recorded.mail.trail_only = true;
    RecordedAnswers answers(recorded.entries);
    add_beside(answers, recorded.name, beside, 0);
    const auto result = machine_->run(recorded.mail, answers);
    const Stage last = recorded.mail.text ? Stage::kMessage : Stage::kRcpt;
    ReplayFinding finding;
    if (result)
      finding.changes = changes_between(decisions_in(recorded.entries, last), decisions_in(result->trail, last));
    else
      finding.changes.push_back(
          {true, {Stage::kConnect, DecisionLine::What::kVerdict, "could not be replayed: " + result.error().detail}});
    finding.unanswered = answers.unanswered();
    if (finding.changes.empty() && finding.unanswered.empty()) return std::nullopt;
    finding.id = record.message.empty() ? record.session : record.message;
    finding.when = recorded.when;
    finding.client = record.client;
    finding.sender = recorded.mail.envelope.sender.to_string();
    for (const Recipient& one : recorded.mail.recipients) finding.recipients.push_back(one.address.to_string());
    return finding;
  }

  static void add_beside(RecordedAnswers& answers, const std::string& message,
                         const std::multimap<std::string, std::vector<TrailEntry>>& beside, unsigned depth) {
    if (message.empty() || depth > Transaction::kMaxBroughtDepth) return;
    // Ids rise in the order in which the mails were made, and so were led; their records come as each of them ended.
    std::map<std::string, const std::vector<TrailEntry>*> children;
    const auto [first, last] = beside.equal_range(message);
    for (auto at = first; at != last; ++at)
      for (const TrailEntry& entry : at->second)
        if (entry.kind == TrailEntry::Kind::kStart) children.emplace(brought_name(entry), &at->second);
    for (const auto& [name, entries] : children) {
      for (const TrailEntry& entry : *entries)
        if (entry.kind == TrailEntry::Kind::kEffect) answers.add(entry.name, entry.question, entry.answer, entry.stage);
      add_beside(answers, name, beside, depth + 1);
    }
  }

  void make_machine(WallTime start) {
    machine_.emplace(OfflineMachine::Options{
        .directory = directory_, .return_paths = paths_ ? &*paths_ : nullptr, .hostname = hostname_, .start = start});
    machine_->install(rules_);
  }

  Directory& directory_;
  std::string hostname_;
  PreparedRules rules_;
  std::optional<RecordedPaths> paths_;
  std::optional<OfflineMachine> machine_;
};

Replay::Replay(const PreparedRules& rules, Directory& directory, const ReturnPaths* return_paths,
               std::string hostname) {
  for (const auto& one : rules.workers)
    jobs_.push_back(std::make_unique<Job>(one, rules.gate, directory, return_paths, hostname));
}

Replay::~Replay() = default;

ReplayTotals Replay::run(Env& env, const Options& options, const Told& told) {
  ReplayTotals totals;
  const std::vector<std::string> names = trail_files(env, options.trails);
  for (std::size_t i = 0; i < names.size() && totals.replayed < options.limit; ++i) {
    // A file's records lie between its name's time and that of the next, but for what workers handed over late.
    constexpr auto kLate = std::chrono::minutes(1);
    if (options.since && i + 1 < names.size() && trail_file_time(names[i + 1]) + kLate < *options.since) continue;
    if (options.until && trail_file_time(names[i]) - kLate > *options.until) break;
    run_file(env, options, read_trail_file(env, options.trails + "/" + names[i]), names[i], told, totals);
  }
  return totals;
}

void Replay::run_file(Env& env, const Options& options, std::string_view bytes, const std::string& name,
                      const Told& told, ReplayTotals& totals) {
  std::vector<TrailRecord> records;
  const auto flush = [&] {
    if (totals.replayed + records.size() > options.limit)
      records.resize(static_cast<std::size_t>(options.limit - totals.replayed));
    run_portion(env, options, records, told, totals);
    records.clear();
  };
  while (!bytes.empty() && totals.replayed < options.limit) {
    auto record = TrailRecord::decode(bytes);
    if (!record) {
      totals.damaged_files.push_back(name);
      break;
    }
    if ((options.since && record->when < *options.since) || (options.until && record->when > *options.until)) continue;
    records.push_back(std::move(*record));
    if (records.size() >= kPortion) flush();
  }
  flush();
}

void Replay::gather_beside(const std::vector<TrailRecord>& records) {
  for (const TrailRecord& record : records) {
    if (record.trail.find("brought-by") == std::string::npos || beside_.size() >= kMaxBeside) continue;
    auto entries = Trail::decode(record.trail);
    if (!entries) continue;
    std::string parent = parent_of(*entries);
    if (parent.empty()) continue;
    std::erase_if(*entries, [](const TrailEntry& entry) {
      return entry.kind != TrailEntry::Kind::kEffect && entry.kind != TrailEntry::Kind::kStart;
    });
    beside_.emplace(std::move(parent), std::move(*entries));
  }
}

/// What came with this message, and with that in turn.
void Replay::forget_beside(const std::string& message) {
  std::vector<std::string> names{message};
  while (!names.empty()) {
    const auto [first, last] = beside_.equal_range(names.back());
    names.pop_back();
    for (auto at = first; at != last; ++at)
      for (const TrailEntry& entry : at->second)
        if (entry.kind == TrailEntry::Kind::kStart) names.push_back(brought_name(entry));
    beside_.erase(first, last);
  }
}

void Replay::run_portion(Env& env, const Options& options, std::vector<TrailRecord>& records, const Told& told,
                         ReplayTotals& totals) {
  gather_beside(records);
  std::vector<Piece> pieces(records.size());
  {
    const std::size_t each = records.size() / jobs_.size() + 1;
    std::vector<std::jthread> threads;  // after what they read: they are joined at its end
    for (std::size_t job = 0; job < jobs_.size() && job * each < records.size(); ++job)
      threads.emplace_back([&, job] {
        for (std::size_t i = job * each; i < std::min(records.size(), (job + 1) * each); ++i)
          pieces[i] = jobs_[job]->run(env, options.archive, records[i], beside_);
      });
  }
  for (const Piece& piece : pieces)
    if (piece.kind == Piece::Kind::kReplayed && !piece.name.empty()) forget_beside(piece.name);
  for (const Piece& piece : pieces) {
    if (piece.kind == Piece::Kind::kCut) ++totals.cut;
    if (piece.kind == Piece::Kind::kDamaged) ++totals.damaged;
    if (piece.kind == Piece::Kind::kBrought) ++totals.brought;
    if (piece.kind == Piece::Kind::kOther) ++totals.other;
    if (piece.kind != Piece::Kind::kReplayed) continue;
    ++totals.replayed;
    if (piece.bodyless) ++totals.bodyless;
    if (!piece.finding) continue;
    ++totals.findings;
    if (!piece.finding->changes.empty()) ++totals.differ;
    if (!piece.finding->unanswered.empty()) ++totals.unanswered;
    for (const DecisionChange& change : piece.finding->changes)
      ++(change.line.what == DecisionLine::What::kVerdict ? totals.verdicts
         : change.line.what == DecisionLine::What::kRoute ? totals.routes
                                                          : totals.edits);
    if (told.finding) told.finding(*piece.finding);
  }
  if (told.progress) told.progress(totals);
}

}  // namespace postern
