// The fakes of relay_for_tests.h.
#include "postern/config.h"
#include "postern/text.h"
#include "relay_for_tests.h"

namespace postern::relay::test {

struct FakeHost::Peer {
  std::unique_ptr<SimClient> end;
  std::string unread;
  Taken mail;
  std::vector<std::string> refused;
  enum class In { kCommands, kData, kChunk } in = In::kCommands;
  std::size_t chunk = 0;
  bool last = false;
  std::size_t octets = 0;
  std::size_t number = 0;
  bool gone = false;
};

FakeHost::FakeHost(World& world, std::string_view ip, std::uint16_t port) : world_(world) {
  listener_ = world.sim.listen({*IpAddress::parse(ip), port, {}});
  world.hosts.push_back(this);
}

FakeHost::~FakeHost() {
  std::erase(world_.hosts, this);
}

void FakeHost::say(Peer& peer, std::string text) {
  if (!text.empty()) peer.end->send(text + "\r\n");
}

void FakeHost::pump() {
  while (auto end = listener_->accept()) {
    auto peer = std::make_unique<Peer>();
    peer->end = std::move(end);
    peer->number = connections++;
    most_open = std::max(most_open, ++open);
    if (!silent) say(*peer, greeting);
    peers_.push_back(std::move(peer));
  }
  for (auto& peer : peers_) {
    if (peer->gone) continue;
    std::string fresh = peer->end->take();
    octets += fresh.size();
    peer->octets += fresh.size();
    if (peer->octets >= reset_after) {
      peer->end->reset();
      peer->gone = true;
      --open;
      continue;
    }
    peer->unread += fresh;
    if (!fresh.empty() && !silent) take(*peer);
    if (peer->end->ended() && !peer->gone) {
      peer->end->close();
      peer->gone = true;
      --open;
    }
  }
}

void FakeHost::take(Peer& peer) {
  std::size_t burst = 0;
  while (!peer.gone) {
    if (peer.in != Peer::In::kCommands) {
      if (!take_text(peer)) break;
      continue;
    }
    const std::size_t end = peer.unread.find("\r\n");
    if (end == std::string::npos) break;
    const std::string line = peer.unread.substr(0, end);
    peer.unread.erase(0, end + 2);
    ++burst;
    command(peer, line);
  }
  if (burst) bursts.push_back(burst);
}

bool FakeHost::take_text(Peer& peer) {
  if (peer.in == Peer::In::kChunk) {
    if (peer.unread.size() < peer.chunk) return false;
    peer.mail.text += peer.unread.substr(0, peer.chunk);
    peer.unread.erase(0, peer.chunk);
    peer.in = Peer::In::kCommands;
    peer.mail.chunked = true;
    if (peer.last) finish_text(peer);
    return true;
  }
  if (peer.unread.size() > refuse_text_after) {
    say(peer, "552 5.3.4 too much");
    peer.end->close();
    peer.gone = true;
    --open;
    return false;
  }
  std::size_t end = peer.unread.starts_with(".\r\n") ? 0 : peer.unread.find("\r\n.\r\n");
  if (end == std::string::npos) return false;
  if (end || !peer.unread.starts_with(".\r\n")) end += 2;
  std::string text = peer.unread.substr(0, end);
  peer.unread.erase(0, end + 3);
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {  // undo the stuffing, line by line
    const std::size_t stop = text.find("\r\n", at) + 2;
    plain += text.substr(text[at] == '.' ? at + 1 : at, stop - (text[at] == '.' ? at + 1 : at));
    at = stop;
  }
  peer.mail.text = plain;
  peer.in = Peer::In::kCommands;
  finish_text(peer);
  return true;
}

void FakeHost::finish_text(Peer& peer) {
  if (peer.mail.rcpts.empty()) {
    say(peer, "503 5.5.1 nobody to send to");
    return;
  }
  mails.push_back(peer.mail);
  mails.back().connection = peer.number;
  const std::size_t times = lmtp ? peer.mail.rcpts.size() : 1;
  for (std::size_t at = 0; at < times; ++at) {
    Taken one = peer.mail;
    if (lmtp) one.rcpts = {peer.mail.rcpts[at]};
    say(peer, verdict ? verdict(one) : "250 2.0.0 taken");
  }
  peer.mail = {};
  if (close_after_reply) {
    peer.end->close();
    peer.gone = true;
    --open;
  }
}

void FakeHost::command(Peer& peer, const std::string& line) {
  commands.push_back(line);
  std::optional<std::string> said;
  if (answer) said = answer(line);
  const bool good = !said || said->empty() || said->starts_with("2") || said->starts_with("3");
  const auto is = [&](std::string_view verb) { return starts_with_folded(line, verb); };
  std::string own = "250 2.0.0 ok";
  if (is("EHLO") || is("LHLO")) {
    own = "250-mx.example.org";
    for (const std::string& one : extensions) own += "\r\n250-" + one;
    own += "\r\n250 HELP";
  } else if (is("MAIL")) {
    if (good) peer.mail = {.mail = line};
  } else if (is("RCPT")) {
    if (peer.mail.mail.empty())
      own = "503 5.5.1 MAIL first";
    else if (good)
      peer.mail.rcpts.push_back(line);
  } else if (is("RSET")) {
    peer.mail = {};
  } else if (is("DATA")) {
    own = peer.mail.rcpts.empty() ? "503 5.5.1 RCPT first" : "354 go on";
    if ((said ? *said : own).starts_with("354")) peer.in = Peer::In::kData;
  } else if (is("BDAT")) {
    const auto words = split_words(line);
    peer.chunk = *to_number<std::size_t>(words[1]);
    peer.last = words.size() > 2;
    peer.in = Peer::In::kChunk;
    own.clear();
    if (!peer.last) own = "250 2.0.0 more";
  } else if (is("QUIT")) {
    own = "221 2.0.0 bye";
  }
  say(peer, said ? *said : own);
  if (is("QUIT") || (said && said->starts_with("421"))) {
    peer.end->close();
    peer.gone = true;
    --open;
  }
}

World::World(std::string settings, SimOptions options)
    : sim(options), dns(sim.worker(0)), registry(1), metrics(registry), log() {
  auto context = make_client_tls({.verify = false});
  REQUIRE(context);
  policies = std::make_unique<StaticTlsPolicies>(*context, log.log());
  ConfigSchemas schemas;
  schemas.add<DeliverySettings>();
  Diagnostics diagnostics;
  config = Config::parse(schemas, "test.toml", "[delivery]\n" + settings, diagnostics);
  INFO(diagnostics.render());
  REQUIRE(config);
  auto outbound = Outbound::make(config->get<DeliverySettings>(), "here.example", 1, {});
  REQUIRE(outbound);
  warm_up = std::make_unique<WarmUp>((*outbound)->settings.sources);
  courier = std::make_unique<Courier>(sim.worker(0), log.log(),
                                      CourierParts{*outbound, *spool, dns, *policies, metrics, *warm_up});
  nursery = std::make_unique<Nursery>(sim.worker(0));
}

namespace {

Task<void> drain_courier(Courier& courier, bool& done) {
  co_await courier.drain(Deadline::after(1min));
  done = true;
}

Task<void> store(Spool& spool, Executor& home, std::string text, AcceptMeta meta, MessageId& id, std::uint64_t& size) {
  Draft draft = spool.begin(home);
  auto taken = co_await draft.append(text);
  REQUIRE(taken);
  size = draft.size();
  auto done = co_await draft.commit(std::move(meta));
  REQUIRE(done);
  id = *done;
}

Task<void> carry_out(Courier& courier, AttemptRequest request, std::shared_ptr<World::Attempt> into) {
  const Instant began = courier.executor.now();
  into->results = co_await courier.attempt(std::move(request));
  into->took = courier.executor.now() - began;
  into->done = true;
}

}  // namespace

World::~World() {
  nursery->cancel();
  run([&] { return nursery->size() == 0; });
  bool done = false;
  Nursery last(sim.worker(0));
  last.spawn(drain_courier(*courier, done));
  CHECK(run([&] { return done && last.size() == 0; }));
}

std::unique_ptr<World::Letter> World::mail(std::string_view sender, std::vector<std::string> recipients,
                                           std::string text) {
  auto letter = std::make_unique<Letter>();
  if (!sender.empty()) letter->envelope.sender = *Address::parse(sender);
  for (const std::string& one : recipients) {
    auto address = Address::parse(one);
    REQUIRE(address);
    letter->step.recipients.push_back(static_cast<std::uint32_t>(letter->envelope.recipients.size()));
    letter->envelope.recipients.push_back({*address, {}, kNotifyUnset});
  }
  letter->step.kind = PlanStep::Kind::kRelay;
  AcceptMeta meta;
  letter->envelope.encode(meta.envelope);
  ClientInfo client;
  client.ip = *IpAddress::parse("198.51.100.9");
  client.port = 4321;
  client.local_ip = *IpAddress::parse("192.0.2.99");
  client.local_port = 25;
  client.ehlo = "client.example";
  client.encode(meta.client);
  meta.recipients = static_cast<std::uint32_t>(recipients.size());
  nursery->spawn(store(*spool, sim.worker(0), std::move(text), std::move(meta), letter->id, letter->size));
  sim.run_until_idle();
  REQUIRE(letter->id);
  return letter;
}

std::shared_ptr<World::Attempt> World::begin(Letter& letter) {
  auto attempt = std::make_shared<Attempt>();
  nursery->spawn(carry_out(*courier,
                           {.id = letter.id,
                            .envelope = letter.envelope,
                            .step = letter.step,
                            .recipients = letter.step.recipients,
                            .size = letter.size,
                            .gate = &letter.gate},
                           attempt));
  return attempt;
}

bool World::run(const std::function<bool()>& done, Duration limit) {
  const Instant end = sim.now() + limit;
  while (!done()) {
    if (sim.now() >= end) return false;
    const auto before = sim.events();
    sim.run_for(1ms);
    for (FakeHost* host : hosts) host->pump();
    // Nothing happens: let time pass faster, so that hours of waiting cost little.
    if (sim.events() == before && !done()) sim.run_for(200ms);
  }
  return true;
}

std::vector<AttemptResult> World::deliver(Letter& letter, Duration limit) {
  auto attempt = begin(letter);
  CHECK(run([&] { return attempt->done; }, limit));
  std::ranges::sort(attempt->results, {}, &AttemptResult::recipient);
  return attempt->results;
}

RecipientInfo World::state_of(const Letter& letter, std::size_t recipient) {
  RecipientInfo info;
  spool->list(sim.worker(0), MessageId(letter.id.value() - 1), 1).then([&](auto page) {
    REQUIRE(page);
    REQUIRE(page->size() == 1);
    info = page->front().recipients.at(recipient);
  });
  sim.run_until_idle();
  return info;
}

}  // namespace postern::relay::test
