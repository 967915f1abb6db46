#include "scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "postern/hash.h"
#include "server.h"

namespace postern::simulation {

namespace {

constexpr std::size_t kSites = 4;
constexpr std::size_t kAccounts = 4;
constexpr Duration kGiveUp = 4h;
constexpr Duration kWarn = 30min;

/// The log: feeds the ledger, the digest, and with --verbose the reader.
class Diary final : public LogTarget {
 public:
  Diary(Ledger& ledger, bool verbose) : LogTarget(level_), ledger_(ledger), verbose_(verbose) {}
  void set_clock(SimRuntime& sim) { sim_ = &sim; }
  std::uint64_t digest() const { return digest_; }

  void write(LogLevel level, std::string_view event, std::string_view bound, LogFields fields) noexcept override {
    std::string_view id, recipient;
    line_ = fmt::format("{} {}{}", to_text(level), event, bound);
    for (const LogField& one : fields) {
      if (one.key == "id") id = one.text;
      if (one.key == "rcpt") recipient = one.text;
      add(one);
    }
    note(line_);
    ledger_.says(sim_->now(), event, id, recipient);
  }
  void bind(std::string& bound, LogFields fields) const override {
    for (const LogField& one : fields)
      if (one.kind == LogField::Kind::kText) bound += fmt::format(" {}={}", one.key, one.text);
  }
  void note(const std::string& line) {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(sim_->now().time_since_epoch()).count();
    digest_ = hash_bytes(line, digest_ + static_cast<std::uint64_t>(micros));
    if (verbose_) fmt::print("{:>14.6f} {}\n", static_cast<double>(micros) / 1e6, line);
  }

 private:
  void add(const LogField& one) {
    auto out = std::back_inserter(line_);
    switch (one.kind) {
      case LogField::Kind::kText:
        fmt::format_to(out, " {}={}", one.key, one.text);
        break;
      case LogField::Kind::kSigned:
        fmt::format_to(out, " {}={}", one.key, one.integer);
        break;
      case LogField::Kind::kUnsigned:
        fmt::format_to(out, " {}={}", one.key, one.natural);
        break;
      case LogField::Kind::kDouble:
        fmt::format_to(out, " {}={}", one.key, one.real);
        break;
      case LogField::Kind::kBool:
        fmt::format_to(out, " {}={}", one.key, one.truth);
        break;
      case LogField::Kind::kDuration:
        fmt::format_to(out, " {}={}ns", one.key, one.integer);
        break;
    }
  }

  static inline const std::atomic<LogLevel> level_{LogLevel::kTrace};
  Ledger& ledger_;
  SimRuntime* sim_ = nullptr;
  std::string line_;
  std::uint64_t digest_ = 0;
  bool verbose_;
};

class Scenario {
 public:
  explicit Scenario(const ScenarioOptions& options);
  Outcome run();

 private:
  static ServerSettings settings_for(Prng& random);
  void start();
  void live(bool last);
  void end_life(bool last);
  void act();
  void break_disk();
  void change_weather();
  Letter& write_letter();
  void add_recipients(Letter& letter);
  std::string sender_for(std::size_t number);
  MessageId some_letter();
  void drain();
  void note(const std::string& line) { diary_.note("== " + line); }
  Duration some_time(Duration least, Duration most);

  Prng random_;
  bool dead_ = false;
  Ledger ledger_;
  Diary diary_;
  ServerSettings settings_;
  SimRuntime sim_;
  FaultEnv env_;
  Internet internet_;
  Mailboxes mailboxes_;
  World world_;
  std::unique_ptr<Server> server_;
  std::optional<Instant> sick_;  ///< since when the disk keeps nothing
  bool sync_failed_ = false;
  unsigned crashes_ = 0;
};

SimOptions sim_options(std::uint64_t seed, unsigned workers) {
  SimOptions out;
  out.seed = seed;
  out.workers = workers + 1;
  return out;
}

ServerSettings Scenario::settings_for(Prng& random) {
  ServerSettings out;
  out.workers = random.chance(0.5) ? 1 : 2;
  out.spool = {.dir = "/spool",
               .segment_size = random.chance(0.5) ? 16 * 1024U : 256 * 1024U,
               .large_body_threshold = 4 * 1024,
               .max_blank_body_bytes = 64 * 1024,
               .header_limit = 2048,
               .min_free = 0};
  out.queue.retry = "1m, 5m, 15m*2, 30m";
  out.queue.give_up_after = kGiveUp;
  out.queue.warn_after = kWarn;
  out.queue.hot_messages = random.chance(0.3) ? 0 : random.chance(0.5) ? 3 : 1000;
  if (random.chance(0.2)) out.queue.destination_concurrency = 1;
  if (random.chance(0.3)) out.report_recipients = 1 + static_cast<std::uint32_t>(random.below(2));
  out.delivery.tls = "none";
  out.delivery.first_connections = 1 + static_cast<std::uint32_t>(random.below(5));
  out.delivery.single_flight.bytes = random.chance(0.5) ? 256 * 1024 : 0;
  out.delivery.max_messages_per_connection = random.chance(0.5) ? 1000 : 2;
  if (random.chance(0.2)) out.delivery.max_recipients = 1;
  return out;
}

Scenario::Scenario(const ScenarioOptions& options)
    : random_(options.seed),
      ledger_(dead_),
      diary_(ledger_, options.verbose),
      settings_(settings_for(random_)),
      sim_(sim_options(random_.next(), settings_.workers)),
      env_(random_.next()),
      internet_(sim_, sim_.worker(settings_.workers), ledger_, random_.next(), kSites),
      mailboxes_(ledger_, dead_, random_.next()),
      world_{sim_, env_, internet_, mailboxes_, ledger_, diary_, options.plant, dead_, 0} {
  diary_.set_clock(sim_);
  internet_.trace = [this](const std::string& line) { diary_.note(line); };
  if (options.plant == Plant::kDiskLies) env_.ignore_sync(true);
}

Duration Scenario::some_time(Duration least, Duration most) {
  return least + Duration(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>((most - least).count()))));
}

// --- letters --------------------------------------------------------------------------------------------------------

std::string Scenario::sender_for(std::size_t number) {
  if (random_.chance(0.1)) return {};
  if (random_.chance(0.05)) return fmt::format("nobody{}@{}", number, kLocalDomain);
  if (random_.chance(0.5)) return fmt::format("s{}@{}", number, kLocalDomain);
  return fmt::format("s{}@{}", number, internet_.domain(random_.below(kSites)));
}

void Scenario::add_recipients(Letter& letter) {
  static constexpr std::uint8_t kNotify[] = {kNotifyUnset,
                                             kNotifyUnset,
                                             kNotifyNever,
                                             kNotifySuccess,
                                             kNotifyFailure,
                                             kNotifyDelay,
                                             kNotifySuccess | kNotifyFailure,
                                             kNotifyFailure | kNotifyDelay,
                                             kNotifySuccess | kNotifyFailure | kNotifyDelay};
  const std::size_t count = 1 + random_.below(5);
  const double remote = random_.chance(0.7) ? 0.9 : 0.3;
  for (std::size_t at = 0; at < count; ++at) {
    LetterRecipient one;
    std::string domain(kLocalDomain);
    if (random_.chance(remote)) {
      domain = internet_.domain(random_.below(kSites));
    } else {
      one.fate = random_.chance(0.9) ? Fate::kMailbox : random_.chance(0.5) ? Fate::kDiscard : Fate::kBounce;
      if (one.fate == Fate::kMailbox) one.account = fmt::format("a{}", random_.below(kAccounts));
    }
    one.address = fmt::format("r{}-{}@{}", letter.number, at, domain);
    one.notify = kNotify[random_.below(std::size(kNotify))];
    letter.recipients.push_back(std::move(one));
  }
}

Letter& Scenario::write_letter() {
  Letter& letter = ledger_.add();
  letter.sender = sender_for(letter.number);
  letter.eight_bit = random_.chance(0.1);
  letter.text =
      fmt::format("Subject: letter {0}\r\nX-Letter: {0}\r\nMessage-ID: <{0}@there.example>\r\n", letter.number);
  if (letter.eight_bit) letter.text += "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n";
  letter.text += "\r\n";
  const std::size_t size = random_.chance(0.1) ? random_.below(20'000) : random_.below(1500);
  while (letter.text.size() < size) {
    static constexpr std::string_view kLines[] = {".\r\n", "..\r\n", ".hidden\r\n", "\r\n",
                                                  "Words, and more of them.\r\n"};
    letter.text += kLines[random_.below(std::size(kLines))];
    if (letter.eight_bit && random_.chance(0.2))
      letter.text +=
          "Gr\xc3\xbc\xc3\x9f"
          "e\r\n";
  }
  add_recipients(letter);
  return letter;
}

MessageId Scenario::some_letter() {
  auto& letters = ledger_.letters();
  if (letters.empty()) return {};
  auto at = letters.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(letters.size())));
  return at->second.state == Letter::State::kAccepted ? at->second.id : MessageId();
}

// --- what happens ---------------------------------------------------------------------------------------------------

void Scenario::change_weather() {
  Internet::Weather weather;
  static constexpr double kMischief[] = {0, 0.1, 0.5, 0.9};
  weather.mischief = kMischief[random_.below(4)];
  if (random_.chance(0.3)) weather.refused = 0.5;
  if (random_.chance(0.3)) weather.greylist = 0.3;
  if (random_.chance(0.2)) weather.dns = 0.3;
  if (random_.chance(0.2)) weather.black_hole = 0.3;
  internet_.set_weather(weather);
  mailboxes_.full = random_.chance(0.2) ? 0.5 : 0;
  mailboxes_.broken = random_.chance(0.2) ? 0.3 : 0;
  world_.no_reports = random_.chance(0.2) ? 0.5 : 0;
  note(fmt::format("weather: mischief {} refused {} greylist {} dns {} holes {} full {} broken {} no reports {}",
                   weather.mischief, weather.refused, weather.greylist, weather.dns, weather.black_hole,
                   mailboxes_.full, mailboxes_.broken, world_.no_reports));
}

void Scenario::break_disk() {
  const auto after = static_cast<unsigned>(random_.below(30));
  switch (random_.below(4)) {
    case 0:
      note(fmt::format("disk: write {} fails", after));
      env_.fail_write(random_.chance(0.5) ? EIO : ENOSPC, after);
      break;
    case 1:
      note(fmt::format("disk: sync {} fails", after));
      env_.fail_sync(EIO, after);
      sync_failed_ = true;
      break;
    default:
      note("disk: full");
      return env_.set_capacity(env_.used() + random_.below(60'000));
  }
  if (!sick_) sick_ = sim_.now();
}

void Scenario::act() {
  const std::uint64_t what = random_.below(100);
  if (what < 70) {
    Letter& letter = write_letter();
    note(fmt::format("letter {} of <{}>, {} octets, {} recipients", letter.number, letter.sender, letter.text.size(),
                     letter.recipients.size()));
    return server_->submit(letter);
  }
  if (what < 80) return change_weather();
  if (what < 83) return break_disk();
  if (what < 85) return env_.set_capacity(~0ULL);
  static constexpr const char* kCommands[] = {"queue.recall",  "queue.recall", "queue.hold",
                                              "queue.release", "queue.expire", "queue.retry"};
  const std::string command = kCommands[random_.below(std::size(kCommands))];
  const MessageId id = some_letter();
  if (!id) return;
  note(fmt::format("{} {}", command, id.to_string()));
  server_->command(command, id);
}

void Scenario::start() {
  note("start");
  server_ = std::make_unique<Server>(world_, settings_, random_.next());
  if (server_->running()) ledger_.found(server_->list());
}

void Scenario::live(bool last) {
  start();
  if (!server_->running()) return;
  change_weather();
  // When it ends: at an operation of the disk, at an event, or after a time.
  const std::uint64_t how = random_.below(3);
  const std::uint64_t operation = how == 0 ? env_.operations() + random_.below(400) : ~0ULL;
  const std::uint64_t event = how == 1 ? sim_.events() + random_.below(8000) : ~0ULL;
  const Instant time = sim_.now() + (how == 2 ? some_time(10ms, random_.chance(0.5) ? 10s : 3h) : Duration(3h));
  const auto over = [&] { return env_.operations() >= operation || sim_.events() >= event || sim_.now() >= time; };
  std::size_t left = 2 + random_.below(14);
  while (!over()) {
    const Duration pause =
        left == 0 ? Duration(1h) : some_time(0s, random_.chance(0.7) ? Duration(200ms) : Duration(5min));
    if (sim_.run_until(over, std::min<Duration>(pause, time - sim_.now()))) break;
    if (left == 0) continue;
    --left;
    act();
  }
  end_life(last);
}

void Scenario::end_life(bool last) {
  static constexpr End kEnds[] = {End::kPowerLoss, End::kPowerLoss, End::kCrash, End::kCrash, End::kStop};
  // Pages whose sync failed are in the cache and nowhere else: the machine goes down with them.
  const End chosen = kEnds[random_.below(std::size(kEnds))];
  const End how = std::exchange(sync_failed_, false) ? End::kPowerLoss : chosen;
  static constexpr const char* kNames[] = {"power loss", "crash", "stop"};
  note(fmt::format("end: {}{}", kNames[static_cast<int>(how)], last ? ", the last" : ""));
  const Duration linger = random_.chance(0.5) ? Duration(0) : some_time(0s, 5ms);
  const Instant since = sick_ ? *sick_ : sim_.now();
  if (how != End::kStop) ++crashes_;
  server_->end(how, random_.next(), linger);
  ledger_.interrupted(sim_.now(), since);
  server_.reset();
  env_.set_capacity(~0ULL);
  sick_.reset();
  sim_.run_for(some_time(0s, 10s));
}

/// Fair weather. What an administrator has held, or a crash, he lets go.
void Scenario::drain() {
  internet_.set_weather({});
  mailboxes_.full = mailboxes_.broken = 0;
  world_.no_reports = 0;
  start();
  note("fair weather from here on");
  if (!server_->running()) return;
  const Instant limit = sim_.now() + kGiveUp + 2h;
  while (sim_.now() < limit) {
    const auto left = server_->list();
    if (left.empty()) break;
    for (const MessageInfo& info : left)
      if (info.held_until) server_->command("queue.release", info.id);
    sim_.run_for(10min);
  }
  sim_.run_for(1h);  // nothing comes after that
  ledger_.check_end(server_->list());
  server_->end(End::kStop, 0, 0s);
}

Outcome Scenario::run() {
  const std::size_t lives = 1 + random_.below(4);
  for (std::size_t life = 0; life < lives && ledger_.wrong().empty(); ++life) live(life + 1 == lives);
  if (ledger_.wrong().empty()) drain();
  return {ledger_.wrong(), ledger_.counts(), sim_.events(), diary_.digest(), crashes_};
}

}  // namespace

Outcome run_scenario(const ScenarioOptions& options) {
  Scenario scenario(options);
  return scenario.run();
}

}  // namespace postern::simulation
