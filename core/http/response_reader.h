// Reads one response from a Stream (RFC 9112 §4-§7): status line, fields, and a body by length, by chunks or to the
// end.
//
// What could be read in two ways is refused: both Content-Length and Transfer-Encoding, several lengths that differ,
// folded field lines, a space before a colon, bare LF.
//
// Errors: values ("http.protocol", "http.too_large"); a lost peer and passed deadlines are thrown by the Stream.
// Owner:  the fetch; stream and request outlive it. Thread: the stream's worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "postern/http.h"
#include "postern/stream.h"

namespace postern::http {

class ResponseReader {
 public:
  ResponseReader(Stream& stream, bool head, std::size_t max_body, Deadline deadline)
      : stream_(stream), deadline_(deadline), max_body_(max_body), head_(head) {}
  Task<Result<HttpResponse>> read();

 private:
  Task<Result<void>> read_head();
  Task<Result<void>> read_fields(bool keep);
  Result<void> add_field(std::string_view line, bool keep);
  Result<void> find_length();
  Task<Result<void>> read_body();
  Task<Result<void>> read_chunks();
  Task<Result<void>> read_octets(std::uint64_t count);
  Task<Result<void>> read_to_end();

  Stream& stream_;
  Deadline deadline_;
  std::size_t max_body_;
  bool head_;
  HttpResponse response_;
  std::size_t field_octets_ = 0;
  std::optional<std::uint64_t> length_;
  bool chunked_ = false;
};

}  // namespace postern::http
