// What dialogue_for_tests.h declares.
#include "dialogue_for_tests.h"

#include <cstring>

namespace postern::smtp::test {

Task<Result<MessageId>> FakePolicy::commit(Transaction& t, Draft draft, const Decision&) {
  if (commit_time > Duration::zero()) co_await sleep_for(commit_time);
  if (commit_fault) co_return std::unexpected(*commit_fault);
  Accepted accepted{t.envelope, t.session.client, std::string(draft.prefix()), std::string(draft.header()), {}};
  while (true) {
    Result<std::string> piece = co_await draft.read_body(accepted.body.size(), 16384);
    if (!piece || piece->empty()) break;
    accepted.body += *piece;
  }
  AcceptMeta meta;
  meta.recipients = static_cast<std::uint32_t>(t.envelope.recipients.size());
  Result<MessageId> id = co_await draft.commit(std::move(meta));
  if (id) messages.push_back(std::move(accepted));
  co_return id;
}

namespace {

bool knows(std::string_view name, std::string_view password) {
  return name == "joe" && password == "secret";
}

class FakeExchange final : public SaslExchange {
 public:
  FakeExchange(bool login, AuthOutcome::Kind right) : login_(login), right_(right) {}
  Task<Step> step(std::optional<std::string> response) override {
    return Task<Step>::ready(login_ ? login(response) : plain(response));
  }

 private:
  Step end(AuthOutcome::Kind kind) {
    AuthOutcome outcome;
    outcome.kind = kind;
    if (kind == AuthOutcome::Kind::kOk) outcome.account = "joe";
    return {outcome, {}};
  }
  Step plain(const std::optional<std::string>& response) {
    if (!response) return {};
    const auto parts = split(*response, '\0');
    if (parts.size() != 3) return end(AuthOutcome::Kind::kMalformed);
    return end(knows(parts[1], parts[2]) ? right_ : AuthOutcome::Kind::kRefused);
  }
  Step login(const std::optional<std::string>& response) {
    if (!response) return {{}, "Username:"};
    if (name_.empty()) {
      name_ = *response;
      return {{}, "Password:"};
    }
    return end(knows(name_, *response) ? right_ : AuthOutcome::Kind::kRefused);
  }
  bool login_;
  AuthOutcome::Kind right_;
  std::string name_;
};

/// The session's socket in House::wire().
class WireSocket final : public Socket {
 public:
  explicit WireSocket(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  ~WireSocket() override {
    wire_->events = nullptr;
    wire_->gone = true;
  }
  void start(SocketEvents& events) override { wire_->events = &events; }
  void resume_reading() override { wire_->deliver({}); }
  std::ptrdiff_t try_write(std::span<const std::string_view> parts) override {
    std::ptrdiff_t taken = 0;
    for (const std::string_view part : parts) {
      wire_->sent += part;
      taken += static_cast<std::ptrdiff_t>(part.size());
    }
    ++wire_->writes;
    return taken;
  }
  void write(std::string octets) override { wire_->sent += octets; }
  void shutdown() override { wire_->ended = true; }
  void reset() override { wire_->reset = true; }
  Endpoint local() const override { return *Endpoint::parse("192.0.2.1:25"); }
  Endpoint peer() const override { return *Endpoint::parse("198.51.100.7:40000"); }
  std::unique_ptr<DetachedSocket> detach() override { return nullptr; }

 private:
  std::shared_ptr<Wire> wire_;
};

}  // namespace

std::vector<std::string_view> FakeAuth::mechanisms(const AuthFacts& facts) const {
  if (!facts.secure && !facts.allow_plaintext) return {};
  return {"PLAIN", "LOGIN"};
}

std::unique_ptr<SaslExchange> FakeAuth::begin(std::string_view mechanism, const AuthFacts&) {
  if (equal_folded(mechanism, "PLAIN")) return std::make_unique<FakeExchange>(false, kind_when_right);
  if (equal_folded(mechanism, "LOGIN")) return std::make_unique<FakeExchange>(true, kind_when_right);
  return nullptr;
}

Task<AuthOutcome> FakeAuth::check_password(std::string name, std::string password, AuthFacts) {
  AuthOutcome outcome;
  if (knows(name, password)) outcome.kind = AuthOutcome::Kind::kOk;
  return Task<AuthOutcome>::ready(std::move(outcome));
}

void Wire::deliver(std::string_view octets) {
  unread += octets;
  while (!unread.empty() && events) {
    const std::span<char> room = events->on_room(unread.size());
    if (room.empty()) return;
    const std::size_t some = std::min(room.size(), unread.size());
    std::memcpy(room.data(), unread.data(), some);
    unread.erase(0, some);
    events->on_data(some);
  }
}

House::House(HouseOptions options)
    : sim(options.sim), registry(options.sim.workers), metrics(registry), limiter(sim), log(LogLevel::kDebug) {
  ConfigSchemas schemas;
  schemas.add<Settings>();
  Diagnostics diagnostics;
  const std::string text = "[smtp]\n" + options.settings + "\n[[smtp.listener]]\nname = \"test\"\naddress = \"" +
                           options.address + "\"\n" + options.listener + "\n";
  config = Config::parse(schemas, "test.toml", text, diagnostics);
  REQUIRE_MESSAGE(config, diagnostics.render());
  tls.context = options.tls;
  server = std::make_unique<Server>(sim.worker(0), log.log(),
                                    ServerParts{.policy = policy,
                                                .spool = *spool,
                                                .auth = &auth,
                                                .tls = &tls,
                                                .dns = &dns,
                                                .overload = nullptr,
                                                .queue = &queue,
                                                .limiter = limiter,
                                                .metrics = metrics,
                                                .workers = sim.workers()});
  server->configure(config, "mx.example.org");
  auto made = sim.bind(config->get<Settings>().listeners[0].address);
  REQUIRE(made);
  bound = std::move(*made);
  server->listen("test", *bound);
  nursery = std::make_unique<Nursery>(sim.worker(0));
}

namespace {
Task<void> drain_now(Server* server) {
  co_await server->drain(Deadline::after(1ms));
}
}  // namespace

House::~House() {
  nursery->spawn(drain_now(server.get()));
  sim.run_for(5s);
  nursery->cancel();  // sessions over a wire, which no server drains
  sim.run_for(5s);
  nursery.reset();
  server.reset();
  bound.reset();
}

std::shared_ptr<Wire> House::wire() {
  auto wire = std::make_shared<Wire>();
  auto listening = std::make_shared<Listening>();
  listening->config = config;
  listening->settings = &config->get<Settings>();
  listening->listener = &listening->settings->listeners[0];
  listening->hostname = "mx.example.org";
  listening->tls = tls.context;
  nursery->spawn(Session::run(
      std::make_unique<Session>(*server, listening, std::make_unique<WireSocket>(wire), nursery->token())));
  run();
  return wire;
}

Dialogue::Dialogue(House& house, std::optional<Endpoint> from)
    : house_(house), client_(house.sim.connect(house.bound->endpoint(), std::move(from))) {}

Dialogue& Dialogue::raw(std::string_view octets) {
  client_->send(octets);
  return *this;
}

/// All lines of one reply: the last has a blank behind its code.
std::string Dialogue::read_reply() {
  house_.run();
  pending_ += client_->take();
  std::size_t at = 0;
  while (true) {
    const std::size_t end = pending_.find("\r\n", at);
    if (end == pending_.npos) return {};
    const bool last = end - at == 3 || (end - at > 3 && pending_[at + 3] == ' ');
    at = end + 2;
    if (last) break;
  }
  std::string reply = pending_.substr(0, at);
  pending_.erase(0, at);
  return reply;
}

Dialogue& Dialogue::expect(int code) {
  last_ = read_reply();
  CAPTURE(last_);
  CHECK(last_.substr(0, 3) == std::to_string(code));
  return *this;
}

Dialogue& Dialogue::expect(int code, std::string_view part) {
  expect(code);
  CAPTURE(last_);
  CHECK_MESSAGE(has(part), "no \"", std::string(part), "\" in: ", last_);
  return *this;
}

Dialogue& Dialogue::expect_end() {
  house_.run();
  CHECK(client_->ended());
  return *this;
}

Dialogue& Dialogue::expect_silence() {
  house_.run();
  pending_ += client_->take();
  CHECK(pending_ == "");
  return *this;
}

}  // namespace postern::smtp::test
