#include "core/sendmail/settings.h"

#include <fmt/format.h>
#include <netdb.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "postern/address.h"
#include "postern/file.h"
#include "postern/text.h"

namespace postern::sendmail {

namespace {

constexpr const char* kFile = "/etc/postern/sendmail.conf";
constexpr std::size_t kMaxFile = 64 * 1024;

/// Empty when it cannot be opened, as by a caller who may not; what is there but cannot be taken whole is a fault.
Result<std::string> read_some(const std::string& file) {
  auto text = read_regular_file(file, kMaxFile);
  if (text || text.error().code == "file.open") return text.value_or(std::string());
  return fault("sendmail.config", fmt::format("{}: {}", file, text.error().detail));
}

std::string host_domain() {
  const std::string mailname(trim(read_some("/etc/mailname").value_or(std::string())));
  if (Domain::parse(mailname)) return mailname;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  std::string out = name.data();
  if (out.find('.') == out.npos && ::getaddrinfo(name.data(), nullptr, &hints, &found) == 0) {
    if (found->ai_canonname != nullptr) out = found->ai_canonname;
    ::freeaddrinfo(found);
  }
  return Domain::parse(out) ? out : "localhost";
}

}  // namespace

Result<Settings> parse_settings(std::string_view text, std::string_view file) {
  Settings out;
  int number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    const auto wrong = [&](std::string_view why) {
      return fault("sendmail.config", fmt::format("{}:{}: {}", file, number, why));
    };
    const std::size_t equals = line.find('=');
    if (equals == line.npos) return wrong("expected \"key = value\"");
    const std::string_view key = trim(line.substr(0, equals));
    std::string_view value = trim(line.substr(equals + 1));
    if (value.size() > 1 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (key == "socket") {
      out.socket = value;
    } else if (key == "drop") {
      out.drop = value;
    } else if (key == "control") {
      out.control = value;
    } else if (key == "domain") {
      if (!Domain::parse(value)) return wrong("domain is no domain");
      out.domain = value;
    } else if (key == "max_message_size") {
      const auto size = to_number<std::uint64_t>(value, 1024, 10ULL << 30);
      if (!size) return wrong("max_message_size is a number of octets");
      out.max_message_size = *size;
    } else {
      return wrong(fmt::format("unknown key \"{}\": socket, drop, control, domain, max_message_size", key));
    }
  }
  return out;
}

Result<Settings> read_settings() {
  const char* other = std::getenv("POSTERN_SENDMAIL_CONF");
  const std::string file = other != nullptr ? other : kFile;
  const auto text = read_some(file);
  if (!text) return std::unexpected(text.error());
  auto out = parse_settings(*text, file);
  if (out && out->domain.empty()) out->domain = host_domain();
  return out;
}

Caller this_caller() {
  Caller out;
  const passwd* entry = ::getpwuid(::getuid());
  if (entry == nullptr) {
    out.login = std::to_string(::getuid());
    return out;
  }
  out.login = entry->pw_name;
  std::string_view gecos = entry->pw_gecos != nullptr ? entry->pw_gecos : "";
  for (const char c : take_until(gecos, ',')) {
    if (c != '&') {
      out.full_name += c;
      continue;
    }
    std::string login = out.login;  // "&" stands for the login name (passwd(5))
    if (!login.empty()) login.front() = ascii_upper(login.front());
    out.full_name += login;
  }
  return out;
}

}  // namespace postern::sendmail
