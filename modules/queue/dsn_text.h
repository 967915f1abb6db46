// The part of a report that is for people: plain words first, technical detail behind them.
//
// Pure; any thread. Output has CR LF line ends and lines of at most 76 columns, but for addresses and words that are
// longer.
#pragma once

#include <string>
#include <string_view>

#include "dsn.h"

namespace postern::queue {

std::string people_part(const DsnFacts& facts);

/// Text from outside, for one line: control characters become blanks, runs of blanks one; cut at `limit` octets (not
/// inside a character). Without `utf8`, what is not ASCII becomes '?'; with it, what is ill-formed does.
std::string clean_text(std::string_view text, std::size_t limit, bool utf8);

/// "550 5.1.1 No such user", all its lines as one.
std::string reply_text(const Reply& reply, bool utf8);

}  // namespace postern::queue
