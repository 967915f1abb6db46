// What must not get into a trail from where nobody marked it as secret: the addresses of services and what they answer.
//
// Passwords, SASL data, values and arguments that are marked secret never reach a trail (TRAIL.md). What is left are
// keys in the query of a URL and fields of an answer whose names tell that they open something. The rule is the same
// when a trail is written and when a replay looks for the answer, so that both say the same.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace postern {

inline constexpr std::string_view kSecretText = "<secret>";

/// Whether a name is one of those that open something: token, api_key, signature, password, Set-Cookie ...
bool names_secret(std::string_view name);
/// The URL with "<secret>" for the values of such parameters, and for a password, or a name
/// without one, before the host.
std::string url_without_secrets(std::string_view url);

}  // namespace postern
