// Plain text with lines that readers may join (format=flowed, RFC 3676): made, and undone.
//
// A line that ends in a blank goes on in the next one of the same quote depth; "-- " is a signature's line and stands
// alone. Lines that begin with a blank, ">" or "From " are stuffed with a blank. Pure; any thread; linear.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::mailets {

/// Whether a line has more characters than that.
bool has_wide_line(std::string_view text, std::size_t columns);
/// Line ends stay what they are (CRLF or LF). Words longer than a line stay whole.
std::string to_flowed(std::string_view text, std::size_t columns);
std::string from_flowed(std::string_view text, bool delsp);

}  // namespace postern::mailets
