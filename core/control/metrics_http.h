// The little of HTTP (RFC 9110, RFC 9112) that a scraper of metrics needs: GET and HEAD of /metrics, one request to a
// connection. Pure functions; ControlServer has the connection.
#pragma once

#include <string>
#include <string_view>

namespace postern {

struct MetricsRequest {
  int status = 400;   ///< 200; 400: not HTTP/1; 404: another path; 405: another method
  bool head = false;  ///< the answer has no body
};

/// Judges a request line, "GET /metrics?x=y HTTP/1.1". A query is allowed and means nothing.
MetricsRequest read_metrics_request(std::string_view line);

/// The whole answer; `metrics` is what /metrics has, used with status 200.
std::string metrics_answer(const MetricsRequest& request, std::string_view metrics);

}  // namespace postern
