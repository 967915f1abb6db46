// Dialogues with one host: what is said, in how many flights, and what becomes of each recipient.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "postern/random.h"
#include "postern/text.h"
#include "relay_for_tests.h"

namespace postern::relay::test {

using Kind = AttemptResult::Kind;

namespace {

struct One : World {
  explicit One(std::string settings = {}, SimOptions options = {}) : World(std::move(settings), options) {
    dns.mx("example.org", 10, "mx.example.org").a("mx.example.org", "192.0.2.1");
  }
  FakeHost host{*this, "192.0.2.1"};
  std::size_t said(std::string_view verb) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(host.commands, [&](const std::string& one) { return starts_with_folded(one, verb); }));
  }
};

}  // namespace

TEST_CASE("a message goes to the domain's MX in one flight, text and all") {
  One world;
  const auto letter = world.mail("a@here.example", {"b@example.org"});
  const auto results = world.deliver(*letter);
  REQUIRE(results.size() == 1);
  CHECK(results[0].kind == Kind::kDelivered);
  CHECK(results[0].reply == Reply{250, "2.0.0", "taken"});
  CHECK(results[0].host == "mx.example.org [192.0.2.1]");
  REQUIRE(world.host.mails.size() == 1);
  CHECK(world.host.mails[0].mail == "MAIL FROM:<a@here.example> SIZE=22");
  CHECK(world.host.mails[0].rcpts == std::vector<std::string>{"RCPT TO:<b@example.org>"});
  CHECK(world.host.mails[0].text == "Subject: hi\r\n\r\nhello\r\n");
  CHECK(world.host.mails[0].chunked);
  CHECK(world.state_of(*letter).state == RecipientState::kDotSent);
  CHECK(world.log.count("relay.delivered") == 1);
}

TEST_CASE("the next message goes over the same connection, in one round trip") {
  One world("", {.split_chance = 0});
  world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  const auto before = world.host.bursts.size();
  world.deliver(*world.mail("a@here.example", {"c@example.org"}));
  CHECK(world.host.connections == 1);
  CHECK(world.host.bursts.size() == before + 1);
  CHECK(world.host.bursts.back() == 3);  // MAIL, RCPT, BDAT
  CHECK(world.metrics.reused.value() == 1);
}

TEST_CASE("a message that was taken back gets no dot, whatever the host speaks") {
  for (const auto& extensions : std::vector<std::vector<std::string>>{{"CHUNKING", "PIPELINING"}, {"PIPELINING"}, {}}) {
    CAPTURE(extensions.size());
    One world;
    world.host.extensions = extensions;
    const auto letter = world.mail("a@here.example", {"b@example.org"});
    REQUIRE(letter->gate.close());
    const auto results = world.deliver(*letter);
    REQUIRE(results.size() == 1);
    CHECK(results[0].kind == Kind::kDeferred);
    CHECK(world.host.mails.empty());
    CHECK(world.state_of(*letter).state == RecipientState::kWaiting);
  }
}

TEST_CASE("what has been sent cannot be taken back") {
  One world;
  const auto letter = world.mail("a@here.example", {"b@example.org"});
  CHECK(world.deliver(*letter)[0].kind == Kind::kDelivered);
  CHECK_FALSE(letter->gate.close());
}

TEST_CASE("an idle connection ends with QUIT after its time") {
  One world("idle_time = \"2s\"");
  world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(world.said("QUIT") == 0);
  CHECK(world.run([&] { return world.host.open == 0; }, 10s));
  CHECK(world.said("QUIT") == 1);
}

TEST_CASE("without CHUNKING the text follows the 354, dots doubled") {
  One world;
  world.host.extensions = {"PIPELINING"};
  const std::string text = "Subject: dots\r\n\r\n.one\r\n..two\r\nno end";
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}, text));
  CHECK(results[0].kind == Kind::kDelivered);
  REQUIRE(world.host.mails.size() == 1);
  CHECK(world.host.mails[0].text == text + "\r\n");
  CHECK(!world.host.mails[0].chunked);
}

TEST_CASE("a host without PIPELINING is spoken to one command at a time") {
  One world("", {.split_chance = 0});
  world.host.extensions = {"SIZE"};
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org", "c@example.org"}));
  CHECK(results.size() == 2);
  CHECK(results[1].kind == Kind::kDelivered);
  CHECK(std::ranges::all_of(world.host.bursts, [](std::size_t one) { return one == 1; }));
}

TEST_CASE("a host from before EHLO is greeted with HELO") {
  One world;
  world.host.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("EHLO")) return "502 what?";
    return std::nullopt;
  };
  CHECK(world.deliver(*world.mail("a@here.example", {"b@example.org"}))[0].kind == Kind::kDelivered);
  CHECK(world.host.mails[0].mail == "MAIL FROM:<a@here.example>");
}

TEST_CASE("each recipient has its own fate") {
  for (const bool chunking : {true, false})
    for (const bool pipelining : {true, false}) {
      CAPTURE(chunking);
      CAPTURE(pipelining);
      One world;
      world.host.extensions.clear();
      if (chunking) world.host.extensions.push_back("CHUNKING");
      if (pipelining) world.host.extensions.push_back("PIPELINING");
      world.host.answer = [](const std::string& line) -> std::optional<std::string> {
        if (line.find("<no@") != line.npos) return "550 5.1.1 nobody";
        if (line.find("<later@") != line.npos) return "450 4.2.1 busy";
        return std::nullopt;
      };
      const auto results =
          world.deliver(*world.mail("a@here.example", {"no@example.org", "yes@example.org", "later@example.org"}));
      REQUIRE(results.size() == 3);
      CHECK(results[0].kind == Kind::kRefused);
      CHECK(results[0].reply == Reply{550, "5.1.1", "nobody"});
      CHECK(results[1].kind == Kind::kDelivered);
      CHECK(results[2].kind == Kind::kDeferred);
      CHECK(results[2].reply.enhanced == "4.2.1");
      CHECK(world.host.mails.size() == 1);
      CHECK(world.deliver(*world.mail("a@here.example", {"yes@example.org"}))[0].kind == Kind::kDelivered);
      CHECK(world.host.connections == 1);
    }
}

TEST_CASE("when nobody is accepted nothing is delivered, and the connection goes on") {
  for (const auto& extensions : std::vector<std::vector<std::string>>{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}})
    for (const bool generous : {false, true}) {
      CAPTURE(extensions.size());
      CAPTURE(generous);
      One world;
      world.host.extensions = extensions;
      world.host.answer = [&](const std::string& line) -> std::optional<std::string> {
        if (line.find("<no@") != line.npos) return "550 5.1.1 nobody";
        if (generous && line == "DATA") return "354 go on";  // RFC 2920 §3.1 warns of these
        return std::nullopt;
      };
      const auto results = world.deliver(*world.mail("a@here.example", {"no@example.org"}));
      CHECK(results[0].kind == Kind::kRefused);
      CHECK(results[0].reply.text == "nobody");
      CHECK(world.host.mails.empty());
      world.host.answer = nullptr;
      CHECK(world.deliver(*world.mail("a@here.example", {"yes@example.org"}))[0].kind == Kind::kDelivered);
      CHECK(world.host.mails.size() == 1);
      CHECK(world.host.connections == 1);
    }
}

TEST_CASE("a refusal at each stage reaches the recipient as the host said it") {
  struct Row {
    const char* verb;
    const char* reply;
    Kind kind;
  };
  for (const Row& row : {Row{"MAIL", "550 5.7.1 no", Kind::kRefused}, Row{"MAIL", "451 4.7.1 grey", Kind::kDeferred},
                         Row{"RCPT", "550 5.7.1 no", Kind::kRefused}, Row{"RCPT", "451 4.7.1 grey", Kind::kDeferred},
                         Row{"DATA", "550 5.7.1 no", Kind::kRefused}, Row{"DATA", "451 4.7.1 grey", Kind::kDeferred},
                         Row{"TEXT", "550 5.7.1 no", Kind::kRefused}, Row{"TEXT", "451 4.7.1 grey", Kind::kDeferred}})
    for (const auto& extensions :
         std::vector<std::vector<std::string>>{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}}) {
      CAPTURE(row.verb);
      CAPTURE(row.reply);
      CAPTURE(extensions.size());
      if (std::string_view(row.verb) == "DATA" && extensions.size() == 2) continue;
      One world;
      world.host.extensions = extensions;
      world.host.answer = [&](const std::string& line) -> std::optional<std::string> {
        if (line.starts_with(row.verb)) return row.reply;
        return std::nullopt;
      };
      if (std::string_view(row.verb) == "TEXT") world.host.verdict = [&](const Taken&) { return row.reply; };
      const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
      REQUIRE(results.size() == 1);
      CHECK(results[0].kind == row.kind);
      CHECK(std::to_string(results[0].reply.code) + " " + results[0].reply.enhanced + " " + results[0].reply.text ==
            row.reply);
      world.host.answer = nullptr;
      world.host.verdict = nullptr;
      CHECK(world.deliver(*world.mail("a@here.example", {"c@example.org"}))[0].kind == Kind::kDelivered);
      CHECK(world.host.connections == 1);
    }
}

TEST_CASE("a message above the host's SIZE is refused before anything of it is sent") {
  One world;
  world.host.extensions = {"PIPELINING", "CHUNKING", "SIZE 20"};
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(results[0].kind == Kind::kRefused);
  CHECK(results[0].reply.code == 552);
  CHECK(results[0].reply.enhanced == "5.3.4");
  CHECK(world.said("MAIL") == 0);
}

TEST_CASE("mail that needs SMTPUTF8 is refused where that is not offered, and goes where it is not needed") {
  One world;
  world.host.extensions = {"PIPELINING", "8BITMIME"};
  auto letter = world.mail("a@here.example", {"b\xc3\xbc@example.org", "c@example.org"});
  letter->envelope.smtputf8 = true;
  auto results = world.deliver(*letter);
  CHECK(results[0].kind == Kind::kRefused);
  CHECK(results[0].reply.enhanced == "5.6.7");
  letter = world.mail("a@here.example", {"c@example.org"});
  letter->envelope.smtputf8 = true;
  CHECK(world.deliver(*letter)[0].kind == Kind::kDelivered);
  CHECK(world.host.mails[0].mail == "MAIL FROM:<a@here.example>");
  letter = world.mail("a@here.example", {"c@example.org"}, "Subject: gr\xc3\xbc\xc3\x9f\r\n\r\nhi\r\n");
  letter->envelope.smtputf8 = true;
  CHECK(world.deliver(*letter)[0].reply.enhanced == "5.6.9");
}

TEST_CASE("what the envelope promises is handed on where the host knows it") {
  One world;
  world.host.extensions = {"PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "DSN", "MT-PRIORITY", "DELIVERBY", "SIZE"};
  auto letter = world.mail("a@here.example", {"b\xc3\xbc@example.org"});
  letter->envelope.smtputf8 = true;
  letter->envelope.body = BodyType::k8BitMime;
  letter->envelope.ret = DsnReturn::kHeaders;
  letter->envelope.envid = "QQ+2B1";
  letter->envelope.priority = 3;
  letter->envelope.deliver_by = DeliverBy{world.sim.worker(0).wall() + 120s, false, true};
  letter->envelope.recipients[0].notify = kNotifySuccess | kNotifyDelay;
  letter->envelope.recipients[0].orcpt = "rfc822;x@example.org";
  const auto results = world.deliver(*letter);
  CHECK(results[0].kind == Kind::kDelivered);
  CHECK(results[0].dsn_handed_on);
  const Taken& taken = world.host.mails.at(0);
  CHECK(
      taken.mail.starts_with("MAIL FROM:<a@here.example> SIZE=22 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1 "
                             "MT-PRIORITY=3 BY=1"));
  CHECK(taken.mail.ends_with(";NT"));
  CHECK(taken.rcpts[0] == "RCPT TO:<b\xc3\xbc@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@example.org");
}

TEST_CASE("REQUIRETLS never goes where it is not promised") {
  One world;
  auto letter = world.mail("a@here.example", {"b@example.org"});
  letter->envelope.require_tls = true;
  const auto results = world.deliver(*letter);
  CHECK(results[0].kind == Kind::kDeferred);  // no STARTTLS there at all: another try may find it
  CHECK(results[0].reply.enhanced == "4.7.4");
  CHECK(world.said("MAIL") == 0);
}

TEST_CASE("PRDR gives each recipient its own answer to the text") {
  One world;
  world.host.extensions = {"PIPELINING", "PRDR"};
  world.host.verdict = [](const Taken&) { return "353 each\r\n250 2.0.0 first\r\n550 5.7.1 second\r\n250 2.0.0 done"; };
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org", "c@example.org"}));
  CHECK(world.host.mails[0].mail.ends_with(" PRDR"));
  CHECK(results[0].kind == Kind::kDelivered);
  CHECK(results[1].kind == Kind::kRefused);
  CHECK(results[1].reply.text == "second");
}

TEST_CASE("what a host says of its limits is obeyed") {
  One world;
  world.host.extensions.push_back("LIMITS RCPTMAX=2 MAILMAX=2");
  const auto results = world.deliver(*world.mail(
      "a@here.example", {"b@example.org", "c@example.org", "d@example.org", "e@example.org", "f@example.org"}));
  CHECK(std::ranges::all_of(results, [](const auto& one) { return one.kind == Kind::kDelivered; }));
  REQUIRE(world.host.mails.size() == 3);
  CHECK(world.host.mails[0].rcpts.size() == 2);
  CHECK(world.host.mails[2].rcpts.size() == 1);
  CHECK(world.host.connections == 2);
}

TEST_CASE("a host that takes no more recipients gets the rest in the next transaction") {
  One world;
  std::size_t count = 0;
  world.host.answer = [&](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("MAIL")) count = 0;
    if (line.starts_with("RCPT") && ++count > 2) return "452 4.5.3 too many";
    return std::nullopt;
  };
  const auto results =
      world.deliver(*world.mail("a@here.example", {"b@example.org", "c@example.org", "d@example.org"}));
  CHECK(std::ranges::all_of(results, [](const auto& one) { return one.kind == Kind::kDelivered; }));
  CHECK(world.host.mails.size() == 2);
}

TEST_CASE("after max_messages_per_connection a new connection is made") {
  One world("max_messages_per_connection = 2");
  for (int at = 0; at < 3; ++at) world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(world.host.connections == 2);
}

TEST_CASE("a lost reply after the text is told as such, and nothing else is tried") {
  One world;
  world.dns.mx("example.org", 20, "mx2.example.org").a("mx2.example.org", "192.0.2.2");
  FakeHost second(world, "192.0.2.2");
  world.host.extensions = {"PIPELINING"};
  world.host.verdict = [](const Taken&) { return ""; };
  world.host.close_after_reply = true;
  const auto letter = world.mail("a@here.example", {"b@example.org"});
  const auto results = world.deliver(*letter);
  CHECK(results[0].kind == Kind::kDeferred);
  CHECK(results[0].reply_lost);
  CHECK(second.connections == 0);
  CHECK(world.state_of(*letter).state == RecipientState::kDotSent);
}

TEST_CASE("an idle connection that died meanwhile costs a new connection, not an attempt") {
  One world;
  world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  world.host.answer = [&](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("MAIL") && world.host.connections == 1) return "421 4.4.2 too long idle";
    return std::nullopt;
  };
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(results[0].kind == Kind::kDelivered);
  CHECK(world.host.connections == 2);
}

TEST_CASE("a host that says no SMTP, too long lines or too many of them is left") {
  for (const std::string& greeting : {std::string("SSH-2.0-nonsense"), "220-" + std::string(5000, 'x'),
                                      [] {
                                        std::string many;
                                        for (int at = 0; at < 300; ++at) many += "220-line\r\n";
                                        return many + "220 end";
                                      }(),
                                      std::string("220-one\r\n250 other")}) {
    One world;
    world.host.greeting = greeting;
    const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
    CHECK(results[0].kind == Kind::kDeferred);
    CHECK(results[0].reply.enhanced == "4.4.2");
    CHECK(world.said("MAIL") == 0);
  }
}

TEST_CASE("a host that is silent is given its time and no more") {
  One world("[delivery.timeout]\ngreeting = \"30s\"");
  world.host.silent = true;
  const auto letter = world.mail("a@here.example", {"b@example.org"});
  auto attempt = world.begin(*letter);
  CHECK(!world.run([&] { return attempt->done; }, 29s));
  CHECK(world.run([&] { return attempt->done; }, 3s));
  CHECK(attempt->results[0].reply.enhanced == "4.4.2");
}

TEST_CASE("a connection that is reset at any octet loses nothing: the mail is deferred, or was taken") {
  for (const auto& extensions : std::vector<std::vector<std::string>>{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}})
    for (std::size_t at = 1; at < 200; at += 3) {
      CAPTURE(extensions.size());
      CAPTURE(at);
      One world("", {.seed = at});
      world.host.extensions = extensions;
      world.host.reset_after = at;
      const auto letter = world.mail("a@here.example", {"b@example.org"});
      const auto results = world.deliver(*letter);
      REQUIRE(results.size() == 1);
      if (results[0].kind == Kind::kDelivered)
        CHECK(world.host.mails.size() == 1);
      else
        CHECK(results[0].kind == Kind::kDeferred);
      // Whenever the host may have all of it, that is known.
      if (results[0].kind == Kind::kDeferred && !world.host.mails.empty()) {
        CHECK(results[0].reply_lost);
        CHECK(world.state_of(*letter).state == RecipientState::kDotSent);
      }
      world.host.reset_after = ~std::size_t{0};
    }
}

TEST_CASE("a large message streams, and arrives whole either way") {
  std::string text = "Subject: large\r\n\r\n";
  while (text.size() < 700'000) text += ".a line that begins with a dot and is long enough to count\r\n";
  for (const bool chunking : {true, false}) {
    One world("", {.split_chance = 0.1});
    if (!chunking) world.host.extensions = {"PIPELINING"};
    CHECK(world.deliver(*world.mail("a@here.example", {"b@example.org"}, text))[0].kind == Kind::kDelivered);
    REQUIRE(world.host.mails.size() == 1);
    CHECK(world.host.mails[0].text == text);
  }
}

TEST_CASE("8-bit text is converted for a host that takes seven bits only") {
  One world;
  world.host.extensions = {"PIPELINING", "CHUNKING"};
  auto letter = world.mail("a@here.example", {"b@example.org"},
                           "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                           "Content-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n");
  letter->envelope.body = BodyType::k8BitMime;
  CHECK(world.deliver(*letter)[0].kind == Kind::kDelivered);
  REQUIRE(world.host.mails.size() == 1);
  CHECK(world.host.mails[0].text ==
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=C3=9F\r\n");
}

TEST_CASE("octets behind the 220 of STARTTLS are an injection, and end the connection") {
  for (const bool required : {true, false}) {
    CAPTURE(required);
    One world(required ? "tls = \"encrypt\"" : "");
    world.host.extensions.push_back("STARTTLS");
    world.host.answer = [](const std::string& line) -> std::optional<std::string> {
      if (line == "STARTTLS") return "220 go\r\n250-evil.example\r\n250 AUTH PLAIN";
      return std::nullopt;
    };
    const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}));
    CHECK(world.said("STARTTLS") == 1);
    CHECK(world.said("AUTH") == 0);
    if (required) {
      CHECK(results[0].kind == Kind::kDeferred);
      CHECK(results[0].reply.enhanced == "4.7.5");
      CHECK(world.said("MAIL") == 0);
    } else {  // opportunistic: over a new connection, in plaintext, which is told
      CHECK(results[0].kind == Kind::kDelivered);
      CHECK(world.host.connections == 2);
      CHECK(world.metrics.plaintext_fallbacks.value() == 1);
      CHECK(world.log.count("relay.tls") > 0);
    }
  }
}

TEST_CASE("a route that logs in sends nothing without TLS, and wants a verified host unless it says otherwise") {
  const auto file = std::filesystem::temp_directory_path() / ("relay-test-" + random_base32(8));
  std::ofstream(file) << "hop:user:secret\n";
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  for (const bool any : {true, false})
    for (const char* plan : {"", "opportunistic", "none"}) {
      CAPTURE(any);
      CAPTURE(plan);
      World world(
          fmt::format("credentials_file = \"{}\"\n[[delivery.route]]\nname = \"r\"\ndomains = [\"*\"]\n"
                      "to = [\"[192.0.2.3]\"]\ncredentials = \"hop\"\n{}",
                      file.string(), any ? "tls = \"opportunistic\"\n" : ""));
      FakeHost host(world, "192.0.2.3");
      host.extensions.push_back("AUTH PLAIN LOGIN");
      auto letter = world.mail("a@here.example", {"b@example.org"});
      if (*plan) letter->step.options["tls"] = plan;  // must not weaken the route
      const auto results = world.deliver(*letter);
      CHECK(results[0].kind == Kind::kDeferred);
      CHECK(results[0].reply.enhanced == (any ? "4.7.0" : "4.7.4"));  // the latter: "TLS is required"
      for (const std::string& line : host.commands) CHECK(!line.starts_with("AUTH"));
    }
  std::filesystem::remove(file);
}

TEST_CASE("XCLIENT comes after EHLO, and such connections are not shared") {
  World world("[[delivery.route]]\nname = \"r\"\ndomains = [\"*\"]\nto = [\"[192.0.2.3]\"]\nxclient = true\n");
  FakeHost host(world, "192.0.2.3");
  host.extensions.push_back("XCLIENT NAME ADDR PROTO");
  host.answer = [](const std::string& line) -> std::optional<std::string> {
    if (line.starts_with("XCLIENT")) return "220 mx.example.org ready";
    return std::nullopt;
  };
  for (int at = 0; at < 2; ++at) world.deliver(*world.mail("a@here.example", {"b@example.org"}));
  CHECK(host.connections == 2);
  CHECK(host.commands[1] == "XCLIENT NAME=[UNAVAILABLE] ADDR=198.51.100.9 PROTO=SMTP");
  CHECK(host.commands[2] == "EHLO here.example");
}

TEST_CASE("a refusal in the middle of a large text is what the host said") {
  std::string text = "Subject: large\r\n\r\n";
  while (text.size() < 3'000'000) text += "a line that is long enough to count for something\r\n";
  One world;
  world.host.extensions = {"PIPELINING"};
  world.host.refuse_text_after = 500'000;
  const auto results = world.deliver(*world.mail("a@here.example", {"b@example.org"}, text));
  CHECK(results[0].kind == Kind::kRefused);
  CHECK(results[0].reply.code == 552);
}

}  // namespace postern::relay::test
