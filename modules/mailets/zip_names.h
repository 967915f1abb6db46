// The names of the files in a zip archive, found while it streams by and without unpacking anything.
//
// Both places where an archive names an entry are read, the header before its data and the directory at the archive's
// end, so that one that lies in either is found out. Neither is believed for lengths: every signature in the octets is
// looked at, and so are those of an archive that is stored, not packed, in another. Names of encrypted entries are
// plain; those of an archive that is packed inside another one are not seen.
//
// Values; any thread. Bounded: kMaxName octets and a header are kept.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace postern::mailets {

class ZipNames {
 public:
  static constexpr std::size_t kMaxName = 1024;      ///< octets; no system opens longer ones
  static constexpr std::size_t kMaxNames = 200'000;  ///< told of one archive: 65,535 entries, named twice, and some

  /// Calls `each` with every name that is complete; octets as they stand in the archive, folders included.
  void feed(std::string_view octets, const std::function<void(std::string_view)>& each);
  /// There were more than kMaxNames: no archive that a person made.
  bool too_many() const { return names_ > kMaxNames; }

 private:
  std::string kept_;  ///< from the last place where a header may begin
  std::size_t names_ = 0;
};

}  // namespace postern::mailets
