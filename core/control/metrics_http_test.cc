#include "core/control/metrics_http.h"

#include <doctest/doctest.h>

namespace postern {
namespace {

std::string answer(std::string_view line) {
  return metrics_answer(read_metrics_request(line), "up 1\n");
}

TEST_CASE("GET has the metrics, with and without a query") {
  for (const char* line :
       {"GET /metrics HTTP/1.1", "GET / HTTP/1.0", "GET /metrics?collect[]=all HTTP/1.1", "GET /metrics? HTTP/1.1",
        "GET http://localhost:9100/metrics?x HTTP/1.1", "GET http://localhost HTTP/1.1"}) {
    const std::string text = answer(line);
    CHECK_MESSAGE(text.starts_with("HTTP/1.1 200 OK\r\n"), line);
    CHECK_MESSAGE(text.ends_with("Content-Length: 5\r\nConnection: close\r\n\r\nup 1\n"), line);
  }
}

TEST_CASE("HEAD has the same head and no body") {
  const std::string get = answer("GET /metrics HTTP/1.1");
  CHECK(answer("HEAD /metrics HTTP/1.1") == get.substr(0, get.size() - 5));
  CHECK(answer("HEAD /other HTTP/1.1").ends_with("\r\n\r\n"));
}

TEST_CASE("other methods are 405 and are told which there are") {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get"}) {
    const std::string text = answer(std::string(method) + " /metrics HTTP/1.1");
    CHECK_MESSAGE(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), method);
    CHECK_MESSAGE(text.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos, method);
  }
}

TEST_CASE("other paths are 404, and what is not HTTP is 400") {
  for (const char* line :
       {"GET /metricsx HTTP/1.1", "GET /etc/passwd HTTP/1.1", "GET /metrics/ HTTP/1.1", "GET * HTTP/1.1"})
    CHECK_MESSAGE(answer(line).starts_with("HTTP/1.1 404 Not Found\r\n"), line);
  for (const char* line : {"", "GET", "GET /metrics", "GET  /metrics HTTP/1.1", "GET /metrics HTTP/2", "EHLO a b"})
    CHECK_MESSAGE(answer(line).starts_with("HTTP/1.1 400 Bad Request\r\n"), line);
}

}  // namespace
}  // namespace postern
