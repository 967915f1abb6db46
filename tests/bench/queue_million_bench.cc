// What a queue of a million messages costs: how long the server needs to start with it, how much memory, and what
// `queue top` says of it and after which time.
//
//   queue_million_bench fill FOLDER [messages=1000000] [destinations=1000]
//   queue_million_bench start FOLDER
//
// "fill" writes messages of 1 KiB for other servers into a spool, each deferred once with a reply of its own words.
// "start" opens it as a server does, in a process of its own so that the memory is only what the start needs, and
// prints a table: the spool's recovery, the queue's, resident memory in all and for each recipient, and the first lines
// of top.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <coroutine>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "modules/queue/commands.h"
#include "modules/queue/queue.h"
#include "postern/executor.h"
#include "postern/spool.h"

using namespace postern;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// A runtime whose spool is open.
struct Bench {
  explicit Bench(const char* folder) {
    auto opened =
        open_spool({.dir = folder},
                   {.env = env,
                    .journal = runtime->make_lane("journal"),
                    .keeper = runtime->make_lane("keeper"),
                    .report = [](const SpoolReport& report) { fmt::print(stderr, "report: {}\n", report.detail); }});
    if (!opened) {
      fmt::print(stderr, "{}: {}\n", opened.error().code, opened.error().detail);
      std::exit(1);
    }
    spool = std::move(opened->spool);
  }
  std::unique_ptr<Runtime> runtime = make_uv_runtime({.workers = 1});
  PosixEnv env;
  std::unique_ptr<Spool> spool;
};

// --- fill -----------------------------------------------------------------------------------------------------------

struct Fill {
  std::uint64_t wanted = 0;
  std::uint64_t destinations = 1;
  std::uint64_t begun = 0;
  unsigned running = 0;
};

AcceptMeta meta_of(std::uint64_t number, std::uint64_t destinations) {
  Envelope envelope;
  envelope.sender = *Address::parse(fmt::format("user{}@sender.example", number % 500));
  // A few destinations have most of the mail, as it is.
  const std::uint64_t one = number % 10 < 7 ? number % 7 : number % destinations;
  envelope.recipients.push_back({.address = *Address::parse(fmt::format("someone{}@site{}.example", number, one))});
  Plan plan;
  PlanStep step;
  step.kind = PlanStep::Kind::kRelay;
  step.recipients = {0};
  plan.steps.push_back(std::move(step));
  AcceptMeta meta;
  envelope.encode(meta.envelope);
  plan.encode(meta.plan);
  meta.client = "c";
  meta.trail = std::string(150, 't');
  return meta;
}

Task<void> commit_some(Bench& bench, Fill& fill) {
  Executor& home = bench.runtime->worker(0);
  const std::string content = "Subject: bench\r\n\r\n" + std::string(1000, 'x');
  while (fill.begun < fill.wanted) {
    const std::uint64_t number = fill.begun++;
    Draft draft = bench.spool->begin(home, content.size());
    static_cast<void>(co_await draft.append(content));
    auto id = co_await draft.commit(meta_of(number, fill.destinations));
    if (!id) {
      fmt::print(stderr, "{}: {}\n", id.error().code, id.error().detail);
      std::exit(1);
    }
    const auto next = home.wall() + std::chrono::hours(1) + std::chrono::milliseconds(number % 3'600'000);
    bench.spool->change_lazily(
        home, bench.spool->attempted(*id, 0, 1, next,
                                     fmt::format("relay.deferred: mx.site.example: 451 4.7.1 try later ({})", number)));
  }
  if (--fill.running == 0) bench.runtime->stop();
}

int fill_spool(const char* folder, std::uint64_t messages, std::uint64_t destinations) {
  Bench bench(folder);
  Fill fill{.wanted = messages, .destinations = destinations};
  Nursery nursery(bench.runtime->worker(0));
  const auto begin = Clock::now();
  bench.runtime->worker(0).post_remote_fn([&] {
    for (fill.running = 0; fill.running < 512; ++fill.running) nursery.spawn(commit_some(bench, fill));
  });
  bench.runtime->run();
  fmt::print("{} messages in {:.1f} s\n", messages, seconds_since(begin));
  bench.spool.reset();
  return 0;
}

// --- start ----------------------------------------------------------------------------------------------------------

/// Mail for others needs no mailboxes.
class NoStore final : public MailStore {
 public:
  Task<Result<std::string>> stage(DeliveryRequest, MessageReader&) override { co_return fault("store.none"); }
  Task<Result<void>> publish(std::string) override { co_return fault("store.none"); }
  Task<Result<bool>> is_staged(std::string) override { co_return false; }
  Task<void> discard(std::string) override { co_return; }
  Task<std::size_t> sweep(WallTime) override { co_return 0; }
  Task<Result<std::unique_ptr<Mailbox>>> open(std::string, std::string) override { co_return fault("store.none"); }
};

class Printer final : public ControlRows {
 public:
  Task<void> row(std::string json) override {
    const auto row = queue::Json::parse(json);
    fmt::print("| {} | {} | {} | {} s | {} |\n", row["destination"].get<std::string>(),
               row["messages"].get<std::uint64_t>(), row["size"].get<std::uint64_t>(), row["age"].get<std::uint64_t>(),
               row["last_reply"].get<std::string>());
    return Task<void>::ready();
  }
};

Task<void> measure(Bench& bench, queue::QueueService& service, Clock::time_point begin, double spool_seconds) {
  auto stats = co_await bench.spool->stats(bench.runtime->worker(0));
  const std::uint64_t wanted = stats ? stats->messages : 0;
  while (service.shard(0).size() < wanted) co_await sleep_for(1ms);
  const double queue_seconds = seconds_since(begin);
  const std::uint64_t resident = resident_bytes();
  fmt::print("| what | value |\n|---|---|\n");
  fmt::print("| messages | {} |\n| spool opened after | {:.2f} s |\n| queue has all after | {:.2f} s |\n", wanted,
             spool_seconds, queue_seconds);
  fmt::print("| resident memory | {} MiB |\n| of it for each recipient | {} octets |\n\n", resident >> 20,
             wanted ? resident / wanted : 0);
  fmt::print("| destination | messages | octets | oldest | last reply |\n|---|---|---|---|---|\n");
  const auto asked = Clock::now();
  Printer rows;
  static_cast<void>(co_await queue::top_command(service, {.command = "queue.top", .args = {{"limit", "10"}}}, rows));
  fmt::print("\nqueue top: {:.2f} s\n", seconds_since(asked));
  co_await service.drain(0, Deadline::after(1s));
  bench.runtime->stop();
}

int start_queue(const char* folder) {
  const auto begin = Clock::now();
  Bench bench(folder);
  const double spool_seconds = seconds_since(begin);
  NoStore store;
  Metrics metrics(1);
  {
    queue::QueueService service(*bench.runtime, metrics);
    service.make_shards(*bench.spool, store, nullptr, nullptr, nullptr, {});
    Nursery nursery(bench.runtime->worker(0));
    bench.runtime->worker(0).post_remote_fn([&] {
      service.mark_own(bench.runtime->worker(0));
      service.begin();
      nursery.spawn(measure(bench, service, begin, spool_seconds));
    });
    bench.runtime->run();
  }
  bench.spool.reset();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at, std::uint64_t otherwise) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : otherwise;
  };
  if (argc > 2 && std::strcmp(argv[1], "fill") == 0) return fill_spool(argv[2], number(3, 1'000'000), number(4, 1000));
  if (argc > 2 && std::strcmp(argv[1], "start") == 0) return start_queue(argv[2]);
  fmt::print(stderr, "usage: {} fill FOLDER [messages] [destinations]\n       {} start FOLDER\n", argv[0], argv[0]);
  return 2;
}
