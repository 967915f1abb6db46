#include "zip_names.h"

namespace postern::mailets {
namespace {

constexpr std::string_view kLocal("PK\x03\x04", 4), kDirectory("PK\x01\x02", 4);

struct Shape {
  std::size_t header;  // octets before the name
  std::size_t length;  // where the name's length stands, two octets, the lower one first
};

std::size_t number_at(std::string_view octets, std::size_t at) {
  return static_cast<unsigned char>(octets[at]) | static_cast<std::size_t>(static_cast<unsigned char>(octets[at + 1]))
                                                      << 8;
}

}  // namespace

void ZipNames::feed(std::string_view octets, const std::function<void(std::string_view)>& each) {
  kept_ += octets;
  const std::string_view all = kept_;
  std::size_t at = 0;
  while (!too_many()) {
    at = all.find('P', at);
    if (at == std::string_view::npos || all.size() - at < kLocal.size()) break;
    const std::string_view here = all.substr(at);
    const bool local = here.starts_with(kLocal);
    if (!local && !here.starts_with(kDirectory)) {
      ++at;
      continue;
    }
    const Shape shape = local ? Shape{30, 26} : Shape{46, 28};
    if (here.size() < shape.header) break;
    const std::size_t length = number_at(here, shape.length);
    if (length != 0 && length <= kMaxName) {
      if (here.size() < shape.header + length) break;
      ++names_;
      each(here.substr(shape.header, length));
    }
    at += kLocal.size();
  }
  kept_.erase(0, too_many() ? kept_.size() : at);
}

}  // namespace postern::mailets
