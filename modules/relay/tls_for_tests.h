// What the tests of TLS policy and reports share: a simulated worker, a DNS, and an HTTPS that answers from a list.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postern/dns_fake.h"
#include "postern/env.h"
#include "postern/http.h"
#include "postern/log.h"
#include "postern/nursery.h"
#include "postern/sim.h"
#include "postern/wait.h"

namespace postern::relay::testing {

/// Answers by URL; what is not listed cannot be reached. Remembers what was asked.
class FakeHttp final : public HttpClient {
 public:
  std::map<std::string, Result<HttpResponse>> answers;
  std::vector<HttpRequest> asked;
  Duration delay = 10ms;

  void answer(const std::string& url, int status, std::string body, std::string type = "text/plain") {
    HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    response.content_type = std::move(type);
    answers.insert_or_assign(url, std::move(response));
  }
  void fail(const std::string& url, std::string code) {
    answers.insert_or_assign(url, Result<HttpResponse>(fault(std::move(code), "as the test wants it")));
  }
  Task<Result<HttpResponse>> fetch(HttpRequest request) override {
    asked.push_back(request);
    co_await sleep_for(delay);
    const auto it = answers.find(request.url);
    if (it == answers.end()) co_return fault("http.connect", "nobody listens");
    co_return it->second;
  }
};

struct TlsWorld {
  SimRuntime sim;
  Executor& executor = sim.worker(0);
  FakeResolver dns{executor};
  FakeHttp http;
  FaultEnv env;
  CaptureLog log;

  /// Runs a task to its end in virtual time.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    Nursery nursery(executor);
    nursery.spawn(detail::store(std::move(task), &out));
    REQUIRE(sim.run_until([&out] { return out.has_value(); }, 600s));
    sim.run_until_idle();
    return std::move(*out);
  }
  void run(Task<void> task) {
    Nursery nursery(executor);
    nursery.spawn(std::move(task));
    REQUIRE(sim.run_until([&nursery] { return nursery.size() == 0; }, 24h));
  }
};

inline std::string sts_url(const std::string& domain) {
  return "https://mta-sts." + domain + "/.well-known/mta-sts.txt";
}

inline std::string sts_text(const std::string& mode, const std::string& mx, const std::string& max_age = "604800") {
  return "version: STSv1\r\nmode: " + mode + "\r\nmx: " + mx + "\r\nmax_age: " + max_age + "\r\n";
}

}  // namespace postern::relay::testing
