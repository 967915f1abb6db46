#include "postern/mime_edit.h"

#include <algorithm>

#include "postern/message.h"
#include "postern/text.h"

namespace postern {
namespace {

constexpr std::size_t kQuotedLine = 75;    // before the "=" of a soft line end (RFC 2045 §6.7: 76)
constexpr std::size_t kBase64Octets = 57;  // of one line of 76 characters
constexpr std::string_view kHex = "0123456789ABCDEF";

}  // namespace

// --- encoders -------------------------------------------------------------------------------------------------------

void QuotedPrintableEncoder::quote(char octet, bool as_is, std::string& out) {
  if (column_ + (as_is ? 1 : 3) > kQuotedLine) {
    out += "=\r\n";
    column_ = 0;
  }
  // No line of ours is a delimiter: neither behind a line end that was not there, nor where "=2D-b" came in.
  if (octet == '-' && column_ == 0) as_is = false;
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

void QuotedPrintableEncoder::feed(std::string_view piece, std::string& out) {
  for (const char octet : piece) {
    if (!held_.empty()) {
      const char before = held_.front();
      held_.clear();
      if (before == '\r' && octet == '\n') {
        out += "\r\n";
        column_ = 0;
        continue;
      }
      quote(before, before != '\r' && octet != '\r' && octet != '\n', out);
    }
    if (octet == '\r' || octet == ' ' || octet == '\t')
      held_.assign(1, octet);
    else
      quote(octet, octet > ' ' && octet < 0x7f && octet != '=', out);
  }
}

void QuotedPrintableEncoder::finish(std::string& out) {
  if (!held_.empty()) quote(held_.front(), false, out);
  held_.clear();
  column_ = 0;
}

void Base64LineEncoder::feed(std::string_view piece, std::string& out) {
  held_ += piece;
  std::size_t done = 0;
  for (; held_.size() - done >= kBase64Octets; done += kBase64Octets) {
    out += base64_encode(std::string_view(held_).substr(done, kBase64Octets));
    out += "\r\n";
  }
  held_.erase(0, done);
}

void Base64LineEncoder::finish(bool line_end, std::string& out) {
  if (held_.empty()) return;
  out += base64_encode(held_);
  if (line_end) out += "\r\n";
  held_.clear();
}

std::string encode_quoted_printable(std::string_view text) {
  std::string out;
  QuotedPrintableEncoder encoder;
  encoder.feed(text, out);
  encoder.finish(out);
  return out;
}

std::string encode_base64_lines(std::string_view octets) {
  std::string out;
  Base64LineEncoder encoder;
  encoder.feed(octets, out);
  encoder.finish(false, out);
  if (out.ends_with("\r\n")) out.resize(out.size() - 2);
  return out;
}

// --- patches --------------------------------------------------------------------------------------------------------

void MimePatcher::add(std::uint64_t begin, std::uint64_t end, Way way, bool line_end, std::string text) {
  const std::uint64_t last = spans_.empty() ? 0 : spans_.back().end;
  begin = std::max(begin, last);
  if (end < begin) return;
  if (begin > last) spans_.push_back({begin, Way::kCopy, false, {}});
  spans_.push_back({end, way, line_end, std::move(text)});
}

void MimePatcher::replace(std::uint64_t begin, std::uint64_t end, std::string text) {
  add(begin, end, Way::kReplace, false, std::move(text));
}
void MimePatcher::quote(std::uint64_t begin, std::uint64_t end) {
  add(begin, end, Way::kQuoted, false, {});
}
void MimePatcher::base64(std::uint64_t begin, std::uint64_t end, bool line_end) {
  add(begin, end, Way::kBase64, line_end, {});
}

void MimePatcher::restart() {
  span_ = 0;
  offset_ = 0;
  quoted_ = {};
  base64_ = {};
}

void MimePatcher::feed(std::string_view piece, std::string& out) {
  while (!piece.empty()) {
    if (span_ == spans_.size()) {
      out += piece;
      offset_ += piece.size();
      return;
    }
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(spans_[span_].end - offset_, piece.size()));
    take(piece.substr(0, count), out);
    piece.remove_prefix(count);
    offset_ += count;
    if (offset_ == spans_[span_].end) end_span(out);
  }
}

/// A message that is shorter than its patches say ends them all.
void MimePatcher::finish(std::string& out) {
  while (span_ < spans_.size()) end_span(out);
}

void MimePatcher::take(std::string_view octets, std::string& out) {
  switch (spans_[span_].way) {
    case Way::kCopy:
      out += octets;
      break;
    case Way::kReplace:
      break;
    case Way::kQuoted:
      quoted_.feed(octets, out);
      break;
    case Way::kBase64:
      base64_.feed(octets, out);
      break;
  }
}

void MimePatcher::end_span(std::string& out) {
  const Span& span = spans_[span_++];
  if (span.way == Way::kReplace) out += span.text;
  if (span.way == Way::kQuoted) quoted_.finish(out);
  if (span.way == Way::kBase64) base64_.finish(span.line_end, out);
}

// --- 7 bits ---------------------------------------------------------------------------------------------------------

namespace {

bool is_plain(const MimePart& part) {
  return part.encoding == TransferEncoding::k7Bit || part.encoding == TransferEncoding::k8Bit ||
         part.encoding == TransferEncoding::kBinary;
}

/// Whether a leaf must be encoded; of the others, whether they declare what they are about to lose.
bool needs_7bit(const MimePart& part) {
  const bool declares = part.encoding == TransferEncoding::k8Bit || part.encoding == TransferEncoding::kBinary;
  if (!part.is_leaf() || part.is_multipart() || part.is_message()) return declares;
  return is_plain(part) && (part.has_8bit || part.has_nul || declares);
}

}  // namespace

std::string with_encoding(std::string_view fields, std::string_view encoding, bool root) {
  const HeaderBlock block(fields);
  const bool bare = root && !block.find("MIME-Version");
  std::string out;
  bool written = false;
  const auto write = [&] {
    if (!out.empty() && !out.ends_with('\n')) out += "\r\n";
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
  if (!out.empty() && !out.ends_with('\n')) out += "\r\n";
  // A message that never said it was MIME is text all the same, of a charset that nobody knows (RFC 1428 §3).
  if (bare) out += "MIME-Version: 1.0\r\n";
  if (bare && !block.find("Content-Type")) out += "Content-Type: text/plain; charset=unknown-8bit\r\n";
  if (!written) write();
  return out;
}

MimePatcher patches_to_7bit(const MimeStructure& structure) {
  MimePatcher out;
  // Parts come in the order of their headers, so patches grow from front to back.
  for (const MimePart& part : structure.parts) {
    const bool leaf = part.is_leaf() && !part.is_multipart() && !part.is_message();
    if (!needs_7bit(part) || part.header_truncated) continue;
    if (part.is_leaf() && !leaf)
      continue;  // its inside was passed over: it cannot be converted, and may not be encoded
    const bool text = part.type == "text" && !part.has_nul && part.encoding != TransferEncoding::kBinary;
    const std::string_view encoding = !leaf ? "7bit" : text ? "quoted-printable" : "base64";
    out.replace(part.header_start, part.header_start + part.header.size(),
                with_encoding(part.header, encoding, part.index == 0));
    if (!leaf) continue;
    // Before a delimiter the line end is the delimiter's own; at the end of the message it is ours to write.
    if (text)
      out.quote(part.body_start, part.end);
    else
      out.base64(part.body_start, part.end, part.end >= structure.root().end);
  }
  return out;
}

}  // namespace postern
