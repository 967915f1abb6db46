// Masks for the names of files, as administrators write them: "*.exe", "invoice-????.pdf".
//
// `*` stands for any run of characters, `?` for one. Case does not count, among ASCII letters. A name is compared as a
// mail program would save it: without folders, and without the dots and blanks at its end that some systems drop.
// Values; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mailets {

class FileMasks {
 public:
  static constexpr std::size_t kMaxMask = 255;  ///< octets
  static constexpr std::size_t kMaxName = 255;  ///< octets of a name that are compared: its last ones

  explicit FileMasks(std::vector<std::string> masks);
  /// Whether a file's name fits one of them; a name without anything in it fits none.
  bool fit(std::string_view name) const;

  bool empty() const { return masks_.empty(); }

 private:
  bool fit_whole(std::string_view name) const;

  std::vector<std::string> masks_;  ///< in lower case
};

}  // namespace postern::mailets
