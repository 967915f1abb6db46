#include "pickup.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <filesystem>
#include <fstream>
#include <memory>

#include "postern/nursery.h"
#include "postern/random.h"
#include "postern/sim.h"

using namespace postern;
using namespace postern::queue;

namespace fs = std::filesystem;

namespace {

/// Takes all but those whose names begin with "no" (550) or "later" (451).
class Gate final : public Policy {
 public:
  Task<Verdict> connect(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> ehlo(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> starttls(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> auth(SessionState&) override { co_return Verdict{}; }
  Task<Verdict> mail(Transaction& transaction) override {
    user = transaction.session.client.auth_user;
    role = transaction.session.client.role;
    co_return Verdict{};
  }
  Task<Verdict> rcpt(Transaction& transaction, Recipient recipient) override {
    if (recipient.address.local().starts_with("no")) co_return Verdict::reject(550, "5.1.1", "no such user");
    if (recipient.address.local().starts_with("later")) co_return Verdict::defer(451, "4.4.3", "ask later");
    transaction.envelope.recipients.push_back(std::move(recipient));
    co_return Verdict{};
  }
  Task<Verdict> data(Transaction&) override { co_return Verdict{}; }
  Task<Decision> message(Transaction& transaction) override {
    Decision out;
    out.outcomes.assign(transaction.envelope.recipients.size(), {root, "root#1"});
    if (root.positive()) {
      PlanStep& step = out.plan.steps.emplace_back();
      for (std::uint32_t i = 0; i < out.outcomes.size(); ++i) step.recipients.push_back(i);
    }
    co_return out;
  }
  Task<void> disconnect(SessionState&) override { co_return; }
  Task<Result<MessageId>> commit(Transaction& transaction, Draft draft, const Decision& decision) override {
    if (!fault_now.empty()) co_return fault(fault_now);
    AcceptMeta meta;
    transaction.envelope.encode(meta.envelope);
    decision.plan.encode(meta.plan);
    meta.recipients = static_cast<std::uint32_t>(transaction.envelope.recipients.size());
    envelopes.push_back(transaction.envelope);
    plans.push_back(decision.plan);
    auto id = co_await draft.commit(std::move(meta));
    if (id) ids.push_back(*id);
    co_return id;
  }
  void refused(SessionState&, Transaction*, std::string_view) override {}
  Reply root{250, "2.0.0", "fine"};
  std::string fault_now;
  std::string user;
  SessionRole role = SessionRole::kMx;
  std::vector<Envelope> envelopes;
  std::vector<Plan> plans;
  std::vector<MessageId> ids;
};

struct World {
  World() : folder(fs::temp_directory_path() / ("postern-drop-" + random_base32(12))) {
    REQUIRE(Pickup::make_folder(folder));
    pickup = std::make_unique<Pickup>(PickupParts{.spool = *spool,
                                                  .policy = gate,
                                                  .directory = nullptr,
                                                  .hostname = "mx.example.org",
                                                  .folder = folder,
                                                  .settings = {},
                                                  .log = log.log()});
  }
  ~World() { fs::remove_all(folder); }

  void drop(std::string_view name, std::string_view text) const {
    std::ofstream(folder / name, std::ios::binary) << text;
  }
  static std::string mail(std::string_view recipients, std::string_view text = "Subject: x\n\nhi\n") {
    return "postern-drop 1\nsender ann@example.org\n" + std::string(recipients) + "\n" + std::string(text);
  }
  std::size_t look() {
    std::optional<std::size_t> out;
    Nursery nursery(sim.worker(0));
    nursery.spawn(detail::store(pickup->look(), &out));
    sim.run_until([&] { return nursery.size() == 0; }, 10s);
    REQUIRE(out);
    return *out;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename());
    std::ranges::sort(out);
    return out;
  }
  Task<void> read_into(MessageId id, std::string* out) {
    auto reader = co_await spool->open(sim.worker(0), id);
    REQUIRE(reader);
    while (true) {
      auto piece = co_await reader->next();
      REQUIRE(piece);
      if (piece->empty()) break;
      *out += *piece;
    }
  }
  std::string text(std::size_t number) {
    REQUIRE(number < gate.ids.size());
    std::string out;
    Nursery nursery(sim.worker(0));
    nursery.spawn(read_into(gate.ids[number], &out));
    sim.run_until([&] { return nursery.size() == 0; }, 10s);
    return out;
  }

  fs::path folder;
  SimRuntime sim{{.seed = 2}};
  std::unique_ptr<Spool> spool = make_memory_spool();
  CaptureLog log;
  Gate gate;
  std::unique_ptr<Pickup> pickup;
};

}  // namespace

TEST_CASE("the folder is where postern-sendmail looks, or in the state folder of a server that has its own") {
  PickupSettings settings;
  CHECK(Pickup::folder_for(settings, "/var/lib/postern") == "/var/spool/postern/drop");
  CHECK(Pickup::folder_for(settings, "/srv/mail") == "/srv/mail/drop");
  settings.folder = "/elsewhere";
  CHECK(Pickup::folder_for(settings, "/var/lib/postern") == "/elsewhere");
}

TEST_CASE("a dropped message is taken in as its owner's, once, and its file goes") {
  World w;
  w.drop("new.abc", World::mail("rcpt bob@far.example NOTIFY=FAILURE\nrcpt root\nret HDRS\nenvid x1\n"));
  CHECK(w.look() == 1);
  CHECK(w.look() == 0);
  CHECK(w.names().empty());
  REQUIRE(w.gate.envelopes.size() == 1);
  const Envelope& envelope = w.gate.envelopes[0];
  CHECK(envelope.sender.to_string() == "ann@example.org");
  REQUIRE(envelope.recipients.size() == 2);
  CHECK(envelope.recipients[0].notify == kNotifyFailure);
  CHECK(envelope.recipients[1].address.to_string() == "root@mx.example.org");
  CHECK(envelope.ret == DsnReturn::kHeaders);
  CHECK(envelope.envid == "x1");
  CHECK(w.gate.user.starts_with("unix:"));
  CHECK(w.gate.role == SessionRole::kLocal);
  const std::string text = w.text(0);
  CHECK(text.starts_with("Received: by mx.example.org (Postern, from userid "));
  CHECK(text.ends_with("Subject: x\r\n\r\nhi\r\n"));
}

TEST_CASE("who is refused for good gets a bounce step, since nobody waits for the answer") {
  World w;
  w.drop("new.abc", World::mail("rcpt nobody@here.example\nrcpt bob@far.example\n"));
  CHECK(w.look() == 1);
  REQUIRE(w.gate.plans.size() == 1);
  CHECK(w.gate.envelopes[0].recipients.size() == 2);
  const PlanStep& step = w.gate.plans[0].steps.at(1);
  CHECK(step.kind == PlanStep::Kind::kBounce);
  CHECK(step.options.at("enhanced") == "5.1.1");
  CHECK(w.gate.envelopes[0].recipients.at(step.recipients.at(0)).address.local() == "nobody");
}

TEST_CASE("all refused, by the gate or by root: the sender is told of all") {
  World w;
  w.drop("new.a", World::mail("rcpt nobody@here.example\n"));
  CHECK(w.look() == 1);
  CHECK(w.gate.plans.at(0).steps.at(0).kind == PlanStep::Kind::kBounce);
  w.gate.root = {550, "5.7.1", "spam"};
  w.drop("new.b", World::mail("rcpt bob@far.example\nrcpt eve@far.example\n"));
  CHECK(w.look() == 1);
  CHECK(w.gate.plans.at(1).steps.size() == 2);
  CHECK(w.gate.plans.at(1).steps.at(1).options.at("code") == "550");
}

TEST_CASE("what is refused for now stays, and is taken later") {
  World w;
  w.drop("new.a", World::mail("rcpt later@far.example\n"));
  CHECK(w.look() == 0);
  CHECK(w.names() == std::vector<std::string>{"new.a"});
  w.drop("new.a", World::mail("rcpt bob@far.example\n"));
  w.gate.root = {451, "4.3.0", "not now"};
  w.sim.run_for(Pickup::kFirstWait);
  CHECK(w.look() == 0);
  w.gate.root = {250, "", ""};
  w.gate.fault_now = "spool.full";
  w.sim.run_for(2 * Pickup::kFirstWait);
  CHECK(w.look() == 0);
  REQUIRE(w.names().size() == 1);
  CHECK(w.names()[0].starts_with("claim."));
  w.gate.fault_now.clear();
  CHECK(w.look() == 0);  // its time has not come
  w.sim.run_for(Pickup::kLongestWait);
  CHECK(w.look() == 1);
  CHECK(w.names().empty());
  CHECK(w.gate.ids.size() == 1);
}

TEST_CASE("a crash between commit and removal does not take a message twice") {
  World w;
  w.drop("new.a", World::mail("rcpt bob@far.example\n"));
  CHECK(w.look() == 1);
  const std::string name = "claim." + w.gate.ids[0].to_string() + ".a";
  w.drop(name, World::mail("rcpt bob@far.example\n"));
  CHECK(w.look() == 0);
  CHECK(w.gate.ids.size() == 1);
  CHECK(w.names().empty());
  // A claim whose commit never was is taken.
  w.drop("claim.0000000000001.b", World::mail("rcpt bob@far.example\n"));
  CHECK(w.look() == 1);
}

TEST_CASE("what cannot be read is set aside, and half-written files are left alone") {
  World w;
  w.drop("new.a", "rubbish");
  w.drop("new.b", World::mail(""));
  w.drop("new.c", World::mail("rcpt bob@far.example\nfoo bar\n"));
  w.drop("new.d", World::mail("rcpt bob@far.example\n", std::string("nul\0in it", 9)));
  w.drop("new.e", "postern-drop 1\nrcpt bob@far.example\n\nno sender\n");
  w.drop("new.f", World::mail("rcpt bob@far.example SIZE=1\n"));
  w.drop("new.g", World::mail("body BINARYMIME\nrcpt bob@far.example\n"));
  w.drop("tmp.x", "postern-drop 1\nsend");
  w.drop("other", "not ours");
  CHECK(w.look() == 0);
  CHECK(w.names() ==
        std::vector<std::string>{"bad.a", "bad.b", "bad.c", "bad.d", "bad.e", "bad.f", "bad.g", "other", "tmp.x"});
  CHECK(w.log.count("pickup.bad") == 7);
  CHECK(w.gate.ids.empty());
}

TEST_CASE("links and other things that are no plain files are not followed") {
  World w;
  const fs::path secret = w.folder.string() + ".secret";
  std::ofstream(secret) << World::mail("rcpt bob@far.example\n");
  fs::create_symlink(secret, w.folder / "new.a");
  fs::create_hard_link(secret, w.folder / "new.b");
  REQUIRE(::mkfifo((w.folder / "new.c").c_str(), 0666) == 0);
  CHECK(w.look() == 0);
  CHECK(w.gate.ids.empty());
  CHECK(w.names() == std::vector<std::string>{"bad.a", "bad.b", "bad.c"});
  fs::remove(secret);
}

TEST_CASE("the folder lets others put files in, and neither list nor take them") {
  World w;
  struct stat info{};
  REQUIRE(::stat(w.folder.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 03733);
  CHECK(Pickup::make_folder(w.folder));
  const std::string file = w.folder / "plain";
  w.drop("plain", "");
  CHECK_FALSE(Pickup::make_folder(file));
}

TEST_CASE("a too large message is set aside before it is read") {
  World w;
  w.pickup = std::make_unique<Pickup>(PickupParts{.spool = *w.spool,
                                                  .policy = w.gate,
                                                  .directory = nullptr,
                                                  .hostname = "mx.example.org",
                                                  .folder = w.folder,
                                                  .settings = {.max_message_size = 64_KiB},
                                                  .log = w.log.log()});
  w.drop("new.a", World::mail("rcpt bob@far.example\n", std::string(70'000, 'x')));
  w.drop("new.b", World::mail("rcpt bob@far.example\n", std::string(60'000, 'x')));
  CHECK(w.look() == 1);
  CHECK(w.names() == std::vector<std::string>{"bad.a"});
}

TEST_CASE("many files are taken in one look") {
  World w;
  for (int i = 0; i < 100; ++i) w.drop("new." + std::to_string(i), World::mail("rcpt bob@far.example\n"));
  CHECK(w.look() == 100);
  CHECK(w.names().empty());
}

TEST_CASE("it is looked at again after a while, and when it ends nothing hangs") {
  World w;
  Nursery nursery(w.sim.worker(0));
  nursery.spawn(w.pickup->run());
  w.sim.run_for(1s);
  w.drop("new.a", World::mail("rcpt bob@far.example\n"));
  w.sim.run_for(11s);
  CHECK(w.gate.ids.size() == 1);
  nursery.cancel();
  w.sim.run_for(1s);
  CHECK(nursery.size() == 0);
}

TEST_CASE("on a real loop the system tells of a new file at once") {
  World w;
  auto runtime = make_uv_runtime({.workers = 1});
  auto spool = make_memory_spool();
  Pickup pickup({.spool = *spool,
                 .policy = w.gate,
                 .directory = nullptr,
                 .hostname = "mx.example.org",
                 .folder = w.folder,
                 .settings = {.poll = 1h},
                 .log = w.log.log()});
  struct Steps {
    static Task<void> all(World* world, Runtime* runtime_, Nursery* nursery) {
      co_await sleep_for(300ms);  // the watch stands by now
      world->drop("tmp.a", World::mail("rcpt bob@far.example\n"));
      fs::rename(world->folder / "tmp.a", world->folder / "new.a");
      for (int i = 0; i < 500 && world->gate.ids.empty(); ++i) co_await sleep_for(10ms);
      nursery->cancel();
      runtime_->stop();
    }
  };
  std::unique_ptr<Nursery> nursery;
  std::unique_ptr<Nursery> driver;
  runtime->worker(0).post_remote_fn([&] {
    nursery = std::make_unique<Nursery>(runtime->worker(0));
    driver = std::make_unique<Nursery>(runtime->worker(0));
    nursery->spawn(pickup.run());
    driver->spawn(Steps::all(&w, runtime.get(), nursery.get()));
  });
  runtime->run();
  CHECK(w.gate.ids.size() == 1);
  CHECK(w.gate.envelopes.size() == 1);
}

TEST_CASE("line ends are mended in pieces as in one") {
  const std::string text = "a\nb\r\nc\rd\r\n\n\r\re";
  const std::string right = "a\r\nb\r\nc\r\nd\r\n\r\n\r\n\r\ne\r\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    LineMender mender;
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += piece) mender.feed(std::string_view(text).substr(at, piece), out);
    mender.finish(out);
    CHECK(out == right);
  }
  LineMender nothing;
  std::string out;
  nothing.finish(out);
  CHECK(out.empty());
}

TEST_CASE("an envelope's lines: quoted names, nobody as sender, completion, and what is wrong") {
  const auto parse = [](std::string_view text) { return parse_drop(text, "here.example"); };
  auto good = parse("postern-drop 1\nsender \nrcpt \"a b\"@x.example NOTIFY=NEVER\nbody 8BITMIME\nsmtputf8\n\nrest");
  REQUIRE(good);
  CHECK(good->envelope.sender.is_null());
  CHECK(good->envelope.recipients[0].address.local() == "a b");
  CHECK(good->envelope.recipients[0].notify == kNotifyNever);
  CHECK(good->envelope.body == BodyType::k8BitMime);
  CHECK(good->envelope.smtputf8);
  CHECK(good->length > 4);
  CHECK(parse("postern-drop 1\nsender ann\nrcpt bob\n\n")->envelope.sender.to_string() == "ann@here.example");
  for (const char* text :
       {"", "postern-drop 2\nsender \nrcpt a@b.c\n\n", "postern-drop 1\nsender \nrcpt a@b.c\n",
        "postern-drop 1\nsender a\nsender b\nrcpt c\n\n", "postern-drop 1\nsender \nrcpt a@\n\n",
        "postern-drop 1\nsender \nrcpt a NOTIFY=SOON\n\n", "postern-drop 1\nsender \nrcpt a\nret ALL\n\n"})
    CHECK_FALSE(parse(text));
}

TEST_CASE("a file that waits is not read again before its time, and others are not held up by it") {
  World w;
  w.drop("new.a", World::mail("rcpt later@far.example\n"));
  CHECK(w.look() == 0);
  const std::size_t told = w.log.count("pickup.later");
  CHECK(told == 1);
  w.drop("new.b", World::mail("rcpt bob@far.example\n"));
  CHECK(w.look() == 1);
  CHECK(w.log.count("pickup.later") == told);
  w.sim.run_for(Pickup::kFirstWait);
  CHECK(w.look() == 0);
  CHECK(w.log.count("pickup.later") == told + 1);
}

TEST_CASE("recipients are asked before the text is copied into the spool") {
  World w;
  w.drop("new.a", World::mail("rcpt later@far.example\n", "Subject: x\n\n" + std::string(1, '\0') + "\n"));
  CHECK(w.look() == 0);
  CHECK(w.names() == std::vector<std::string>{"new.a"});  // the NUL in it was not come to: it would be bad.a
}

TEST_CASE("a file that its mode keeps from us is put aside") {
  if (::geteuid() == 0) return;  // to root every file is open
  World w;
  w.drop("new.a", World::mail("rcpt bob@far.example\n"));
  REQUIRE(::chmod((w.folder / "new.a").c_str(), 0) == 0);
  CHECK(w.look() == 0);
  CHECK(w.names() == std::vector<std::string>{"bad.a"});
  CHECK(w.log.count("pickup.bad") == 1);
}
