// Secrets in a file, one a line: the first one signs, all are believed.
//
// Blocks: for prepare and its like. Errors: "secrets.file", with the file and what is wrong in the detail.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"

namespace postern::queue {

inline constexpr std::size_t kMinSecret = 16;  ///< octets
inline constexpr std::size_t kMaxSecrets = 16;

struct Secrets {
  std::vector<std::string> all;
  bool fresh = false;  ///< the file was not there, and was made
};

/// Empty lines and those with '#' are skipped. With `make`, a file that is not there is made with a new secret,
/// readable by its owner only.
Result<Secrets> load_secrets(const std::string& file, bool make);

}  // namespace postern::queue
