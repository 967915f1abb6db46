// Temporary files that nobody will ever publish: what a crash before `placed`, or another program, left in tmp.
//
// Blocks: pool threads only. Nothing here is durable, nor need it be: a file that comes back is swept again.
#pragma once

#include <string>
#include <vector>

#include "postern/time.h"

namespace postern::maildir {

/// Long tokens are kept that much longer than the files that they name, since a held message may wait for weeks.
inline constexpr Duration kTokenGrace = 24h * 30;

std::vector<std::string> sub_folders(const std::string& path);
/// Removes the files of one folder that were last changed before `before`; returns how many.
std::size_t sweep_folder(const std::string& path, WallTime before);
/// The same for every tmp of every account and folder below root/domain.
std::size_t sweep_domain(const std::string& path, WallTime before);

}  // namespace postern::maildir
