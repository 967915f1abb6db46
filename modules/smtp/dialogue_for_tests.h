// A server in a simulated world, and the other end of its connections, for tests that read as dialogues.
//
//   House house;
//   Dialogue talk(house);
//   talk.expect(220).send("EHLO a.example").expect(250);
//
// Policy and authenticator are fakes that do what a test tells them; messages end in a MemorySpool and in
// house.messages.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "postern/dns_fake.h"
#include "postern/message.h"
#include "postern/sim.h"
#include "postern/spool.h"
#include "postern/text.h"
#include "server.h"
#include "session.h"

namespace postern::smtp::test {

struct Accepted {
  Envelope envelope;
  ClientInfo client;
  std::string prefix, header, body;
  std::string text() const { return prefix + header + body; }
};

/// Says yes to everything, unless a test has other wishes.
class FakePolicy final : public Policy {
 public:
  std::function<Verdict(SessionState&)> at_connect, at_ehlo, at_auth;
  std::function<Verdict(Transaction&)> at_mail, at_data;
  std::function<Verdict(Transaction&, const Recipient&)> at_rcpt;
  std::function<Decision(Transaction&)> at_message;
  std::optional<Fault> commit_fault;
  Duration commit_time{};
  std::vector<Accepted> messages;
  std::vector<std::string> refusals;
  int disconnects = 0;
  std::function<Task<void>(SessionState&)> at_disconnect;
  std::set<Stage> hooked{Stage::kDisconnect};
  std::vector<std::string> named;  ///< answers about names that came after connect

  Task<Verdict> connect(SessionState& s) override {
    return Task<Verdict>::ready(at_connect ? at_connect(s) : Verdict{});
  }
  Task<Verdict> ehlo(SessionState& s) override { return Task<Verdict>::ready(at_ehlo ? at_ehlo(s) : Verdict{}); }
  Task<Verdict> starttls(SessionState&) override { return Task<Verdict>::ready({}); }
  Task<Verdict> auth(SessionState& s) override { return Task<Verdict>::ready(at_auth ? at_auth(s) : Verdict{}); }
  Task<Verdict> mail(Transaction& t) override {
    t.session.told = true;
    return Task<Verdict>::ready(at_mail ? at_mail(t) : Verdict{});
  }
  Task<Verdict> rcpt(Transaction& t, Recipient recipient) override {
    Verdict verdict = at_rcpt ? at_rcpt(t, recipient) : Verdict{};
    if (!verdict.refuses()) t.envelope.recipients.push_back(std::move(recipient));
    return Task<Verdict>::ready(std::move(verdict));
  }
  Task<Verdict> data(Transaction& t) override { return Task<Verdict>::ready(at_data ? at_data(t) : Verdict{}); }
  Task<Decision> message(Transaction& t) override {
    return Task<Decision>::ready(at_message ? at_message(t) : all(t, {250, "2.0.0", "Ok"}));
  }
  Task<void> disconnect(SessionState& s) override {
    ++disconnects;
    if (at_disconnect) return at_disconnect(s);
    return Task<void>::ready();
  }
  bool has_hooks(Stage stage) const override { return hooked.contains(stage); }
  void reverse_answered(SessionState& s, Transaction* t) override {
    named.push_back(s.client.reverse_name + (t ? " in mail" : ""));
  }
  Task<Result<MessageId>> commit(Transaction& t, Draft draft, const Decision&) override;
  void refused(SessionState& s, Transaction*, std::string_view why) override {
    s.told = true;
    refusals.emplace_back(why);
  }

  static Decision all(const Transaction& t, const Reply& reply) {
    Decision decision;
    for (std::size_t at = 0; at < t.envelope.recipients.size(); ++at) decision.outcomes.push_back({reply, "test"});
    return decision;
  }
};

/// Knows one user, joe with password secret.
class FakeAuth final : public Authenticator {
 public:
  AuthOutcome::Kind kind_when_right = AuthOutcome::Kind::kOk;
  std::vector<std::string_view> mechanisms(const AuthFacts& facts) const override;
  std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const AuthFacts& facts) override;
  Task<AuthOutcome> check_password(std::string name, std::string password, AuthFacts facts) override;
  Task<AuthOutcome> check_apop(std::string, std::string, std::string, AuthFacts) override {
    return Task<AuthOutcome>::ready({});
  }
};

class FakeDns final : public Resolvers {
 public:
  explicit FakeDns(Executor& executor) : resolver(executor) {}
  FakeResolver resolver;
  Resolver& of(const Executor&) override { return resolver; }
};

/// Keeps what is asked for, and has as many messages for a destination as the test says.
class FakeQueue final : public Queue {
 public:
  std::map<std::string, std::size_t> waiting;
  std::vector<std::string> asked;
  Task<std::size_t> request(std::string destination) override {
    asked.push_back(destination);
    const auto found = waiting.find(destination);
    co_return found == waiting.end() ? 0 : found->second;
  }
  void accepted(QueuedMessage) override {}
};

class FakeTls final : public TlsService {
 public:
  std::shared_ptr<TlsContext> context;
  std::shared_ptr<TlsContext> server(std::string_view) override { return context; }
};

/// What the test holds of a connection whose other end a session owns.
struct Wire {
  SocketEvents* events = nullptr;
  std::string sent;        ///< by the session
  std::size_t writes = 0;  ///< system calls it took for that
  std::string unread;      ///< what the session had no room for
  bool ended = false;
  bool reset = false;
  bool gone = false;  ///< the socket was destroyed

  void deliver(std::string_view octets);
};

struct HouseOptions {
  std::string settings;  ///< TOML below [smtp]
  std::string listener = "role = \"mx\"";
  std::shared_ptr<TlsContext> tls;
  SimOptions sim{};
  std::string address = "192.0.2.1:25";
};

class House {
 public:
  explicit House(HouseOptions options = {});
  House(std::string listener, std::string settings = {})
      : House(HouseOptions{std::move(settings), std::move(listener), {}, {}, "192.0.2.1:25"}) {}
  ~House();

  /// A session over a wire that the test cuts as it likes; from 198.51.100.7.
  std::shared_ptr<Wire> wire();
  void run() { sim.run_until_idle(); }

  SimRuntime sim;
  FakePolicy policy;
  FakeAuth auth;
  FakeTls tls;
  FakeDns dns{sim.worker(0)};
  FakeQueue queue;
  std::unique_ptr<Spool> spool = make_memory_spool();
  Metrics registry;
  SmtpMetrics metrics;
  ConnectionLimiter limiter;
  CaptureLog log;
  std::shared_ptr<const Config> config;
  std::unique_ptr<BoundEndpoint> bound;
  std::unique_ptr<Server> server;
  std::vector<Accepted>& messages = policy.messages;
  std::unique_ptr<Nursery> nursery;
};

/// The client's side of a dialogue.
class Dialogue {
 public:
  explicit Dialogue(House& house, std::optional<Endpoint> from = Endpoint::parse("198.51.100.7:40000"));
  Dialogue& send(std::string_view line) { return raw(std::string(line) + "\r\n"); }
  Dialogue& raw(std::string_view octets);
  /// Checks the code of the next reply; its text is in last().
  Dialogue& expect(int code);
  Dialogue& expect(int code, std::string_view part);
  Dialogue& expect_end();
  Dialogue& wait(Duration time) { return house_.sim.run_for(time), *this; }
  Dialogue& expect_silence();
  /// As an ordinary client begins.
  Dialogue& hello(std::string_view verb = "EHLO") {
    return expect(220).send(std::string(verb) + " client.example.org").expect(250);
  }
  /// MAIL and one RCPT.
  Dialogue& envelope() { return send("MAIL FROM:<a@x.example>").expect(250).send("RCPT TO:<b@y.example>").expect(250); }
  const std::string& last() const { return last_; }
  bool has(std::string_view part) const { return last_.find(part) != std::string::npos; }
  SimClient& client() { return *client_; }

 private:
  std::string read_reply();
  House& house_;
  std::unique_ptr<SimClient> client_;
  std::string pending_;
  std::string last_;
};

}  // namespace postern::smtp::test
