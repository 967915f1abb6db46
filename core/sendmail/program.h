// postern-sendmail as a whole, with its streams handed in.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace postern::sendmail {

/// Returns the exit code, one of sysexits.h.
int run(const std::string& program, const std::vector<std::string>& arguments, std::istream& in, std::ostream& out,
        std::ostream& err);

}  // namespace postern::sendmail
