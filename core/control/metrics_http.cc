#include "core/control/metrics_http.h"

#include <fmt/format.h>

#include "postern/text.h"

namespace postern {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Bad Request";
  }
}

/// The path of a request's target, in origin form or in absolute form (RFC 9112 section 3.2).
std::string_view path_of(std::string_view target) {
  if (starts_with_folded(target, "http://")) {
    target.remove_prefix(7);
    const auto slash = target.find_first_of("/?");
    target = slash == std::string_view::npos || target[slash] == '?' ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

}  // namespace

MetricsRequest read_metrics_request(std::string_view line) {
  const auto words = split(line, ' ');
  if (words.size() != 3 || words[0].empty() || words[1].empty() || !words[2].starts_with("HTTP/1.")) return {};
  MetricsRequest request{.status = 200, .head = words[0] == "HEAD"};
  if (words[0] != "GET" && !request.head) {
    request.status = 405;
  } else if (const auto path = path_of(words[1]); path != "/metrics" && path != "/") {
    request.status = 404;
  }
  return request;
}

std::string metrics_answer(const MetricsRequest& request, std::string_view metrics) {
  std::string_view body = metrics;
  if (request.status == 404) body = "metrics are at /metrics\n";
  if (request.status == 405) body = "metrics are for GET and HEAD\n";
  if (request.status == 400) body = "this is not an HTTP/1.1 request\n";
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n{}"
      "Connection: close\r\n\r\n",
      request.status, reason(request.status), body.size(), request.status == 405 ? "Allow: GET, HEAD\r\n" : "");
  if (!request.head) out += body;
  return out;
}

}  // namespace postern
