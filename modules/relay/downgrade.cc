#include "downgrade.h"

#include <algorithm>

#include "postern/message.h"
#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::size_t kQuotedLine = 75;    // before the "=" of a soft line end (RFC 2045 §6.7: 76)
constexpr std::size_t kBase64Octets = 57;  // of one line of 76 characters
constexpr std::string_view kHex = "0123456789ABCDEF";

}  // namespace

Downgrade::Downgrade(MimeStructure structure) : structure_(std::move(structure)) {
  for (const MimePart& part : structure_.parts) add_part(part);
  add(~std::uint64_t{0}, Way::kCopy);
}

void Downgrade::add(std::uint64_t end, Way way, std::string_view encoding) {
  const std::uint64_t begin = spans_.empty() ? 0 : spans_.back().end;
  if (end > begin) spans_.push_back({end, way, encoding});
}

/// Whether a leaf must be encoded; of the others, whether they declare what they are about to lose.
bool Downgrade::needs_7bit(const MimePart& part) const {
  const bool plain = part.encoding == TransferEncoding::k7Bit || part.encoding == TransferEncoding::k8Bit ||
                     part.encoding == TransferEncoding::kBinary;
  if (!part.is_leaf() || part.is_multipart() || part.is_message())
    return part.encoding == TransferEncoding::k8Bit || part.encoding == TransferEncoding::kBinary;
  return plain && (part.has_8bit || part.has_nul || part.encoding == TransferEncoding::kBinary ||
                   part.encoding == TransferEncoding::k8Bit);
}

/// Parts come in the order of their headers, so spans grow from front to back; what lies between is copied.
void Downgrade::add_part(const MimePart& part) {
  const bool leaf = part.is_leaf() && !part.is_multipart() && !part.is_message();
  if (!needs_7bit(part) || part.header_truncated) return;
  if (part.is_leaf() && !leaf) return;  // its inside was passed over: it may not be encoded, and cannot be converted
  const bool text = part.type == "text" && !part.has_nul && part.encoding != TransferEncoding::kBinary;
  const std::string_view encoding = !leaf ? "7bit" : text ? "quoted-printable" : "base64";
  add(part.header_start, Way::kCopy);
  add(part.body_start, Way::kHeader, encoding);
  if (leaf) add(part.end, text ? Way::kQuoted : Way::kBase64);
}

void Downgrade::restart() {
  span_ = 0;
  offset_ = 0;
  held_.clear();
  column_ = 0;
}

void Downgrade::feed(std::string_view piece, std::string& out) {
  while (!piece.empty()) {
    const Span& span = spans_[span_];
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(span.end - offset_, piece.size()));
    take(piece.substr(0, count), span.way, out);
    piece.remove_prefix(count);
    offset_ += count;
    if (offset_ != span.end) continue;
    end_span(span, out);
    ++span_;
  }
}

void Downgrade::finish(std::string& out) {
  if (span_ < spans_.size()) end_span(spans_[span_], out);
}

void Downgrade::take(std::string_view octets, Way way, std::string& out) {
  switch (way) {
    case Way::kCopy:
      out += octets;
      break;
    case Way::kHeader:
      held_ += octets;
      break;
    case Way::kQuoted:
      quoted(octets, out);
      break;
    case Way::kBase64:
      base64(octets, out);
      break;
  }
}

void Downgrade::end_span(const Span& span, std::string& out) {
  if (span.way == Way::kHeader) rewrite_header(span.encoding, out);
  if (span.way == Way::kQuoted) end_quoted(out);
  if (span.way == Way::kBase64) end_base64(out);
  held_.clear();
  column_ = 0;
}

/// held_ is the whole header with its empty line.
void Downgrade::rewrite_header(std::string_view encoding, std::string& out) {
  const HeaderBlock block(held_);
  const bool bare = spans_[span_].end == structure_.root().body_start && !block.find("MIME-Version");
  bool written = false;
  const auto write = [&] {
    out += "Content-Transfer-Encoding: ";
    out += encoding;
    out += "\r\n";
    written = true;
  };
  for (const HeaderField& field : block) {
    if (!field.is("Content-Transfer-Encoding"))
      out += field.raw;
    else if (!written)
      write();
  }
  // A message that never said it was MIME is text all the same, of a charset that nobody knows (RFC 1428 §3).
  if (bare) out += "MIME-Version: 1.0\r\n";
  if (bare && !block.find("Content-Type")) out += "Content-Type: text/plain; charset=unknown-8bit\r\n";
  if (!written) write();
  out += std::string_view(held_).substr(block.fields_size());
}

void Downgrade::quote_octet(char octet, bool as_is, std::string& out) {
  if (column_ + (as_is ? 1 : 3) > kQuotedLine) {
    out += "=\r\n";
    column_ = 0;
    if (octet == '-') as_is = false;  // a line end that was not there must not make a delimiter
  }
  if (as_is) {
    out += octet;
    ++column_;
    return;
  }
  out += '=';
  out += kHex[static_cast<unsigned char>(octet) >> 4];
  out += kHex[static_cast<unsigned char>(octet) & 15];
  column_ += 3;
}

/// RFC 2045 §6.7. Line ends stay; blanks before them and lone CR or LF are quoted.
void Downgrade::quoted(std::string_view octets, std::string& out) {
  for (const char octet : octets) {
    if (!held_.empty()) {
      const char before = held_.front();
      held_.clear();
      if (before == '\r' && octet == '\n') {
        out += "\r\n";
        column_ = 0;
        continue;
      }
      quote_octet(before, before != '\r' && octet != '\r' && octet != '\n', out);
    }
    if (octet == '\r' || octet == ' ' || octet == '\t')
      held_.assign(1, octet);
    else
      quote_octet(octet, octet > ' ' && octet < 0x7f && octet != '=', out);
  }
}

void Downgrade::end_quoted(std::string& out) {
  if (!held_.empty()) quote_octet(held_.front(), false, out);
}

void Downgrade::base64(std::string_view octets, std::string& out) {
  held_ += octets;
  std::size_t done = 0;
  for (; held_.size() - done >= kBase64Octets; done += kBase64Octets) {
    out += base64_encode(std::string_view(held_).substr(done, kBase64Octets));
    out += "\r\n";
  }
  held_.erase(0, done);
}

void Downgrade::end_base64(std::string& out) {
  if (held_.empty()) return;
  out += base64_encode(held_);
  // Before a delimiter the line end is the delimiter's own; at the end of the message it is ours to write.
  if (spans_[span_].end >= structure_.root().end) out += "\r\n";
}

}  // namespace postern::relay
