// JSON as one line of text, whatever octets are in it.
//
// Names of users and files, addresses of peers and replies of other servers need not be UTF-8. The library throws at
// such an octet unless told otherwise; here it becomes U+FFFD, so that an answer is never lost over one character.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace postern {

/// `value` on one line, without spaces.
template <class Json>
std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace postern
