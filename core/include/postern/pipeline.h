// The pipeline as protocols and the queue use it, and as matchers, mailets and script engines extend it.
//
// A session asks Policy at each stage and gets a Verdict; a whole message is run through the pipeline "root", which
// splits its recipients and makes the Plan that is committed with it. Every step is written to the transaction's Trail.
// A decision is a pure function of (transaction, answers, configuration): rules reach the world only through Effects.
//
// Thread: one Policy per worker. A Transaction belongs to the session that made it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "postern/auth.h"
#include "postern/diagnostics.h"
#include "postern/dns.h"
#include "postern/envelope.h"
#include "postern/error.h"
#include "postern/executor.h"
#include "postern/log.h"
#include "postern/message.h"
#include "postern/spool.h"
#include "postern/task.h"
#include "postern/trail.h"
#include "postern/verdict.h"

namespace postern {

struct HttpRequest;
struct HttpResponse;
struct KeyValueReply;
struct KeyValueRequest;
struct QueueEvent;
struct SpecReport;
struct SqlArgument;
struct SqlRows;
class SpecWorld;

// ---- what a message's recipients are to do --------------------------------------------------------------------------

/// A set of recipient numbers of one transaction. Up to 64 without an allocation.
class RecipientSet {
 public:
  static RecipientSet none(std::size_t size);
  static RecipientSet all(std::size_t size);
  std::size_t size() const { return size_; }  ///< of the transaction, not of the set
  bool contains(std::size_t index) const;
  void insert(std::size_t index);
  void erase(std::size_t index);
  std::size_t count() const;
  bool empty() const;
  bool full() const { return count() == size_; }
  RecipientSet operator&(const RecipientSet& other) const;
  RecipientSet operator|(const RecipientSet& other) const;
  RecipientSet operator-(const RecipientSet& other) const;
  std::string to_string() const;  ///< "0-3,7", as trails have it
  bool operator==(const RecipientSet&) const = default;

 private:
  std::size_t size_ = 0;
  std::uint64_t low_ = 0;
  std::vector<std::uint64_t> high_;
};

/// What is to happen to some recipients after the commit. Encoded with the message; the queue carries it out.
struct PlanStep {
  enum class Kind : std::uint8_t { kDeliver = 1, kRelay, kDiscard, kQuarantine, kBounce };
  Kind kind = Kind::kDeliver;
  std::vector<std::uint32_t> recipients;  ///< numbers into the envelope
  std::string account;                    ///< kDeliver: of these recipients (one step per account)
  std::string folder;  ///< kDeliver; an action may leave it empty: the recipient's note "folder", else INBOX
  std::vector<std::string> flags;  ///< kDeliver
  std::map<std::string, std::string>
      options;               ///< kRelay: "gateway", "tls", "source"; kBounce: "code","enhanced","text"
  std::string reason;        ///< kDiscard, kQuarantine
  std::string header_edits;  ///< encoded HeaderEdits of this split, beyond those already in the message; may be empty
  WallTime not_before{};     ///< hold
};

struct Plan {
  std::vector<PlanStep> steps;
  void encode(std::string& out) const;  ///< appends; versioned
  static Result<Plan> decode(std::string_view bytes);
};

// ---- a transaction --------------------------------------------------------------------------------------------------

using NoteValue = std::variant<bool, std::int64_t, double, std::string>;

/// What a session is doing now, for rules. The protocol fills it; rules read it.
struct SessionState {
  explicit SessionState(std::string session_id) : id(std::move(session_id)) {}
  std::string id;  ///< printable, unique in the process
  ClientInfo client;
  std::map<std::string, NoteValue, std::less<>> notes;  ///< set by hooks; kept for the connection
  Trail trail;                                          ///< connect to auth; copied into each transaction's
  /// The trusted host that declared client.ip and client.port (PROXY, XCLIENT); nothing: the client itself is
  /// connected.
  std::optional<IpAddress> proxy;
  Executor* executor = nullptr;  ///< of the session's worker; Policy sets it at connect and mail
  /// What became of the question after client.ip's name, which then is in client.reverse_name. Nothing: nobody asked,
  /// or the answer is still on its way; it is here before the first hook that could read it.
  struct Reverse {
    ReverseName::Status status = ReverseName::Status::kTryLater;
    Duration took{};
  };
  std::optional<Reverse> reverse;
  bool relay_network = false;  ///< the gate counts the client among its [[relay.network]]; Policy sets it at mail
  bool made_here = false;      ///< nobody's connection: mail that rules bring in, reports of the queue
  bool told = false;           ///< it came to a mail or to a refusal, whose trail tells of it; Policy sets it
};

/// A mail that a rule brings in beside the one that it is about: a copy, a notice, forwarded mail. It runs through
/// "root" after that one and is committed before it, so that one 250 covers both.
struct BroughtMail {
  Envelope envelope;
  Draft draft;       ///< whole: header and body are in it
  std::string rule;  ///< that brought it in
  std::string why;   ///< "forward", "copy_to": for the trail
  /// Recipients whose address stands in a script or the configuration: they may lie abroad where the gate forwards
  /// aliases ([relay] forward_aliases) or the mail is a notice of ours (null sender). Others must be local, but for a
  /// notice to the sender of the mail that it is about.
  bool fixed_recipients = false;
  std::vector<std::pair<std::string, NoteValue>> notes{};
  /// Set: it is sent once in a while (vacation). Asked when it is committed and never before: an increment that is not
  /// the first takes it back, and one of a mail that is not committed is undone. `expiry` is how long it then stays.
  std::shared_ptr<const KeyValueRequest> once{};
};

struct SettledMail;

/// One mail transaction, from MAIL to its end. Notes of the transaction and of each recipient are set by rules.
struct Transaction {
  explicit Transaction(SessionState& owner) : session(owner) {}
  SessionState& session;
  Envelope envelope;
  std::vector<AddressLookup> lookups;  ///< beside envelope.recipients: what the directory said at RCPT
  std::map<std::string, NoteValue, std::less<>> notes;
  /// Beside envelope.recipients, or empty. Three of them speak to `deliver` and `relay`: "folder" (text) is where a
  /// delivery that names no folder goes, "delivered-to" (true) gives the recipient's copy a Delivered-To field,
  /// "not-before" (seconds since 1970) is when the recipient's step may begin.
  std::vector<std::map<std::string, NoteValue, std::less<>>> recipient_notes;
  std::vector<bool> relay;  ///< beside envelope.recipients: the gate let it pass as relaying
  HeaderEdits edits;        ///< for all recipients
  Trail trail;
  Instant started{};
  std::uint64_t size = 0;            ///< of the message, known from the data stage on
  std::uint32_t received_count = 0;  ///< Received header fields (loop guard, RFC 5321 §6.3)
  Draft* draft = nullptr;            ///< the message's text, from the data stage on
  bool answers_each = false;   ///< LMTP or PRDR: the session tells each recipient its own outcome after the message
  Verdict fate;                ///< of all recipients: a hook's discard, quarantine or hold; kept for "root"'s end
  std::vector<Verdict> fates;  ///< the same of single recipients, beside envelope.recipients, or empty
  static constexpr std::size_t kMaxBrought = 100;  ///< of one transaction
  static constexpr unsigned kMaxBroughtDepth = 4;  ///< mails that brought-in mails bring in
  std::vector<BroughtMail> brought;                ///< rules put them there; Policy runs and commits them
  unsigned brought_depth = 0;                      ///< 0: came from a client
  std::vector<std::string> brought_by;             ///< BroughtMail::why of this mail and of those that it came from
  /// Mails that commit() writes before this one: those brought in, and this mail with other bodies for some of its
  /// recipients. They have been through "root"; message() puts them here.
  std::vector<std::shared_ptr<SettledMail>> settled;
  /// The message's header block as it came; empty before the data stage.
  std::string_view headers() const;
};

/// What became of one recipient in "root".
struct RecipientOutcome {
  Reply reply;       ///< 250, or why not
  std::string rule;  ///< that decided
};

/// What "root" decided about a message; see architecture.md decision 6 for what a session answers.
///
/// "root" may replace an alias in the envelope by its targets: the first takes its number, further ones come after all
/// others. `outcomes` speaks of the recipients that the client named, by their numbers.
struct Decision {
  std::vector<RecipientOutcome> outcomes;  ///< one per recipient that the client named
  Plan plan;                               ///< for those that were accepted
  Verdict whole;                           ///< set when one verdict covers all (message hook, or all agree)
  bool refuses_all() const;
  bool refuses_some() const;
  /// The one reply of a session without PRDR: the refusal when all refuse (a temporary one wins), else 250.
  Reply reply() const;
};

/// A mail beside the one that a client sent, through with "root" and not yet committed.
struct SettledMail {
  std::unique_ptr<SessionState> session;  ///< its own, of a mail that a rule brought in; else that of the main mail
  std::unique_ptr<Transaction> transaction;
  Draft draft;
  Decision decision;
  std::string rule;                               ///< that brought it in, or gave it its body
  std::string why;                                ///< BroughtMail::why; "another body"
  std::shared_ptr<const KeyValueRequest> once{};  ///< BroughtMail::once
};

/// Service "policy": one object, per-worker state inside; call from a worker with that worker's executor in context.
class Policy {
 public:
  static constexpr std::string_view kService = "policy";
  virtual ~Policy();
  /// Whether `peer` may declare a client's address (PROXY, XCLIENT): the [[relay.proxy]] lines. Any worker.
  virtual bool trusts_proxy(const IpAddress& peer) const;
  virtual Task<Verdict> connect(SessionState& session) = 0;
  virtual Task<Verdict> ehlo(SessionState& session) = 0;
  virtual Task<Verdict> starttls(SessionState& session) = 0;
  virtual Task<Verdict> auth(SessionState& session) = 0;
  virtual Task<Verdict> mail(Transaction& transaction) = 0;
  /// The gate, then the directory, then hooks. On acceptance the recipient has been appended to the envelope with its
  /// lookup; the verdict is kContinue or kAccept. 550 5.7.1 (relaying denied), 550 5.1.1 (no such user), 451 4.4.3.
  virtual Task<Verdict> rcpt(Transaction& transaction, Recipient recipient) = 0;
  virtual Task<Verdict> data(Transaction& transaction) = 0;      ///< headers seen, before the body ends
  virtual Task<Decision> message(Transaction& transaction) = 0;  ///< whole message: hook "message", then "root"
  /// The session has ended. Hooks may log and count; nobody is left to be refused. Await it once the client is gone.
  virtual Task<void> disconnect(SessionState& session) = 0;
  /// Whether a hook waits for this stage: what only hooks ask for need not be there else. Any worker.
  virtual bool has_hooks(Stage stage) const;
  /// `session.reverse` came after connect: writes it to the trails of the session and of the mail under way, if any.
  virtual void reverse_answered(SessionState& session, Transaction* transaction);
  /// Commits what was accepted, with its plan and trail; returns once it is durable and hands it to the queue. Faults:
  /// "spool.full" (452 4.3.1), "spool.latched" (451 4.3.0), others 451. The draft is spent.
  virtual Task<Result<MessageId>> commit(Transaction& transaction, Draft draft, const Decision& decision) = 0;
  /// The queue at work on a message: runs the hooks of event.stage. Costs nothing where has_hooks() says no.
  virtual Task<Verdict> queue_event(QueueEvent& event);
  /// Writes the trail of a transaction or session that came to nothing (refused, aborted); bounded, unsynced.
  virtual void refused(SessionState& session, Transaction* transaction, std::string_view why) = 0;
};

// ---- extension: matchers, mailets, hooks, engines -----------------------------------------------------------------

class Effects;

/// What a matcher or action works on: the transaction narrowed to some recipients.
struct RuleCall {
  Transaction& transaction;
  const RecipientSet& recipients;
  Effects& effects;
  Stage stage = Stage::kMessage;
  /// Of an action that runs for some recipients only: its own edits go to transaction.edits, which is empty before, and
  /// these came before it, for all and for the first of its recipients. edits_so_far() joins them.
  const HeaderEdits* edits_of_all = nullptr;
  const HeaderEdits* edits_of_some = nullptr;
  HeaderEdits edits_so_far() const;
};

class Matcher {
 public:
  virtual ~Matcher();
  /// Which of call.recipients it selects. A fault makes the rule fail (on_error).
  virtual Task<Result<RecipientSet>> match(RuleCall call) = 0;
  /// For the load checks: "relay_limit"; of a combination also its parts, "all_of(relay_limit, all)". May be empty.
  virtual std::string name() const { return {}; }
};

/// What an action did: go on with the next action, or a final word about its recipients.
struct ActionResult {
  enum class Kind : std::uint8_t { kNext, kGo, kFinal };
  Kind kind = Kind::kNext;
  std::string pipeline;  ///< kGo
  PlanStep step;         ///< kFinal with an acceptance; recipients are filled in by the pipeline
  Verdict verdict;       ///< kFinal with a refusal (reject, defer), or kHold, kDiscard, kQuarantine
  /// kNext: these recipients' message from here on, made with Effects::begin_draft: its header as it came (edits stay
  /// apart) with what the new body needs, and the body. The trace fields above it are the pipeline's to move.
  std::shared_ptr<Draft> body{};
};

class Action {
 public:
  virtual ~Action();
  virtual Task<Result<ActionResult>> run(RuleCall call) = 0;
  virtual std::string name() const { return {}; }  ///< for the load checks: "bounce"; may be empty
  /// For the load checks: true when nothing after it can run.
  virtual bool is_final() const { return false; }
  /// Name of the pipeline it goes to, for the load checks; empty when it is no `go`.
  virtual std::string goes_to() const { return {}; }
  /// Addresses to which it sends mail whoever the mail is from, for the proof of the gate.
  virtual std::vector<Address> sends_to() const { return {}; }
  /// The next hop that it names, for the checks: a host or the name of a route; empty when it names none.
  virtual std::string gateway() const { return {}; }
  /// Addresses that it puts in a recipient's place, for the checks: those of them that are ours must exist.
  virtual std::vector<Address> rewrites_to() const { return {}; }
};

/// A function of a script where a mailet wants a list of addresses (`redirect { to = function(mail) ... end }`). An
/// engine that has functions gives a Matcher that is one of these, too.
class AddressSource {
 public:
  virtual ~AddressSource();
  /// The addresses for this mail; none: it stays as it is. Errors: the script's; "script.type" for what is no address.
  virtual Task<Result<std::vector<Address>>> addresses(RuleCall call) = 0;
};

/// An argument as a script or TOML gives it.
struct ScriptValue {
  using List = std::vector<ScriptValue>;
  using Map = std::map<std::string, ScriptValue, std::less<>>;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Map, std::shared_ptr<Matcher>> value;
  Origin origin;
};

/// Declares one matcher or mailet: what the manual, the nearest-name hints and the load checks know of it.
struct ArgumentInfo {
  std::string_view name;  ///< key in a table argument; positional when `position` >= 0
  std::string_view type;  ///< "string", "size", "integer", "list of addresses" …
  std::string_view purpose;
  bool required = false;
  int position = -1;
};
template <class Made>
struct RuleDeclaration {
  std::string_view name;     ///< "recipient_is"
  std::string_view purpose;  ///< one line
  std::string_view example;  ///< as in a pipeline
  std::string_view errors;   ///< which faults it may have
  std::vector<ArgumentInfo> arguments;
  /// Builds it; a fault's detail is shown at the argument's place. `arguments` is as the script wrote them: nothing
  /// (monostate) without any; the value itself for one (`relay_limit(100)`, `deliver { folder = "x" }`, a sequence
  /// `recipient_is { "a", "b" }` as List); a List for several (`bounce("5.7.1", "no")`). A table with both positions
  /// and keys is a Map whose positions have the keys "1", "2" and so on.
  std::function<Result<std::shared_ptr<Made>>(const ScriptValue& arguments)> make;
};
using MatcherDeclaration = RuleDeclaration<Matcher>;
using ActionDeclaration = RuleDeclaration<Action>;

/// Service "rules": all matchers and mailets that modules declared, by name. Filled in prepare, then only read.
class RuleRegistry {
 public:
  static constexpr std::string_view kService = "rules";
  virtual ~RuleRegistry();
  virtual void add(MatcherDeclaration declaration) = 0;
  virtual void add(ActionDeclaration declaration) = 0;
  virtual const MatcherDeclaration* matcher(std::string_view name) const = 0;
  virtual const ActionDeclaration* action(std::string_view name) const = 0;
  virtual std::vector<std::string_view> matchers() const = 0;
  virtual std::vector<std::string_view> actions() const = 0;
  /// A name of the standard library whose room does not exist yet: the engine says so at load instead of "unknown".
  virtual void add_future(std::string_view name, std::string_view room) = 0;
  /// The room that `name` waits for ("DKIM"); empty when the name is not one of those.
  virtual std::string_view future(std::string_view name) const = 0;
};
/// The registry that main provides; tests of modules make their own.
std::unique_ptr<RuleRegistry> make_rule_registry();

enum class OnError : std::uint8_t { kDefer, kSkip, kQuarantine, kReject };

struct Rule {
  std::string name;  ///< given, or "root#2"
  Origin origin;
  std::shared_ptr<Matcher> when;  ///< nothing: every recipient
  std::vector<std::shared_ptr<Action>> actions;
  OnError on_error = OnError::kDefer;
};
struct PipelineRules {
  std::string name;
  Origin origin;
  std::vector<Rule> rules;
};

/// What a hook sees.
struct HookCall {
  Stage stage;
  SessionState& session;
  Transaction* transaction = nullptr;    ///< from mail on
  const Recipient* recipient = nullptr;  ///< at rcpt
  Effects& effects;
  QueueEvent* event = nullptr;  ///< from queued to bounced; `transaction` then has the envelope and no draft
};
class HookHandler {
 public:
  virtual ~HookHandler();
  virtual Task<Result<Verdict>> handle(HookCall call) = 0;
};
struct Hook {
  Stage stage;
  std::string name;  ///< "gateway.lua:12"
  Origin origin;
  std::optional<SessionRole> role;
  std::shared_ptr<HookHandler> handler;
  OnError on_error = OnError::kDefer;
};

/// One epoch's rules on one worker: what a script engine made. Immutable; kept alive by the transactions that use it.
struct RuleSet {
  std::map<std::string, PipelineRules, std::less<>> pipelines;
  std::vector<Hook> hooks;
  std::uint64_t hash = 0;        ///< of scripts and configuration
  std::shared_ptr<void> engine;  ///< the script state that the rules live in
  /// Names of lints that scripts waived, with their reasons.
  std::vector<std::pair<std::string, std::string>> waivers;
  std::vector<Origin> waiver_origins;  ///< beside waivers, or empty
};

/// Service "scripts": turns script files into rules, for one worker at a time.
class ScriptEngine {
 public:
  static constexpr std::string_view kService = "scripts";
  virtual ~ScriptEngine();
  /// Faults go to `diagnostics`, all at once; nothing is returned then.
  virtual std::shared_ptr<RuleSet> load(const std::vector<std::string>& files, const RuleRegistry& registry,
                                        Diagnostics& diagnostics) = 0;
  /// Runs the specs of `files` (postern/spec.h), each case in a world that `make_world` gives. False: `diagnostics`
  /// says why they could not be run.
  virtual bool run_specs(const std::vector<std::string>& files,
                         const std::function<std::unique_ptr<SpecWorld>()>& make_world, SpecReport& report,
                         Diagnostics& diagnostics);
  /// What editors need to know of scripts' words, `registry`'s matchers and mailets among them: a file of annotations
  /// (LuaLS, `---@meta`). Empty: this engine has none.
  virtual std::string annotations(const RuleRegistry& registry) const;
};

/// The world, as rules may ask it. Each question is written to the trail with its answer and time.
class Effects {
 public:
  virtual ~Effects();
  virtual Task<DnsAnswer> dns(std::string name, RecordType type) = 0;
  virtual WallTime clock() = 0;
  virtual double random() = 0;  ///< [0, 1)
  virtual void log(std::string_view level, std::string_view text) = 0;
  virtual void count(std::string_view counter, std::int64_t by) = 0;
  virtual Trail& trail() = 0;
  virtual Directory& directory() = 0;
  virtual Executor& executor() = 0;
  virtual Duration time_limit() const = 0;  ///< [limits] of pipeline.md: wall clock with waits
  /// These answer "effects.none" where nobody provides them: tests of rules that do not ask.
  virtual Task<Result<HttpResponse>> http(HttpRequest request);
  /// `database`: the name of a service Database (postern/database.h).
  virtual Task<Result<SqlRows>> sql(std::string database, std::string statement, std::vector<SqlArgument> arguments);
  /// `store`: the name of a service KeyValueStore; empty: the one of [pipeline] kv.
  virtual Task<Result<KeyValueReply>> kv(std::string store, KeyValueRequest request);
  /// A message to be written and brought in, or to take the place of *Transaction::draft.
  virtual Result<Draft> begin_draft(std::uint64_t size_hint = 0);
  /// For native rules that keep state of their own (at_most, rate_limit), before they look at it: in a server nothing.
  /// In a replay what the trail has for (effect, question), in order; empty when it has nothing, which is noted.
  virtual std::optional<std::string> recorded(std::string_view effect, std::string_view question);
};

// ---- the queue's side -----------------------------------------------------------------------------------------------

/// A message that is durable and waits for its recipients' steps.
struct QueuedMessage {
  MessageId id{};
  Envelope envelope;
  Plan plan;
  std::uint64_t size = 0;
  WallTime accepted{};
};

/// Service "queue".
class Queue {
 public:
  static constexpr std::string_view kService = "queue";
  virtual ~Queue();
  /// Before an accepted message is committed: may delay it (hold_until) for its sender to take it back. Any worker.
  virtual void before_commit(Envelope& envelope, const ClientInfo& client, WallTime now);
  /// Tries what waits for a destination now, and releases what is collected for it (ETRN, RFC 1985). Returns how many
  /// messages that are. Any worker.
  virtual Task<std::size_t> request(std::string destination);
  /// Takes over a message that was just committed; any worker; never waits, never fails.
  virtual void accepted(QueuedMessage message) = 0;
};

}  // namespace postern
