// Fakes for the POP3 tests: a mail store in memory that can fail, an authenticator with passwords in the clear, and a
// TLS that only inverts octets after one octet of handshake, so that a test can speak it by hand.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "postern/auth.h"
#include "postern/mailstore.h"
#include "postern/sim.h"
#include "postern/stream.h"
#include "postern/sync.h"
#include "postern/text.h"
#include "postern/tls.h"
#include "server.h"
#include "session.h"

namespace postern::pop3::testing {

struct FakeMessage {
  std::uint32_t uid = 0;
  std::string text;
  bool seen = false;
  WallTime received{};
};

struct FakeDrop {
  std::vector<FakeMessage> messages;
  std::map<std::string, std::string> attributes;
};

/// What is wrong with the store at present.
struct FakeFaults {
  std::string open;                    ///< fault code of open()
  std::string read;                    ///< of read()
  bool read_breaks_off = false;        ///< after the first chunk
  bool remove_all = false;             ///< every removal fails
  std::set<std::uint32_t> remove_uid;  ///< removals that include one of these fail
};

class FakeBody final : public MessageBody {
 public:
  FakeBody(std::string text, std::size_t chunk, bool breaks_off)
      : text_(std::move(text)), chunk_(chunk), breaks_off_(breaks_off) {}
  Task<Result<std::string_view>> next() override {
    if (breaks_off_ && at_ > 0) co_return fault("store.io", "the disk went away");
    co_await sleep_for(1ms);  // as a disk pool would
    std::string_view piece = std::string_view(text_).substr(at_, chunk_);
    at_ += piece.size();
    co_return piece;
  }

 private:
  std::string text_;
  std::size_t chunk_, at_ = 0;
  bool breaks_off_;
};

class FakeMailbox final : public Mailbox {
 public:
  FakeMailbox(FakeDrop& drop, FakeFaults& faults, std::size_t chunk) : drop_(drop), faults_(faults), chunk_(chunk) {
    for (const FakeMessage& message : drop.messages) {
      MailboxMessage listed;
      listed.uid = message.uid;
      listed.unique_id = fmt::format("id{}", message.uid);
      listed.size = message.text.size();
      listed.received = message.received;
      listed.seen = message.seen;
      listed_.push_back(listed);
    }
  }
  const std::vector<MailboxMessage>& messages() const override { return listed_; }
  Task<Result<std::unique_ptr<MessageBody>>> read(std::size_t index) override {
    if (!faults_.read.empty()) co_return fault(faults_.read, "as the test wants it");
    for (const FakeMessage& message : drop_.messages)
      if (message.uid == listed_[index].uid)
        co_return std::make_unique<FakeBody>(message.text, chunk_, faults_.read_breaks_off);
    co_return fault("store.gone");
  }
  Task<Result<void>> remove(std::vector<std::size_t> indexes) override {
    co_await sleep_for(1ms);
    if (faults_.remove_all) co_return fault("store.io", "read-only file system");
    for (std::size_t index : indexes)
      if (faults_.remove_uid.contains(listed_[index].uid)) co_return fault("store.io", "permission denied");
    for (std::size_t index : indexes)
      std::erase_if(drop_.messages, [&](const FakeMessage& m) { return m.uid == listed_[index].uid; });
    co_return Result<void>();
  }
  Task<Result<void>> mark_seen(std::vector<std::size_t> indexes) override {
    for (std::size_t index : indexes)
      for (FakeMessage& message : drop_.messages)
        if (message.uid == listed_[index].uid) message.seen = true;
    return Task<Result<void>>::ready();
  }
  std::string attribute(std::string_view name) const override {
    auto found = drop_.attributes.find(std::string(name));
    return found == drop_.attributes.end() ? std::string() : found->second;
  }
  Task<Result<void>> set_attribute(std::string name, std::string value) override {
    drop_.attributes[name] = value;
    return Task<Result<void>>::ready();
  }

 private:
  FakeDrop& drop_;
  FakeFaults& faults_;
  std::size_t chunk_;
  std::vector<MailboxMessage> listed_;
};

class FakeStore final : public MailStore {
 public:
  Task<Result<std::string>> stage(DeliveryRequest, MessageReader&) override { co_return fault("store.fake"); }
  Task<Result<void>> publish(std::string) override { co_return fault("store.fake"); }
  Task<Result<bool>> is_staged(std::string) override { co_return fault("store.fake"); }
  Task<void> discard(std::string) override { co_return; }
  Task<std::size_t> sweep(WallTime) override { co_return 0; }
  Task<Result<std::unique_ptr<Mailbox>>> open(std::string account, std::string) override {
    opened_on.push_back((co_await this_executor()).index());
    if (!faults.open.empty()) co_return fault(faults.open, "as the test wants it");
    co_return std::make_unique<FakeMailbox>(drops[account], faults, chunk);
  }

  std::map<std::string, FakeDrop> drops;
  FakeFaults faults;
  std::size_t chunk = 1000;
  std::vector<unsigned> opened_on;
};

class FakeAuth final : public Authenticator {
 public:
  using Kind = AuthOutcome::Kind;
  class Exchange final : public SaslExchange {
   public:
    Exchange(FakeAuth& auth, AuthFacts facts) : auth_(auth), facts_(std::move(facts)) {}
    Task<Step> step(std::optional<std::string> response) override {
      if (!response) co_return Step{std::nullopt, ""};
      std::size_t second = response->find('\0', 1);
      if (response->empty() || response->front() != '\0' || second == std::string::npos) {
        AuthOutcome malformed;
        malformed.kind = Kind::kMalformed;
        co_return Step{malformed, {}};
      }
      co_return Step{
          co_await auth_.check_password(response->substr(1, second - 1), response->substr(second + 1), facts_), {}};
    }

   private:
    FakeAuth& auth_;
    AuthFacts facts_;
  };

  std::vector<std::string_view> mechanisms(const AuthFacts& facts) const override {
    if (!facts.secure && !facts.allow_plaintext) return {};
    return {"PLAIN"};
  }
  std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const AuthFacts& facts) override {
    if (!equal_folded(mechanism, "PLAIN")) return nullptr;
    return std::make_unique<Exchange>(*this, facts);
  }
  Task<AuthOutcome> check_password(std::string name, std::string password, AuthFacts facts) override {
    ++checks;
    AuthOutcome outcome;
    outcome.kind = answer;
    if (answer == Kind::kOk && !facts.secure && !facts.allow_plaintext) outcome.kind = Kind::kInsecure;
    auto found = passwords.find(name);
    if (outcome.kind == Kind::kOk && (found == passwords.end() || found->second != password))
      outcome.kind = Kind::kRefused;
    if (outcome.kind == Kind::kOk) outcome.account = name;
    co_await sleep_for(1ms);
    co_return outcome;
  }
  Task<AuthOutcome> check_apop(std::string name, std::string timestamp, std::string digest, AuthFacts) override {
    last_timestamp = timestamp;
    AuthOutcome outcome;
    if (passwords.contains(name) && digest == "digest-of-" + timestamp) {
      outcome.kind = Kind::kOk;
      outcome.account = name;
    }
    co_return outcome;
  }

  std::map<std::string, std::string> passwords{{"alice@example.org", "secret"}, {"bob@example.org", "pass word"}};
  Kind answer = Kind::kOk;  ///< kOk: as passwords say
  std::string last_timestamp;
  int checks = 0;
};

inline std::string inverted(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(~c);
  return out;
}

/// The client's handshake is the octet 'h', the server's answer 'H'.
class FakeFilter final : public StreamFilter {
 public:
  State received(std::span<const char> octets, std::string& plain, std::string& wire) override {
    std::string_view text(octets.data(), octets.size());
    if (!established_ && !text.empty()) {
      if (text.front() != 'h') return State::kFailed;
      established_ = true;
      wire += 'H';
      text.remove_prefix(1);
    }
    plain += inverted(text);
    return State::kOk;
  }
  State send(std::string_view plain, std::string& wire) override {
    wire += inverted(plain);
    return State::kOk;
  }
  State begin(std::string&) override { return State::kOk; }
  void close(std::string&) override {}
  bool established() const override { return established_; }
  TlsInfo info() const override {
    TlsInfo info;
    info.version = "fake";
    return info;
  }
  std::string error() const override { return "not the fake handshake"; }

 private:
  bool established_ = false;
};

class FakeTlsContext final : public TlsContext {
 public:
  std::unique_ptr<StreamFilter> make_filter() override { return std::make_unique<FakeFilter>(); }
  std::unique_ptr<StreamFilter> make_client_filter(std::string_view) override { return nullptr; }
  std::vector<std::string> names() const override { return {}; }
};

class FakeTls final : public TlsService {
 public:
  std::shared_ptr<TlsContext> server(std::string_view name) override { return name.empty() ? context_ : nullptr; }

 private:
  std::shared_ptr<TlsContext> context_ = std::make_shared<FakeTlsContext>();
};

/// A server with two messages for Alice, in virtual time.
class World {
 public:
  explicit World(SimOptions options = {.seed = 7, .workers = 2}) : sim(options), metrics(options.workers) {
    store.drops["alice@example.org"].messages = {{1, "Subject: one\r\n\r\nfirst\r\n"},
                                                 {5, "Subject: two\r\n\r\n.dot\r\nsecond\r\n"}};
    settings->listeners.resize(1);
    settings->listeners[0].allow_plaintext = true;
    settings->listeners[0].tls = TlsMode::kStartTls;
  }
  ~World() {
    drain();
    server->clear();
  }
  void start() {
    server.emplace(ServerParts{
        .runtime = sim, .store = store, .auth = auth, .tls = &tls, .metrics = metrics, .hostname = "mail.example.org"});
    bound = std::move(*sim.bind(*Endpoint::parse("192.0.2.1:110")));
    for (unsigned i = 0; i < sim.workers(); ++i) server->start(sim.worker(i), log.log(), settings);
    for (unsigned i = 0; i < sim.workers(); ++i) server->shard(i)->listen(*bound, 0);
  }
  void drain(Duration limit = 1s) {
    if (!server) start();
    std::vector<std::unique_ptr<Nursery>> drains;
    for (unsigned i = 0; i < sim.workers(); ++i) {
      drains.push_back(std::make_unique<Nursery>(sim.worker(i)));
      drains.back()->spawn(server->shard(i)->drain(Deadline::after(limit)));
    }
    sim.run_for(limit + 10s);
  }
  FakeDrop& alice() { return store.drops["alice@example.org"]; }
  std::size_t locks() {
    std::size_t all = 0;
    for (unsigned i = 0; i < sim.workers(); ++i) all += server->shard(i)->locks();
    return all;
  }
  std::size_t sessions() {
    std::size_t all = 0;
    for (unsigned i = 0; i < sim.workers(); ++i) all += server->shard(i)->sessions();
    return all;
  }

  SimRuntime sim;
  Metrics metrics;
  CaptureLog log;
  FakeStore store;
  FakeAuth auth;
  FakeTls tls;
  std::shared_ptr<Pop3Settings> settings = std::make_shared<Pop3Settings>();
  std::optional<Server> server;
  std::unique_ptr<BoundEndpoint> bound;
};

/// The client's side of a dialogue.
class Talk {
 public:
  explicit Talk(World& world, std::string from = "198.51.100.7") : world_(world) {
    if (!world.server) world.start();
    Endpoint client;
    client.ip = *IpAddress::parse(from);
    client_ = world.sim.connect(world.bound->endpoint(), client);
    greeting_ = wait();
  }
  /// Sends a line and returns all that comes back.
  std::string say(std::string_view line) { return raw(std::string(line) + "\r\n"); }
  std::string raw(std::string_view octets) {
    client_->send(tls_ ? inverted(octets) : std::string(octets));
    return wait();
  }
  std::string wait() {
    world_.sim.run_for(100ms);
    return hear();
  }
  std::string hear() { return tls_ ? inverted(client_->take()) : client_->take(); }
  void start_tls() {
    client_->send("h");
    world_.sim.run_for(100ms);
    handshake_ = client_->take();
    tls_ = true;
  }
  void login(std::string_view name = "alice@example.org", std::string_view password = "secret") {
    hear();
    say(fmt::format("USER {}", name));
    say(fmt::format("PASS {}", password));
  }
  bool ended() const { return client_->ended(); }
  const std::string& greeting() const { return greeting_; }
  const std::string& handshake() const { return handshake_; }
  SimClient& client() { return *client_; }

 private:
  World& world_;
  std::unique_ptr<SimClient> client_;
  std::string greeting_, handshake_;
  bool tls_ = false;
};

inline bool is_ok(std::string_view reply) {
  return reply.starts_with("+OK");
}
inline bool is_err(std::string_view reply) {
  return reply.starts_with("-ERR ");
}

}  // namespace postern::pop3::testing
