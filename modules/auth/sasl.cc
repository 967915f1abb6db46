#include "sasl.h"

#include "authenticator.h"

namespace postern::auth {

namespace {

constexpr std::size_t kMaxPlainBytes = 255 + 1 + 255 + 1 + kMaxPasswordBytes;  // RFC 4616 §2, with longer passwords

using Step = SaslExchange::Step;

Step ended(AuthOutcome::Kind kind, std::string reason) {
  AuthOutcome outcome;
  outcome.kind = kind;
  outcome.reason = std::move(reason);
  return {std::move(outcome), {}};
}
Step malformed(std::string reason) {
  return ended(AuthOutcome::Kind::kMalformed, std::move(reason));
}

bool is_insecure(const AuthFacts& facts) {
  return !facts.secure && !facts.allow_plaintext;
}

Task<Step> check(PasswordAuthenticator& auth, std::string name, std::string password, AuthFacts facts) {
  AuthOutcome outcome = co_await auth.check_password(std::move(name), std::move(password), std::move(facts));
  co_return Step{std::move(outcome), {}};
}

}  // namespace

// message = [authzid] NUL authcid NUL passwd
Task<Step> PlainExchange::step(std::optional<std::string> response) {
  if (is_insecure(facts_)) return Task<Step>::ready(ended(AuthOutcome::Kind::kInsecure, "PLAIN without TLS"));
  if (!response) {
    if (asked_) return Task<Step>::ready(malformed("PLAIN: no response"));
    asked_ = true;
    return Task<Step>::ready({std::nullopt, {}});
  }
  if (response->size() > kMaxPlainBytes) return Task<Step>::ready(malformed("PLAIN: too long"));
  std::size_t first = response->find('\0');
  std::size_t second = first == std::string::npos ? first : response->find('\0', first + 1);
  if (second == std::string::npos || response->find('\0', second + 1) != std::string::npos)
    return Task<Step>::ready(malformed("PLAIN: not three parts"));
  std::string authzid = response->substr(0, first);
  std::string authcid = response->substr(first + 1, second - first - 1);
  std::string password = response->substr(second + 1);
  if (authcid.empty() || password.empty()) return Task<Step>::ready(malformed("PLAIN: no name or no password"));
  if (!is_valid_utf8(*response)) return Task<Step>::ready(malformed("PLAIN: not UTF-8"));
  // Nobody may act for somebody else; said before the password is looked at, so it tells nothing about that.
  if (!authzid.empty() && !auth_.same_account(authzid, authcid))
    return Task<Step>::ready(ended(AuthOutcome::Kind::kRefused, "PLAIN: authzid differs from authcid"));
  return check(auth_, std::move(authcid), std::move(password), facts_);
}

Task<Step> LoginExchange::step(std::optional<std::string> response) {
  if (is_insecure(facts_)) return Task<Step>::ready(ended(AuthOutcome::Kind::kInsecure, "LOGIN without TLS"));
  if (!response) {
    if (asked_) return Task<Step>::ready(malformed("LOGIN: no response"));
    asked_ = true;
    return Task<Step>::ready({std::nullopt, "Username:"});
  }
  if (response->empty() || response->size() > kMaxPasswordBytes || response->find('\0') != std::string::npos)
    return Task<Step>::ready(malformed("LOGIN: empty, too long or with a NUL"));
  if (!name_) {
    name_ = std::move(*response);
    asked_ = true;
    return Task<Step>::ready({std::nullopt, "Password:"});
  }
  return check(auth_, std::move(*name_), std::move(*response), facts_);
}

}  // namespace postern::auth
