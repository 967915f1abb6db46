// A courier in a simulated world, and mail hosts that do what a test tells them.
//
//   World world;                                        // [delivery] as TOML, if it matters
//   FakeHost host(world, "192.0.2.1");                  // takes everything; says EHLO with what `extensions` holds
//   world.dns.mx("example.org", 10, "mx.example.org").a("mx.example.org", "192.0.2.1");
//   auto results = world.deliver(world.mail("a@here.example", {"b@example.org"}));
//   CHECK(host.mails[0].text == ...);
//
// A host's reply to a command comes from `answer`, when that has one; else from its own good manners.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "courier.h"
#include "postern/dns_fake.h"
#include "postern/sim.h"
#include "static_tls_for_tests.h"

namespace postern::relay::test {

class World;

/// What a host took.
struct Taken {
  std::string mail;
  std::vector<std::string> rcpts;
  std::string text;
  bool chunked = false;
  std::size_t connection = 0;
};

class FakeHost {
 public:
  FakeHost(World& world, std::string_view ip, std::uint16_t port = 25);
  ~FakeHost();

  std::vector<std::string> extensions = {"PIPELINING", "SIZE 10000000", "8BITMIME", "CHUNKING", "DSN", "SMTPUTF8"};
  std::function<std::optional<std::string>(const std::string& line)> answer;  ///< to a command; "" does it in silence
  std::function<std::string(const Taken&)> verdict;                           ///< on a text; LMTP: on each recipient
  std::string greeting = "220 mx.example.org ready";
  bool lmtp = false;
  bool close_after_reply = false;             ///< ends the connection behind the next final verdict
  std::size_t reset_after = ~std::size_t{0};  ///< octets received on a connection, then RST
  bool silent = false;
  std::size_t refuse_text_after = ~std::size_t{0};  ///< octets of a text, then 552 and the end

  std::vector<Taken> mails;
  std::vector<std::string> commands;  ///< of all connections
  std::vector<std::size_t> bursts;    ///< commands that came together
  std::size_t connections = 0;
  std::size_t open = 0;
  std::size_t most_open = 0;
  std::size_t octets = 0;
  std::string raw;  ///< all octets received before the first command (PROXY headers stand here)

  void pump();

 private:
  struct Peer;
  void take(Peer& peer);
  bool take_text(Peer& peer);
  void command(Peer& peer, const std::string& line);
  void say(Peer& peer, std::string text);
  void finish_text(Peer& peer);

  World& world_;
  std::unique_ptr<SimListener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

class World {
 public:
  explicit World(std::string settings = {}, SimOptions options = {});
  ~World();

  struct Letter {
    MessageId id;
    Envelope envelope;
    PlanStep step;
    std::uint64_t size = 0;
    DotGate gate{};
  };
  std::unique_ptr<Letter> mail(std::string_view sender, std::vector<std::string> recipients,
                               std::string text = "Subject: hi\r\n\r\nhello\r\n");
  /// Begins an attempt; its results come into the vector, and `done` grows.
  struct Attempt {
    std::vector<AttemptResult> results;
    bool done = false;
    Duration took{};
  };
  std::shared_ptr<Attempt> begin(Letter& letter);
  std::vector<AttemptResult> deliver(Letter& letter, Duration limit = 2h);
  /// Lets hosts and courier work until `done` or the time is over.
  bool run(const std::function<bool()>& done, Duration limit = 2h);
  RecipientInfo state_of(const Letter& letter, std::size_t recipient = 0);

  SimRuntime sim;
  FakeResolver dns;
  std::unique_ptr<Spool> spool = make_memory_spool();
  Metrics registry;
  RelayMetrics metrics;
  CaptureLog log;
  std::unique_ptr<StaticTlsPolicies> policies;
  std::unique_ptr<WarmUp> warm_up;
  std::shared_ptr<const Config> config;
  std::unique_ptr<Courier> courier;
  std::vector<FakeHost*> hosts;
  std::unique_ptr<Nursery> nursery;
};

}  // namespace postern::relay::test
