// Taking a person out of trails: what `postern trail erase ADDRESS` does to the records of one file.
//
// A record in which nobody else has a part goes as a whole. In all others the address becomes a placeholder, wherever
// it stands: envelope, outcome, and every text of the trail. The placeholder is the same for everybody, so that what is
// left is still the story of the others, and cannot be led back to the person.
//
// What names the person and cannot be read is removed: entries of a newer server, the damaged end of a file. Octets of
// the old file stay on the disk until the file system uses their blocks again.
//
// Thread: any; nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/pipeline/trail_person.h"

namespace postern {

struct TrailErased {
  std::uint64_t removed = 0;   ///< records that are gone
  std::uint64_t redacted = 0;  ///< records that are now about the others only
  std::uint64_t lost = 0;      ///< octets behind a damage, removed unread
  std::uint64_t files = 0;     ///< that were written anew or removed
  std::uint64_t failed = 0;    ///< files that could not be: the person is still in them
  std::uint64_t records() const { return removed + redacted; }
};

/// The records of a file without the person, appended to `out`; counts go to `total`. True when anything is different.
bool erase_person(std::string_view file, const Person& person, std::string& out, TrailErased& total);

}  // namespace postern
