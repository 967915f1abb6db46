#include "core/http/response_reader.h"

#include <algorithm>
#include <charconv>

#include "postern/text.h"

namespace postern::http {

namespace {

constexpr std::uint64_t kMaxLength = 1ULL << 62;

std::unexpected<Fault> broken(std::string what) {
  return fault("http.protocol", std::move(what));
}

bool token_character(char c) {
  return is_ascii_alnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::optional<int> status_of(std::string_view line) {
  const bool version = line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
  if (!version || line.size() < 12 || (line.size() > 12 && line[12] != ' ')) return std::nullopt;
  return to_number<int>(line.substr(9, 3), 100, 599);
}

std::optional<std::uint64_t> chunk_size(std::string_view line) {
  const std::string_view digits = trim_right(line.substr(0, line.find(';')));
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || size > kMaxLength)
    return std::nullopt;
  return size;
}

}  // namespace

Task<Result<HttpResponse>> ResponseReader::read() {
  for (unsigned interim = 0;; ++interim) {
    if (auto done = co_await read_head(); !done) co_return std::unexpected(done.error());
    if (response_.status >= 200) break;
    if (response_.status == 101 || interim == HttpClient::kMaxInterim) co_return broken("unasked interim responses");
  }
  if (auto found = find_length(); !found) co_return std::unexpected(found.error());
  const std::string_view type = response_.header("content-type");
  response_.content_type = to_lower(trim(type.substr(0, type.find(';'))));
  const bool bodiless = head_ || response_.status == 204 || response_.status == 304;
  if (!bodiless)
    if (auto done = co_await read_body(); !done) co_return std::unexpected(done.error());
  co_return std::move(response_);
}

Task<Result<void>> ResponseReader::read_head() {
  response_ = {};
  field_octets_ = 0;
  const Stream::Line line = co_await stream_.read_line(HttpClient::kMaxHeaderLine, deadline_);
  const auto status = line.bare_lf ? std::nullopt : status_of(line.text);
  if (!status) co_return broken("no status line of HTTP/1");
  response_.status = *status;
  co_return co_await read_fields(true);
}

Task<Result<void>> ResponseReader::read_fields(bool keep) {
  for (std::size_t count = 0;; ++count) {
    const Stream::Line line = co_await stream_.read_line(HttpClient::kMaxHeaderLine, deadline_);
    if (line.bare_lf) co_return broken("a field line that does not end in CRLF");
    if (line.text.empty()) co_return Result<void>();
    field_octets_ += line.text.size();
    if (count == HttpClient::kMaxHeaders || field_octets_ > HttpClient::kMaxHeaderOctets)
      co_return broken("more header fields than we take");
    if (auto added = add_field(line.text, keep); !added) co_return added;
  }
}

Result<void> ResponseReader::add_field(std::string_view line, bool keep) {
  const auto colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (colon == std::string_view::npos || name.empty() || !std::ranges::all_of(name, token_character))
    return broken("a header line that is no field");
  const std::string_view value = trim(line.substr(colon + 1));
  if (value.find('\0') != std::string_view::npos || value.find('\r') != std::string_view::npos)
    return broken("a control character in a field");
  if (keep) response_.headers.push_back({std::string(name), std::string(value)});
  return {};
}

Result<void> ResponseReader::find_length() {
  bool encoded = false;
  for (const HttpHeader& field : response_.headers) {
    if (equal_folded(field.name, "transfer-encoding")) {
      if (encoded || !equal_folded(field.value, "chunked")) return broken("a transfer coding that we did not ask for");
      encoded = chunked_ = true;
    } else if (equal_folded(field.name, "content-length")) {
      const auto length = to_number<std::uint64_t>(field.value, 0, kMaxLength);
      if (!length || (length_ && *length_ != *length)) return broken("a length that is no number");
      length_ = length;
    }
  }
  if (chunked_ && length_) return broken("two lengths of one body");
  return {};
}

Task<Result<void>> ResponseReader::read_body() {
  if (chunked_) co_return co_await read_chunks();
  if (length_) co_return co_await read_octets(*length_);
  co_return co_await read_to_end();
}

Task<Result<void>> ResponseReader::read_chunks() {
  for (;;) {
    const Stream::Line line = co_await stream_.read_line(HttpClient::kMaxChunkLine, deadline_);
    const auto size = line.bare_lf ? std::nullopt : chunk_size(line.text);
    if (!size) co_return broken("a chunk without its size");
    if (*size == 0) co_return co_await read_fields(false);
    if (auto done = co_await read_octets(*size); !done) co_return done;
    const Stream::Line end = co_await stream_.read_line(2, deadline_);
    if (end.bare_lf || !end.text.empty()) co_return broken("a chunk longer than its size");
  }
}

Task<Result<void>> ResponseReader::read_octets(std::uint64_t count) {
  if (count > max_body_ - std::min(max_body_, response_.body.size()))
    co_return fault("http.too_large", "the body has over " + std::to_string(max_body_) + " octets");
  while (count > 0) {
    co_await stream_.fill(deadline_);
    const std::string_view piece = stream_.buffered().substr(0, count);
    response_.body.append(piece);
    count -= piece.size();
    stream_.consume(piece.size());
  }
  co_return Result<void>();
}

Task<Result<void>> ResponseReader::read_to_end() {
  const Instant end = deadline_.resolve(stream_.executor().now());
  while (co_await stream_.readable(deadline_)) {
    const std::string_view piece = stream_.buffered();
    if (piece.size() > max_body_ - response_.body.size())
      co_return fault("http.too_large", "the body has over " + std::to_string(max_body_) + " octets");
    response_.body.append(piece);
    stream_.consume(piece.size());
  }
  if (!stream_.at_end() && stream_.executor().now() >= end) throw TimedOut();
  co_return Result<void>();
}

}  // namespace postern::http
