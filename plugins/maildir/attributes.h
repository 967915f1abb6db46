// Small named values of a folder: file "postern-attributes", a line "name=value" each, odd octets as %XX.
//
// Replaced as a whole and not synced: these are helps (POP3's LAST and LOGIN-DELAY), and a power cut may take the last
// changes back. Blocks: pool threads only.
#pragma once

#include <map>
#include <string>

namespace postern::maildir {

using Attributes = std::map<std::string, std::string, std::less<>>;

Attributes load_attributes(const std::string& dir);
int save_attributes(const std::string& dir, const Attributes& attributes);

}  // namespace postern::maildir
