// A store in a temporary folder on the real runtime, and messages for it. For the tests here.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "postern/nursery.h"
#include "postern/spool.h"
#include "postern/sync.h"
#include "store.h"

namespace postern::maildir {

namespace fs = std::filesystem;

inline std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (fs::temp_directory_path() / "postern-maildir-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct World {
  explicit World(SyncMode sync = SyncMode::kFileSystem)
      : store(1, {.root = folder.path().string(), .host = "mx.example", .sync = sync}) {
    REQUIRE(store.start(runtime->worker(0)));
  }

  /// Runs one coroutine to its end on the real loop.
  void run(Task<void> task) {
    Executor& worker = runtime->worker(0);
    Nursery nursery(worker);
    worker.post_remote_fn([&] {
      nursery.spawn(std::move(task));
      nursery.spawn(stop_when_alone(&nursery));
    });
    runtime->run();
  }
  Task<void> stop_when_alone(Nursery* nursery) {
    while (nursery->size() > 1) co_await sleep_for(1ms);
    runtime->stop();
  }

  Task<MessageReader> message(std::string text) {
    Executor& home = co_await this_executor();
    Draft draft = spool->begin(home);
    REQUIRE(co_await draft.append(text));
    auto id = co_await draft.commit({.envelope = {}, .client = {}, .plan = {}, .trail = {}});
    REQUIRE(id);
    auto reader = co_await spool->open(home, *id);
    REQUIRE(reader);
    co_return std::move(*reader);
  }
  Task<std::string> stage(std::string account, std::string text, std::string unique,
                          std::vector<std::string> flags = {}, std::string in_folder = "INBOX") {
    MessageReader reader = co_await message(std::move(text));
    DeliveryRequest request{.account = std::move(account),
                            .folder = std::move(in_folder),
                            .flags = std::move(flags),
                            .prefix = {},
                            .received = WallTime(std::chrono::seconds(1767225600)),
                            .unique = std::move(unique)};
    auto token = co_await store.stage(std::move(request), reader);
    REQUIRE(token);
    co_return *token;
  }
  Task<void> deliver(std::string account, std::string text, std::string unique, std::vector<std::string> flags = {},
                     std::string in_folder = "INBOX") {
    std::string token =
        co_await stage(std::move(account), std::move(text), std::move(unique), std::move(flags), std::move(in_folder));
    REQUIRE(co_await store.publish(token));
  }
  Task<std::unique_ptr<Mailbox>> open(std::string account, std::string in_folder = "INBOX") {
    auto mailbox = co_await store.open(std::move(account), std::move(in_folder));
    REQUIRE(mailbox);
    co_return std::move(*mailbox);
  }
  Task<std::string> read(Mailbox* mailbox, std::size_t index) {
    auto body = co_await mailbox->read(index);
    REQUIRE(body);
    std::string all;
    while (true) {
      auto piece = co_await (*body)->next();
      REQUIRE(piece);
      if (piece->empty()) break;
      all += *piece;
    }
    co_return all;
  }
  std::vector<std::string> files(const std::string& below) const {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(folder.path() / below, error), end; !error && at != end; ++at)
      names.push_back(at->path().filename().string());
    std::ranges::sort(names);
    return names;
  }

  TempFolder folder;
  std::unique_ptr<Runtime> runtime = make_uv_runtime({.workers = 1});
  std::unique_ptr<Spool> spool = make_memory_spool();
  MaildirStore store;
};

}  // namespace postern::maildir
