#include "file_masks.h"

#include "postern/text.h"

namespace postern::mailets {
namespace {

/// Octets of the character that `text` begins with; text that is no UTF-8 goes octet by octet.
std::size_t character(std::string_view text) {
  std::size_t size = 1;
  if (static_cast<unsigned char>(text.front()) < 0xc0) return size;
  while (size < text.size() && size < 4 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) ++size;
  return size;
}

/// Only the last `*` is ever taken back, so that the cost is the product of both lengths at most.
bool fits(std::string_view mask, std::string_view name) {
  std::size_t m = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (m < mask.size() && mask[m] == '*') {
      star = m++;
      resume = n;
    } else if (m < mask.size() && mask[m] == '?') {
      ++m;
      n += character(name.substr(n));
    } else if (m < mask.size() && mask[m] == name[n]) {
      ++m, ++n;
    } else if (star != std::string_view::npos) {
      m = star + 1;
      resume += character(name.substr(resume));
      n = resume;
    } else {
      return false;
    }
  }
  while (m < mask.size() && mask[m] == '*') ++m;
  return m == mask.size();
}

}  // namespace

FileMasks::FileMasks(std::vector<std::string> masks) : masks_(std::move(masks)) {
  for (std::string& mask : masks_) lower_in_place(mask);
}

bool FileMasks::fit(std::string_view name) const {
  if (fit_whole(name)) return true;
  // Some unpackers end a name at NUL, and Windows takes what follows a colon for a stream of that file.
  const std::size_t end = name.find_first_of(std::string_view("\0:", 2));
  return end != std::string_view::npos && fit_whole(name.substr(0, end));
}

bool FileMasks::fit_whole(std::string_view name) const {
  if (const std::size_t slash = name.find_last_of("/\\"); slash != std::string_view::npos)
    name.remove_prefix(slash + 1);
  while (!name.empty() && (name.back() == '.' || name.back() == ' ')) name.remove_suffix(1);
  if (name.empty()) return false;
  if (name.size() > kMaxName) name.remove_prefix(name.size() - kMaxName);
  const std::string folded = to_lower(name);
  for (const std::string& mask : masks_)
    if (fits(mask, folded)) return true;
  return false;
}

}  // namespace postern::mailets
