// What rules cost: one message of one recipient through "root", with its trail, in a simulated world (no disk, no DNS).
//
//   rules_bench [rounds=100000]
//
// Three sets of rules, written as a script has them and made by the real modules: the last rule alone; 20 native rules
// before it, of which none matches; the same and a matcher in Lua that reads a header and a recipient. Prints
// microseconds of the processor and instructions for each message, the best of five runs, and fails when 20 native
// rules cost more than 5 us or the matcher in Lua 5 us more. Instructions come from the processor's counter where the
// kernel lends it; else run it below `valgrind --tool=callgrind`.
#define DOCTEST_CONFIG_IMPLEMENT
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "core/pipeline/fixture_for_tests.h"
#include "modules/lua/engine.h"
#include "modules/mailets/rules.h"

using namespace postern;

namespace {

constexpr double kBar = 5.0;  // microseconds
constexpr int kRuns = 5;

constexpr std::string_view kNative = R"(
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.size_over "50 MiB", act.bounce("5.3.4", "too big") },
  { when = match.sender_is "nobody@elsewhere.example", act.discard "x" },
  { when = match.sender_domain_is { "a.example", "b.example", "c.example" }, act.discard "x" },
  { when = match.sender_is_null, act.discard "x" },
  { when = match.recipient_is { "a@ours.example", "b@ours.example" }, act.discard "x" },
  { when = match.recipient_domain_is { "a.example", "b.example" }, act.discard "x" },
  { when = match.user_is { "postmaster", "abuse" }, act.discard "x" },
  { when = match.remote_addr_in_network { "10.0.0.0/8", "192.168.0.0/16" }, act.discard "x" },
  { when = match.smtp_auth_successful, act.discard "x" },
  { when = match.smtp_auth_user_is { "ann", "ben" }, act.discard "x" },
  { when = match.has_header "X-None", act.discard "x" },
  { when = match.subject_is "no such subject", act.discard "x" },
  { when = match.subject_starts_with "[list]", act.discard "x" },
  { when = match.has_note "spam", act.discard "x" },
  { when = match.is_marked_as_spam, act.discard "x" },
  { when = match.recipient_count_exceeds(50), act.discard "x" },
  { when = match.tls_is "TLSv1.3", act.discard "x" },
  { when = match.smtp_auth_successful * match.sender_is_null, act.discard "x" },
  { when = match.relay_allowed, act.relay },
)";
constexpr std::string_view kLua = R"(
  { when = function(mail) return mail:header "X-Archive" == "yes" and mail.recipients[1].domain == "ours.example" end,
    act.discard "x" },
)";

double cpu_micros() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

/// Counts the instructions of this thread; nothing where the kernel does not allow it.
class Instructions {
 public:
  Instructions() {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
    attributes.exclude_kernel = 1;
    file_ = static_cast<int>(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
  }
  ~Instructions() {
    if (file_ >= 0) ::close(file_);
  }
  std::uint64_t read() const {
    std::uint64_t count = 0;
    return file_ >= 0 && ::read(file_, &count, sizeof count) == sizeof count ? count : 0;
  }

 private:
  int file_ = -1;
};

Task<Verdict> rounds_of(PolicyWorld* world, Transaction* mail, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    mail->trail.clear();
    const Decision decision = co_await world->policy->message(*mail);
    if (decision.plan.steps.size() != 1) co_return Verdict::reject(550, "5.0.0", decision.reply().text);
  }
  co_return Verdict{};
}

struct Cost {
  double micros = 0;
  double instructions = 0;
};

Cost measure(std::string_view rules, int rounds) {
  char folder[] = "/tmp/postern-rules-bench-XXXXXX";
  const std::filesystem::path top = ::mkdtemp(folder);
  const std::string file = (top / "rules.lua").string();
  std::ofstream(file) << "local postern = require 'postern'\nlocal match, act = postern.match, postern.act\n"
                      << "postern.pipeline 'root' {" << rules << "{ act.deliver { folder = 'INBOX' } } }\n";
  const auto registry = make_rule_registry();
  mailets::declare_combinators(*registry);
  mailets::declare_recipient_matchers(*registry);
  mailets::declare_sender_matchers(*registry);
  mailets::declare_client_matchers(*registry);
  mailets::declare_message_matchers(*registry);
  mailets::declare_routes(*registry);
  mailets::declare_refusals(*registry);
  PolicyWorld world;
  world.policy = std::make_unique<PipelinePolicy>(
      PipelinePolicy::Options{.workers = 1, .metrics = world.metrics, .precise_clock = std::chrono::steady_clock::now});
  world.policy->attach(world.directory, &world.queue);
  world.policy->start(world.sim.worker(0), world.dns, world.log.log());
  Diagnostics diagnostics;
  world.rules = lua::LuaEngine({}, {top}).load({file}, *registry, diagnostics);
  std::filesystem::remove_all(top);
  if (!world.rules) {
    fmt::print(stderr, "{}", diagnostics.render());
    std::exit(2);
  }
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("alice@elsewhere.example");
  talk.to("bob@ours.example");
  talk.send(
      "Received: from a\r\nFrom: <alice@elsewhere.example>\r\nTo: <bob@ours.example>\r\nSubject: hello there\r\n"
      "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@elsewhere.example>\r\nMIME-Version: 1.0\r\n\r\nhi\r\n");
  const Instructions counter;
  Cost best{1e9, 0};
  for (int run = 0; run < kRuns; ++run) {
    const std::uint64_t instructions = counter.read();
    const double before = cpu_micros();
    const Verdict verdict = world.run(rounds_of(&world, &*talk.mail, rounds));
    const double micros = (cpu_micros() - before) / rounds;
    if (verdict.decided()) {
      fmt::print(stderr, "the message was not delivered: {}\n", verdict.reply.text);
      std::exit(2);
    }
    if (micros < best.micros) best = {micros, static_cast<double>(counter.read() - instructions) / rounds};
  }
  return best;
}

void print(std::string_view what, const Cost& cost) {
  fmt::print("{:<44}{:8.2f} us", what, cost.micros);
  if (cost.instructions > 0) fmt::print("{:12.0f} instructions", cost.instructions);
  fmt::print("\n");
}

}  // namespace

int main(int count, char** arguments) {
  doctest::Context context;
  context.setAsDefaultForAssertsOutOfTestCases();
  const int rounds = std::clamp(count > 1 ? std::atoi(arguments[1]) : 100'000, 1, 10'000'000);
  const Cost none = measure("", rounds);
  const Cost native = measure(kNative, rounds);
  const Cost lua = measure(std::string(kNative) + std::string(kLua), rounds);
  print("the last rule alone, with its trail", none);
  print("20 native rules before it", native);
  print("20 native rules, and a matcher in Lua", lua);
  const double rules = native.micros - none.micros, matcher = lua.micros - native.micros;
  fmt::print("20 native rules cost {:.2f} us, the matcher {:.2f} us more; the bar is {} us each\n", rules, matcher,
             kBar);
  return rules > kBar || matcher > kBar;
}
