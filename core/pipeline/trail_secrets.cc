#include "core/pipeline/trail_secrets.h"

#include <algorithm>

#include "postern/text.h"

namespace postern {
namespace {

/// Parts of names. A word that is too common ("key" in "keyword") stands for itself only.
constexpr std::string_view kParts[] = {"token",  "secret", "passw",     "credential", "authorization",
                                       "cookie", "apikey", "signature", "bearer",     "authenticate"};
constexpr std::string_view kWhole[] = {"key", "sig", "auth", "pwd", "pass", "code", "hmac", "session"};

}  // namespace

bool names_secret(std::string_view name) {
  std::string plain;
  for (const char c : name)
    if (is_ascii_alnum(c)) plain += ascii_lower(c);
  return std::ranges::any_of(kParts, [&](std::string_view one) { return plain.find(one) != std::string::npos; }) ||
         std::ranges::find(kWhole, plain) != std::end(kWhole);
}

std::string url_without_secrets(std::string_view url) {
  std::string out;
  if (const std::size_t scheme = url.find("://"); scheme != std::string_view::npos) {
    const std::size_t host = scheme + 3;
    const std::string_view authority = url.substr(host, url.find_first_of("/?#", host) - host);
    const std::size_t at = authority.rfind('@');
    const std::size_t colon = authority.find(':');
    if (at != std::string_view::npos) {  // a name alone is mostly a key
      out.append(url.substr(0, colon < at ? host + colon + 1 : host)).append(kSecretText);
      url.remove_prefix(host + at);
    }
  }
  const std::size_t query = url.find('?');
  if (query == std::string_view::npos) return out.append(url);
  out.append(url.substr(0, query + 1));
  std::string_view rest = url.substr(query + 1);
  while (true) {
    const std::size_t end = rest.find_first_of("&;#");
    const std::string_view parameter = rest.substr(0, end);
    const std::size_t equals = parameter.find('=');
    if (equals != std::string_view::npos && names_secret(parameter.substr(0, equals)))
      out.append(parameter.substr(0, equals + 1)).append(kSecretText);
    else
      out.append(parameter);
    if (end == std::string_view::npos) return out;
    out += rest[end];
    rest.remove_prefix(end + 1);
  }
}

}  // namespace postern
