// SASL exchanges with a password in the clear: PLAIN (RFC 4616) and LOGIN. Both want TLS, unless the listener's lesson
// setting lets passwords go without.
//
// Owner:  the protocol's session, for one exchange. Thread: its worker. The authenticator outlives it.
#pragma once

#include <optional>
#include <string>

#include "postern/auth.h"

namespace postern::auth {

class PasswordAuthenticator;

class PlainExchange final : public SaslExchange {
 public:
  PlainExchange(PasswordAuthenticator& auth, AuthFacts facts) : auth_(auth), facts_(std::move(facts)) {}
  Task<Step> step(std::optional<std::string> response) override;

 private:
  PasswordAuthenticator& auth_;
  AuthFacts facts_;
  bool asked_ = false;
};

class LoginExchange final : public SaslExchange {
 public:
  LoginExchange(PasswordAuthenticator& auth, AuthFacts facts) : auth_(auth), facts_(std::move(facts)) {}
  Task<Step> step(std::optional<std::string> response) override;

 private:
  PasswordAuthenticator& auth_;
  AuthFacts facts_;
  std::optional<std::string> name_;
  bool asked_ = false;
};

}  // namespace postern::auth
