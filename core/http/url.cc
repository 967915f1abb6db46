#include "core/http/url.h"

#include <algorithm>

#include "postern/http.h"
#include "postern/text.h"

namespace postern::http {

namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;
constexpr std::size_t kMaxHost = 253;  // RFC 1035 §2.3.4

bool host_character(char c) {
  return is_ascii_alnum(c) || c == '-' || c == '.' || c == '_';
}

bool target_character(char c) {
  return c > ' ' && c < 127 && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' && c != '`' && c != '{' &&
         c != '|' && c != '}';
}

bool set_authority(Url& url, std::string_view text) {
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return false;
    url.address = IpAddress::parse(text.substr(1, end - 1));
    if (!url.address) return false;
    url.host = to_lower(text.substr(1, end - 1));
    port = text.substr(end + 1);
  } else {
    const auto colon = text.find(':');
    const std::string_view host = text.substr(0, colon);
    if (host.empty() || host.size() > kMaxHost || !std::ranges::all_of(host, host_character)) return false;
    if (host.starts_with('.') || host.find("..") != std::string_view::npos) return false;
    url.host = to_lower(host);
    url.address = IpAddress::parse(host);
    // "0x7f.1" and "2130706433" are addresses to some resolvers; a name's last label is never a number (RFC 3696 §2).
    const auto last = url.host.substr(url.host.find_last_of('.') + 1);
    if (!url.address && (last.empty() ? false : is_ascii_digit(last.front()))) return false;
    port = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  url.port = url.tls ? kHttpsPort : kHttpPort;
  if (port.empty()) return true;
  const auto number = to_number<std::uint16_t>(port.substr(1), 1);
  if (port.front() != ':' || !number) return false;
  url.port = *number;
  return true;
}

}  // namespace

}  // namespace postern::http

namespace postern {

std::optional<HttpPrivatePlace> HttpPrivatePlace::parse(std::string_view text) {
  HttpPrivatePlace place;
  if (text.find('/') != std::string_view::npos || IpAddress::parse(text)) {
    place.network = IpNetwork::parse(text);
    return place.network ? std::optional(std::move(place)) : std::nullopt;
  }
  http::Url url;
  const bool bare = text.starts_with('[') ? text.ends_with(']') : text.find(':') == std::string_view::npos;
  if (!http::set_authority(url, text)) return std::nullopt;
  if (!bare) place.port = url.port;
  if (url.address)
    place.network = IpNetwork::parse(url.host);
  else
    place.host = std::move(url.host);
  return place;
}

bool HttpPrivatePlace::covers(std::string_view asked, const IpAddress& address, std::uint16_t asked_port) const {
  if (port && port != asked_port) return false;
  return network ? network->contains(address) : host == asked;
}

}  // namespace postern

namespace postern::http {

std::optional<Url> Url::parse(std::string_view text) {
  if (text.size() > HttpClient::kMaxUrlOctets) return std::nullopt;
  Url url;
  if (starts_with_folded(text, "https://")) {
    url.tls = true;
  } else if (!starts_with_folded(text, "http://")) {
    return std::nullopt;
  }
  text.remove_prefix(url.tls ? 8 : 7);
  text = text.substr(0, text.find('#'));
  const auto end = text.find_first_of("/?");
  if (!set_authority(url, text.substr(0, end))) return std::nullopt;
  if (end == std::string_view::npos) return url;
  const std::string_view target = text.substr(end);
  if (!std::ranges::all_of(target, target_character)) return std::nullopt;
  url.target = target.front() == '/' ? std::string(target) : "/" + std::string(target);
  return url;
}

std::optional<Url> Url::resolve(std::string_view location) const {
  if (location.find("://") != std::string_view::npos && location.find("://") < location.find_first_of("/?#"))
    return parse(location);
  const std::string scheme = tls ? "https:" : "http:";
  if (location.starts_with("//")) return parse(scheme + std::string(location));
  const std::string origin = scheme + "//" + authority();
  if (location.starts_with('/')) return parse(origin + std::string(location));
  const std::string path = target.substr(0, target.find('?'));
  if (location.empty() || location.starts_with('#')) return parse(origin + target);
  if (location.starts_with('?')) return parse(origin + path + std::string(location));
  return parse(origin + path.substr(0, path.find_last_of('/') + 1) + std::string(location));
}

std::string Url::authority() const {
  std::string text = address && address->is_v6() ? "[" + host + "]" : host;
  if (port != (tls ? kHttpsPort : kHttpPort)) text += ":" + std::to_string(port);
  return text;
}

std::string Url::to_string() const {
  return (tls ? "https://" : "http://") + authority() + target;
}

}  // namespace postern::http
