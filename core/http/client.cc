// The client of postern/http.h: from a URL to a connection, a request, a response.
#include "postern/http.h"

#include <algorithm>
#include <array>

#include "core/http/response_reader.h"
#include "core/http/url.h"
#include "postern/dns.h"
#include "postern/stream.h"
#include "postern/text.h"
#include "postern/tls.h"

namespace postern {

HttpClient::~HttpClient() = default;

std::string_view HttpResponse::header(std::string_view name) const {
  for (const HttpHeader& field : headers)
    if (equal_folded(field.name, name)) return field.value;
  return {};
}

namespace http {
namespace {

bool known_method(std::string_view method) {
  static constexpr std::array kMethods = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

bool good_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return is_ascii_alnum(c) || c == '-' || c == '_'; });
}

bool good_value(std::string_view value) {
  return std::ranges::none_of(value, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

/// Fields that frame the message are ours alone: two answers to "how long is it" are a smuggled request.
bool made_here(std::string_view name) {
  static constexpr std::array kOurs = {"host", "content-length", "connection", "transfer-encoding", "te", "upgrade"};
  return std::ranges::any_of(kOurs, [name](const char* ours) { return equal_folded(name, ours); });
}

std::string head_of(const HttpRequest& request, const Url& url, const std::string& user_agent) {
  std::string text = request.method + " " + url.target + " HTTP/1.1\r\nHost: " + url.authority() + "\r\n";
  bool agent = false;
  for (const HttpHeader& field : request.headers) {
    text += field.name + ": " + field.value + "\r\n";
    agent |= equal_folded(field.name, "user-agent");
  }
  if (!agent && !user_agent.empty()) text += "User-Agent: " + user_agent + "\r\n";
  if (!request.body.empty() || (request.method != "GET" && request.method != "HEAD"))
    text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  return text + "Connection: close\r\n\r\n";
}

bool redirects(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// A request on its way to another place: without what was meant for the first one only.
void turn(HttpRequest& request, int status, bool same_origin) {
  if (status == 303 || (status != 307 && status != 308 && request.method == "POST")) {
    if (request.method != "HEAD") request.method = "GET";
    request.body.clear();
    std::erase_if(request.headers, [](const HttpHeader& f) { return starts_with_folded(f.name, "content-"); });
  }
  if (same_origin) return;
  std::erase_if(request.headers, [](const HttpHeader& f) {
    return equal_folded(f.name, "authorization") || equal_folded(f.name, "cookie") || starts_with_folded(f.name, "x-");
  });
}

struct Count {
  unsigned& value;
  explicit Count(unsigned& counted) : value(counted) { ++value; }
  ~Count() { --value; }
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;
};

class Client final : public HttpClient {
 public:
  Client(Executor& executor, Resolver& resolver, std::shared_ptr<TlsContext> tls, HttpClientSettings settings)
      : executor_(executor), resolver_(resolver), tls_(std::move(tls)), settings_(std::move(settings)) {}
  Task<Result<HttpResponse>> fetch(HttpRequest request) override;

 private:
  Result<Url> look_at(const HttpRequest& request) const;
  bool may_reach(const Url& url, const IpAddress& address) const;
  Task<Result<HttpResponse>> follow(HttpRequest request, Url url, Deadline deadline);
  /// `request` and `url` outlive it.
  Task<Result<HttpResponse>> once(const HttpRequest& request, const Url& url, Deadline deadline);
  Task<Result<HttpResponse>> talk(Stream& stream, const HttpRequest& request, const Url& url, Deadline deadline);
  Task<Result<std::vector<IpAddress>>> addresses_of(Url url, Deadline deadline);
  Task<Result<std::unique_ptr<Stream>>> reach(std::vector<IpAddress> addresses, std::uint16_t port, Deadline deadline);
  Task<Result<std::unique_ptr<Stream>>> reach_one(Endpoint to, Deadline deadline);

  Executor& executor_;
  Resolver& resolver_;
  std::shared_ptr<TlsContext> tls_;
  HttpClientSettings settings_;
  unsigned under_way_ = 0;
};

Result<Url> Client::look_at(const HttpRequest& request) const {
  auto url = Url::parse(request.url);
  if (!url) return fault("http.url", "this is no http or https URL that we take");
  if (!url->tls && !settings_.allow_plain) return fault("http.url", "only https is allowed here");
  if (url->tls && !tls_) return fault("http.tls", "there is no TLS for clients");
  if (!known_method(request.method)) return fault("http.request", "unknown method " + request.method);
  for (const HttpHeader& field : request.headers)
    if (!good_name(field.name) || !good_value(field.value) || made_here(field.name))
      return fault("http.request", "the field " + field.name + " cannot be sent");
  return std::move(*url);
}

Task<Result<HttpResponse>> Client::fetch(HttpRequest request) {
  auto url = look_at(request);
  if (!url) co_return std::unexpected(url.error());
  if (under_way_ >= settings_.max_concurrent) co_return fault("http.busy", "too many requests are under way");
  const Count count(under_way_);
  request.timeout = std::min(request.timeout, settings_.max_timeout);
  request.max_body_octets = std::min(request.max_body_octets, settings_.max_body_octets);
  const Deadline deadline = Deadline::after(request.timeout).fixed(executor_.now());
  co_return co_await follow(std::move(request), std::move(*url), deadline);
}

Task<Result<HttpResponse>> Client::follow(HttpRequest request, Url url, Deadline deadline) {
  for (unsigned turns = 0;; ++turns) {
    auto response = co_await once(request, url, deadline);
    if (!response) co_return response;
    response->url = url.to_string();
    if (!request.max_redirects || !redirects(response->status)) co_return response;
    if (turns == request.max_redirects) co_return fault("http.redirect", "too many redirects");
    auto next = url.resolve(response->header("location"));
    if (!next || response->header("location").empty())
      co_return fault("http.redirect", "a redirect to nowhere from " + url.host);
    if ((url.tls && !next->tls) || (next->tls && !tls_) || (!next->tls && !settings_.allow_plain))
      co_return fault("http.redirect", "a redirect to " + next->host + " that is not followed");
    turn(request, response->status, url.same_origin(*next));
    url = std::move(*next);
  }
}

bool Client::may_reach(const Url& url, const IpAddress& address) const {
  return settings_.allow_private || address.is_public() ||
         std::ranges::any_of(settings_.private_places,
                             [&](const HttpPrivatePlace& place) { return place.covers(url.host, address, url.port); });
}

Task<Result<std::vector<IpAddress>>> Client::addresses_of(Url url, Deadline deadline) {
  std::vector<IpAddress> found;
  if (url.address) {
    found.push_back(*url.address);
  } else {
    HostAddresses answer = co_await resolver_.host_addresses(url.host, deadline);
    if (!answer.ok())
      co_return fault("http.dns", url.host + ": " + std::string(to_string(answer.status)) + " " + answer.detail);
    found = std::move(answer.addresses);
  }
  std::erase_if(found, [&](const IpAddress& address) { return !may_reach(url, address); });
  if (found.empty()) co_return fault("http.private", url.host + " has no public address");
  if (found.size() > kMaxAddresses) {
    // Both families get their turns: a host with many IPv6 addresses and a broken route to them is not rare.
    const auto v4 = std::ranges::find_if(found, [](const IpAddress& a) { return !a.is_v6(); });
    if (v4 != found.end() && v4 - found.begin() >= kMaxAddresses) found[kMaxAddresses - 1] = *v4;
    found.resize(kMaxAddresses);
  }
  co_return found;
}

Task<Result<std::unique_ptr<Stream>>> Client::reach_one(Endpoint to, Deadline deadline) {
  std::string why;
  try {
    co_return co_await connect(executor_, Executor::ConnectOptions{.to = to, .from = {}}, deadline);
  } catch (const Closed& closed) {
    why = closed.what();
  } catch (const TimedOut&) {
    why = to.to_string() + ": timed out";
  }
  co_return fault("http.connect", why);
}

Task<Result<std::unique_ptr<Stream>>> Client::reach(std::vector<IpAddress> addresses, std::uint16_t port,
                                                    Deadline deadline) {
  const Instant end = deadline.resolve(executor_.now());
  Result<std::unique_ptr<Stream>> reached = fault("http.connect", "no address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // What is left is shared by the addresses that are left, so that a dead one does not use it all up.
    const Duration share = (end - executor_.now()) / static_cast<int>(addresses.size() - i + 1);
    Endpoint to;
    to.ip = addresses[i];
    to.port = port;
    reached = co_await reach_one(to, Deadline::after(share));
    if (reached || executor_.now() >= end) break;
  }
  co_return reached;
}

Task<Result<HttpResponse>> Client::talk(Stream& stream, const HttpRequest& request, const Url& url, Deadline deadline) {
  std::string code, why;
  try {
    if (url.tls) {
      TlsPeer peer{.check = TlsPeer::Check::kNames, .sni = url.host, .names = {url.host}};
      co_await stream.connect_tls(*tls_, std::move(peer), deadline);
    }
    stream.put(head_of(request, url, settings_.user_agent));
    // Unless the peer reads while we write, a long body meets an early answer: it is read all the same.
    co_await stream.write(request.body, deadline);
    ResponseReader reader(stream, request.method == "HEAD", request.max_body_octets, deadline);
    co_return co_await reader.read();
  } catch (const TlsFailed& failed) {
    code = "http.tls";
    why = failed.what();
  } catch (const TimedOut& late) {
    code = "http.timeout";
    why = late.what();
  } catch (const Closed& closed) {
    code = "http.protocol";
    why = closed.what();
  } catch (const LineTooLong& line) {
    code = "http.protocol";
    why = line.what();
  } catch (const ProtocolError& error) {
    code = "http.protocol";
    why = error.what();
  }
  co_return fault(code, url.host + ": " + why);
}

Task<Result<HttpResponse>> Client::once(const HttpRequest& request, const Url& url, Deadline deadline) {
  auto addresses = co_await addresses_of(url, deadline);
  if (!addresses) co_return std::unexpected(addresses.error());
  auto stream = co_await reach(std::move(*addresses), url.port, deadline);
  if (!stream) co_return std::unexpected(stream.error());
  auto response = co_await talk(**stream, request, url, deadline);
  (*stream)->close();
  co_return response;
}

}  // namespace
}  // namespace http

std::unique_ptr<HttpClient> make_http_client(Executor& executor, Resolver& resolver, std::shared_ptr<TlsContext> tls,
                                             HttpClientSettings settings) {
  return std::make_unique<http::Client>(executor, resolver, std::move(tls), std::move(settings));
}

}  // namespace postern
