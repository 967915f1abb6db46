// An HTTP client for small things: policies, reports, a lookup by a rule. GET and POST on our own loop, with TLS.
//
//   auto http = make_http_client(executor, resolver, client_tls, {});
//   Result<HttpResponse> got = co_await http->fetch({.url = "https://mta-sts.example.org/.well-known/mta-sts.txt"});
//
// A connection per request (`Connection: close`): whom we ask, we ask rarely. The name is resolved here and the address
// that was looked at is the one that is connected to, so that a name cannot lead to an address behind the firewall
// (server-side request forgery): addresses that are not public are refused unless settings allow them.
//
// Owner:  one per worker; ends after all its fetches. Thread: that worker.
// Errors: values; only Cancelled is thrown. "http.url", "http.request" (a method or header that is none), "http.dns",
//         "http.private" (no public address), "http.connect", "http.tls", "http.timeout", "http.protocol" (an answer
//         that breaks the rules or the limits of its head), "http.too_large", "http.redirect", "http.busy".
// RFC:    9110, 9112 (HTTP/1.1), 3986 (the URLs that we take: http and https, without user or password), 6125.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/endpoint.h"
#include "postern/error.h"
#include "postern/task.h"
#include "postern/time.h"

namespace postern {

class Resolver;
class TlsContext;

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method = "GET";  ///< GET, HEAD, POST, PUT, DELETE, PATCH
  std::string url;
  std::vector<HttpHeader> headers;  ///< beside Host, Content-Length, Connection and User-Agent, which are made here
  std::string body;
  Duration timeout = 30s;                              ///< for all of it, redirects too
  std::size_t max_body_octets = std::size_t{1} << 20;  ///< of the response
  unsigned max_redirects = 0;  ///< 0: a redirect is a response like another. Never from https to http
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;  ///< in the order received, values trimmed
  std::string content_type;         ///< the media type alone, in lower case: "text/plain"
  std::string body;
  std::string url;  ///< that answered, after redirects

  /// The first field of that name, in any case; empty when there is none.
  std::string_view header(std::string_view name) const;
};

/// A place that is not public and may be reached all the same, because an administrator named it.
///
/// Shape: "10.0.0.0/8", "127.0.0.1:8080", "[::1]:8080", "checks.internal", "checks.internal:8080". A host stands for
///        whatever its name leads to, a network or address for all names that lead there; without a port any port.
struct HttpPrivatePlace {
  std::optional<IpNetwork> network;
  std::string host;        ///< lower case, when there is no network
  std::uint16_t port = 0;  ///< 0: any

  static std::optional<HttpPrivatePlace> parse(std::string_view text);
  /// Whether it covers `address`, which `asked` (a name or address in lower case) led to.
  bool covers(std::string_view asked, const IpAddress& address, std::uint16_t asked_port) const;
};

struct HttpClientSettings {
  bool allow_private = false;  ///< loopback, RFC 1918, link-local, shared and other addresses that are not public
  std::vector<HttpPrivatePlace> private_places = {};  ///< of those the ones that may be reached
  bool allow_plain = true;                            ///< http:// too
  unsigned max_concurrent = 100;                      ///< fetches under way; more are "http.busy"
  std::string user_agent = "Postern";
  Duration max_timeout = std::chrono::hours(1);   ///< a request may ask for less
  std::size_t max_body_octets = ~std::size_t{0};  ///< likewise
};

class HttpClient {
 public:
  static constexpr std::size_t kMaxUrlOctets = 4'096;
  static constexpr std::size_t kMaxHeaderLine = 8'192;
  static constexpr std::size_t kMaxHeaderOctets = 65'536;  ///< all fields of a response, and its trailers
  static constexpr std::size_t kMaxHeaders = 200;
  static constexpr unsigned kMaxAddresses = 4;       ///< tried for one host
  static constexpr unsigned kMaxInterim = 10;        ///< 1xx responses before the real one
  static constexpr std::size_t kMaxChunkLine = 256;  ///< size and extensions of a chunk

  virtual ~HttpClient();
  virtual Task<Result<HttpResponse>> fetch(HttpRequest request) = 0;
};

/// `tls`: a client context; its CAs are asked, the host's name is demanded. Null: https is a fault.
/// `resolver` outlives the client.
std::unique_ptr<HttpClient> make_http_client(Executor& executor, Resolver& resolver, std::shared_ptr<TlsContext> tls,
                                             HttpClientSettings settings);

}  // namespace postern
