// Fuzzes the MIME reader and the decoders of transfer encodings: the cut into chunks must not matter, ranges must nest.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "postern/mime.h"

using namespace postern;

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

struct Collector final : MimeSink {
  std::vector<std::string> bodies;
  void on_part(const MimePart& part) override { bodies.resize(part.index + 1); }
  void on_body(const MimePart& part, std::string_view piece) override { bodies[part.index] += piece; }
  void on_part_end(const MimePart&) override {}
};

MimeStructure read(std::string_view text, std::size_t step, MimeSink* sink) {
  // Small limits, so that they are met.
  MimeReader reader(
      {.max_depth = 6, .max_parts = 20, .max_boundary = 20, .max_header_bytes = 400, .max_all_headers = 2000}, sink);
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) reader.feed(text.substr(0, step));
  return reader.finish();
}

void decode(TransferEncoding encoding, std::string_view text) {
  BodyDecoder whole(encoding);
  BodyDecoder pieces(encoding);
  std::string a;
  std::string b;
  whole.feed(text, a);
  whole.finish(a);
  for (std::size_t i = 0; i < text.size(); ++i) pieces.feed(text.substr(i, 1), b);
  pieces.finish(b);
  require(a == b && whole.damaged() == pieces.damaged() && a.size() <= text.size() + 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Collector one;
  Collector many;
  const MimeStructure a = read(text, text.size() + 1, &one);
  const MimeStructure b = read(text, 3, &many);
  require(a.parts.size() == b.parts.size() && one.bodies == many.bodies && a.parts.size() <= 20);
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    const MimePart& part = a.parts[i];
    require(part.header_start <= part.body_start && part.body_start <= part.end && part.end <= size);
    require(part.end == b.parts[i].end && part.body_start == b.parts[i].body_start &&
            part.body_lines == b.parts[i].body_lines);
    require(part.type == b.parts[i].type && part.header == b.parts[i].header);
    if (part.is_leaf() && !one.bodies[i].empty()) require(one.bodies[i] == text.substr(part.body_start, part.size()));
    if (part.parent != MimePart::kNone) require(a.parts[part.parent].header_start <= part.header_start);
    (void)part.file_name();
    (void)part.charset();
    (void)a.children(part.index);
  }
  (void)a.find("1.2.1");
  decode(TransferEncoding::kBase64, text);
  decode(TransferEncoding::kQuotedPrintable, text);
  return 0;
}
