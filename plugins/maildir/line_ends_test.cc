#include "line_ends.h"

#include <doctest/doctest.h>

namespace postern::maildir {

namespace {

std::string to_file(std::string_view text, std::size_t piece, std::uint64_t& wire) {
  ToFile ends;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) ends.feed(text.substr(at, piece), out);
  ends.finish(out);
  CHECK(ends.size() == out.size());
  wire = ends.wire_size();
  return out;
}

std::string to_wire(std::string_view text, std::size_t piece) {
  ToWire ends;
  WireCounter counter;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    ends.feed(text.substr(at, piece), out);
    counter.feed(text.substr(at, piece));
  }
  CHECK(counter.octets() == out.size());
  return out;
}

}  // namespace

TEST_CASE("wire and file lines turn into each other, however they are cut") {
  const std::string wire = "a: b\r\n\r\nline\r\n\r\n\r\nlast";
  for (std::size_t piece = 1; piece <= wire.size(); ++piece) {
    std::uint64_t counted = 0;
    const std::string file = to_file(wire, piece, counted);
    CHECK(file == "a: b\n\nline\n\n\nlast");
    CHECK(counted == wire.size());
    CHECK(to_wire(file, piece) == wire);
  }
}

TEST_CASE("lone carriage returns stay, and the size told is the size read") {
  for (const std::string_view odd : {"\r", "a\rb\r\n", "\r\r\n", "\n", "a\nb", "x\r", "\r\r\r", "\n\r", ""}) {
    for (std::size_t piece = 1; piece <= 3; ++piece) {
      std::uint64_t counted = 0;
      const std::string file = to_file(odd, piece, counted);
      CHECK(to_wire(file, piece).size() == counted);
    }
  }
}

TEST_CASE("a file that has CRLF already is read as it is") {
  for (std::size_t piece = 1; piece < 6; ++piece) CHECK(to_wire("a\r\nb\nc\r\n", piece) == "a\r\nb\r\nc\r\n");
}

}  // namespace postern::maildir
