// MimeReader. Octets are taken line by line: of a header line all is kept, of a body line only as much as a delimiter
// could have. A line end is held back until the next line is known, since it belongs to a delimiter (RFC 2046 §5.1.1).
#include <algorithm>

#include "core/mail/chars.h"
#include "postern/mime.h"

namespace postern {
namespace {

constexpr std::size_t kDelimiterPadding = 80;  // blanks and the closing hyphens behind a boundary

TransferEncoding encoding_of(std::string_view name) {
  if (name.empty() || name == "7bit") return TransferEncoding::k7Bit;
  if (name == "8bit") return TransferEncoding::k8Bit;
  if (name == "binary") return TransferEncoding::kBinary;
  if (name == "base64") return TransferEncoding::kBase64;
  if (name == "quoted-printable") return TransferEncoding::kQuotedPrintable;
  return TransferEncoding::kUnknown;
}

bool is_encoded(TransferEncoding encoding) {
  return encoding == TransferEncoding::kBase64 || encoding == TransferEncoding::kQuotedPrintable;
}

void set_type(MimePart& part, std::string_view value) {
  ParameterizedValue parsed = parse_parameters(value);
  const std::size_t slash = parsed.value.find('/');
  const bool good = slash != std::string::npos && slash != 0 && slash + 1 < parsed.value.size() &&
                    parsed.value.find('/', slash + 1) == std::string::npos;
  if (good) {  // RFC 2045 §5.2: what does not parse is text/plain, or the default of a digest
    part.type = parsed.value.substr(0, slash);
    part.subtype = parsed.value.substr(slash + 1);
  }
  part.parameters = std::move(parsed.parameters);
}

void set_field(MimePart& part, const HeaderField& field) {
  if (field.is("Content-Type")) {
    set_type(part, field.value());
  } else if (field.is("Content-Transfer-Encoding")) {
    part.encoding_name = parse_parameters(field.value()).value;
    part.encoding = encoding_of(part.encoding_name);
  } else if (field.is("Content-Disposition")) {
    ParameterizedValue parsed = parse_parameters(field.value());
    part.disposition = std::move(parsed.value);
    part.disposition_parameters = std::move(parsed.parameters);
  } else if (field.is("Content-ID")) {
    part.id = field.value();
  } else if (field.is("Content-Description")) {
    part.description = field.value();
  } else if (field.is("Content-MD5")) {
    part.md5 = field.value();
  } else if (field.is("Content-Location")) {
    part.location = field.value();
  } else if (field.is("Content-Language")) {
    const std::string value = field.value();
    for (std::size_t at = 0; at <= value.size() && part.languages.size() < kMaxParameters;) {
      const std::size_t comma = std::min(value.find(',', at), value.size());
      const std::string_view one = mail::trim(std::string_view(value).substr(at, comma - at));
      if (!one.empty()) part.languages.emplace_back(one);
      at = comma + 1;
    }
  }
}

}  // namespace

MimeReader::MimeReader(MimeLimits limits, MimeSink* sink) : limits_(limits), sink_(sink) {
  begin_part(MimePart::kNone);
}

void MimeReader::feed(std::string_view chunk) {
  while (!chunk.empty()) {
    if (in_header_) {
      chunk = take_header(chunk);
    } else if (!in_line_) {
      chunk = take_line_start(chunk);
    } else {
      chunk = take_body(chunk);
    }
  }
}

MimeStructure MimeReader::finish() {
  if (in_header_ && !line_.empty()) header_line();
  if (!in_header_ && !line_.empty()) body_line(true);
  while (in_header_) end_header(false);  // a message part at the very end opens an empty one inside
  release_line_end();
  end_parts_above(0, offset_, lines_);
  return std::move(structure_);
}

namespace {

/// Octets that a header of `has` octets may still get, when `others` are kept of the headers before it.
std::size_t header_room(const MimeLimits& limits, std::size_t others, std::size_t has) {
  const std::size_t most = std::min(limits.max_header_bytes, limits.max_all_headers - others);
  return most - std::min(has, most);
}

}  // namespace

std::string_view MimeReader::take_header(std::string_view chunk) {
  const std::size_t lf = chunk.find('\n');
  const std::string_view piece = chunk.substr(0, lf == std::string_view::npos ? lf : lf + 1);
  const std::size_t free = header_room(limits_, headers_, current().header.size());
  const std::size_t room = free - std::min(line_.size(), free);
  // Enough to know an empty line and a delimiter, even when the header has used up its room.
  const std::size_t least = limits_.max_boundary + kDelimiterPadding;
  const std::size_t keep = std::min(piece.size(), std::max(room, least - std::min(line_.size(), least)));
  line_ += piece.substr(0, keep);
  if (keep < piece.size()) current().header_truncated = true;
  offset_ += piece.size();
  if (lf != std::string_view::npos) {
    ++lines_;
    header_line();
  }
  return chunk.substr(piece.size());
}

// A whole line of a header is in line_.
void MimeReader::header_line() {
  if (const std::optional<Delimiter> found = delimiter()) {
    end_header(true);
    take_delimiter(*found);
    return;
  }
  const bool empty = line_ == "\n" || line_ == "\r\n";
  MimePart& part = current();
  if (!empty && !part.header_truncated && line_.size() <= header_room(limits_, headers_, part.header.size())) {
    part.header += line_;
  } else if (!empty) {
    part.header_truncated = true;
  }
  line_.clear();
  line_start_ = offset_;
  if (empty) end_header(false);
}

void MimeReader::begin_part(std::uint32_t parent) {
  MimePart part;
  part.index = static_cast<std::uint32_t>(structure_.parts.size());
  part.parent = parent;
  part.header_start = offset_;
  if (parent != MimePart::kNone) {
    MimePart& above = structure_.parts[parent];
    part.depth = static_cast<std::uint16_t>(above.depth + 1);
    std::uint32_t& last = open_.back().last_child;
    (last == MimePart::kNone ? above.first_child : structure_.parts[last].next_sibling) = part.index;
    last = part.index;
    if (above.is_multipart() && above.subtype == "digest") {  // RFC 2046 §5.1.5
      part.type = "message";
      part.subtype = "rfc822";
    }
  }
  Open& open = open_.emplace_back();
  open.part = part.index;
  open.lines_before = lines_;
  structure_.parts.push_back(std::move(part));
  in_header_ = true;
  line_.clear();
  held_ = {};
  line_start_ = offset_;
}

void MimeReader::end_header(bool by_delimiter) {
  MimePart& part = current();
  Open& open = open_.back();
  const std::uint64_t lines = lines_ - (by_delimiter && line_.ends_with('\n') ? 1 : 0);
  part.body_start = by_delimiter ? line_start_ : offset_;
  part.header_lines = static_cast<std::uint32_t>(lines - open.lines_before);
  open.lines_before = lines;
  // Of fields that occur twice the first counts, as in most readers.
  std::vector<std::string_view> seen;
  for (const HeaderField& field : HeaderBlock(part.header)) {
    if (field.name.size() < 8 || !mail::iequals(field.name.substr(0, 8), "Content-")) continue;
    if (std::ranges::any_of(seen, [&](std::string_view name) { return field.is(name); })) continue;
    if (seen.size() < kMaxParameters) seen.push_back(field.name);
    set_field(part, field);
  }
  headers_ = std::min(headers_ + part.header.size(), limits_.max_all_headers);
  in_header_ = false;
  in_line_ = false;
  held_ = {};
  if (sink_ != nullptr) sink_->on_part(part);
  if (!by_delimiter) open_inner();
}

// Prepares for the parts inside: delimiters of a multipart, or the header of a message.
void MimeReader::open_inner() {
  const MimePart& part = current();
  const bool message = part.is_message() && !is_encoded(part.encoding);
  if (!part.is_multipart() && !message) return;
  if (part.depth + 1U >= limits_.max_depth) {
    structure_.too_deep = true;
    return;
  }
  if (message) {
    if (structure_.parts.size() < limits_.max_parts) {
      begin_part(part.index);
    } else {
      structure_.too_many = true;
    }
    return;
  }
  const std::string* boundary = part.parameter("boundary");
  if (boundary == nullptr || boundary->empty() || boundary->size() > limits_.max_boundary) {
    structure_.broken_boundary = true;
    return;
  }
  open_.back().boundary = "--" + *boundary;
  ++boundaries_;
}

std::string_view MimeReader::take_line_start(std::string_view chunk) {
  if (line_.empty()) {
    line_start_ = offset_;
    if (boundaries_ == 0 || chunk.front() != '-') {
      release_line_end();
      in_line_ = true;
      return chunk;
    }
  }
  const std::size_t most = limits_.max_boundary + kDelimiterPadding;
  const std::size_t lf = chunk.find('\n');
  const std::size_t whole = lf == std::string_view::npos ? chunk.size() : lf + 1;
  const std::size_t take = std::min(whole, most - std::min(most, line_.size()));
  line_ += chunk.substr(0, take);
  offset_ += take;
  if (line_.ends_with('\n') || line_.size() >= most || (line_.size() >= 2 && line_[1] != '-')) body_line(false);
  return chunk.substr(take);
}

// line_ holds a body line that starts with a hyphen: whole, or as much as no delimiter has.
void MimeReader::body_line(bool last) {
  const bool whole = line_.ends_with('\n');
  lines_ += whole ? 1 : 0;
  const std::optional<Delimiter> found = whole || last ? delimiter() : std::nullopt;
  if (found) {
    take_delimiter(*found);
    return;
  }
  release_line_end();
  const std::string line = std::move(line_);
  line_.clear();
  in_line_ = !whole;
  const std::size_t end = line.ends_with("\r\n") ? 2 : whole || line.ends_with('\r') ? 1 : 0;
  pass(std::string_view(line).substr(0, line.size() - end));
  held_ = end == 2 ? "\r\n" : end == 0 ? "" : whole ? "\n" : "\r";
}

std::string_view MimeReader::take_body(std::string_view chunk) {
  if (held_ == "\r" && chunk.front() != '\n') release_line_end();
  const std::size_t lf = chunk.find('\n');
  const std::size_t end = lf == std::string_view::npos ? chunk.size() : lf;
  std::string_view piece = chunk.substr(0, end);
  const bool cr = piece.ends_with('\r');
  if (cr) piece.remove_suffix(1);
  pass(piece);
  if (lf == std::string_view::npos) {
    if (cr) held_ = "\r";
    offset_ += end;
    return {};
  }
  held_ = cr || held_ == "\r" ? "\r\n" : "\n";
  offset_ += end + 1;
  ++lines_;
  in_line_ = false;
  return chunk.substr(end + 1);
}

std::optional<MimeReader::Delimiter> MimeReader::delimiter() const {
  if (boundaries_ == 0 || !line_.starts_with("--")) return std::nullopt;
  std::string_view line = line_;
  while (!line.empty() && mail::is_space(line.back())) line.remove_suffix(1);
  for (std::size_t level = open_.size(); level-- > 0;) {
    const Open& open = open_[level];
    if (open.boundary.empty() || open.passing || !line.starts_with(open.boundary)) continue;
    const std::string_view rest = line.substr(open.boundary.size());
    if (rest.empty() || rest == "--") return Delimiter{level, !rest.empty()};
  }
  return std::nullopt;
}

void MimeReader::take_delimiter(Delimiter found) {
  const bool whole = line_.ends_with('\n');
  const std::uint64_t lines = lines_ - (whole ? 1 : 0) - (held_.ends_with('\n') ? 1 : 0);
  end_parts_above(found.level + 1, line_start_ - held_.size(), lines);
  // The end of this line belongs to an outer delimiter, should one follow at once.
  held_ = line_.ends_with("\r\n") ? "\r\n" : whole ? "\n" : "";
  line_.clear();
  in_header_ = false;
  in_line_ = false;
  Open& open = open_.back();
  if (found.closing) {
    open.passing = true;
    current().closed = true;
  } else if (structure_.parts.size() >= limits_.max_parts) {
    open.passing = true;
    structure_.too_many = true;
  } else {
    begin_part(open.part);
  }
}

void MimeReader::end_parts_above(std::size_t level, std::uint64_t end, std::uint64_t lines) {
  while (open_.size() > level) {
    MimePart& part = current();
    part.end = std::max(end, part.body_start);
    part.body_lines = static_cast<std::uint32_t>(lines - std::min(lines, open_.back().lines_before));
    if (!open_.back().boundary.empty()) --boundaries_;
    if (sink_ != nullptr) sink_->on_part_end(part);
    open_.pop_back();
  }
}

// Content of the innermost part; what stands around the parts of a multipart is nobody's.
void MimeReader::pass(std::string_view piece) {
  if (piece.empty() || !open_.back().boundary.empty()) return;
  MimePart& part = current();
  char bits = 0;
  for (char c : piece) bits = static_cast<char>(bits | c);
  part.has_8bit = part.has_8bit || mail::is_8bit(bits);
  part.has_nul = part.has_nul || piece.contains('\0');
  if (sink_ != nullptr) sink_->on_body(part, piece);
}

void MimeReader::release_line_end() {
  const std::string_view line_end = std::exchange(held_, {});
  if (!line_end.empty()) pass(line_end);
}

// --- What was read --------------------------------------------------------------------------------------------------

const std::string* MimePart::parameter(std::string_view name) const {
  const auto at = std::ranges::find(parameters, name, &Parameter::name);
  return at == parameters.end() ? nullptr : &at->value;
}

std::string MimePart::charset() const {
  const std::string* named = parameter("charset");
  if (named != nullptr && !named->empty()) return mail::to_lower(*named);
  return type == "text" ? "us-ascii" : "";
}

namespace {

/// Without folders, and without what no name may have.
std::string plain_file_name(std::string_view raw) {
  std::string name = decode_words(raw);
  if (const std::size_t slash = name.find_last_of("/\\"); slash != std::string::npos) name.erase(0, slash + 1);
  std::erase_if(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  return name == "." || name == ".." ? std::string{} : name;
}

}  // namespace

std::string MimePart::file_name() const {
  const auto given = std::ranges::find(disposition_parameters, "filename", &Parameter::name);
  const std::string* raw = given != disposition_parameters.end() ? &given->value : parameter("name");
  return raw == nullptr ? std::string() : plain_file_name(*raw);
}

std::vector<std::string> MimePart::file_names() const {
  std::vector<std::string> names;
  const auto add = [&names](const std::vector<Parameter>& from, std::string_view key) {
    for (const Parameter& one : from) {
      if (one.name != key) continue;
      std::string name = plain_file_name(one.value);
      if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
  };
  add(disposition_parameters, "filename");
  add(parameters, "name");
  return names;
}

bool MimePart::is_attachment() const {
  if (!disposition.empty()) return disposition != "inline";  // RFC 2183 §2.8: unknown ones are attachments
  return type != "text" && !is_multipart() && parameter("name") != nullptr;
}

std::vector<std::uint32_t> MimeStructure::children(std::uint32_t index) const {
  std::vector<std::uint32_t> found;
  for (std::uint32_t at = parts[index].first_child; at != MimePart::kNone; at = parts[at].next_sibling)
    found.push_back(at);
  return found;
}

const MimePart* MimeStructure::find(std::string_view section) const {
  const MimePart* part = &root();
  bool in_message = true;  // a message that is no multipart has its body as part 1
  while (!section.empty()) {
    const std::size_t dot = std::min(section.find('.'), section.size());
    std::uint32_t number = 0;
    for (char c : section.substr(0, dot)) {
      if (!mail::is_digit(c) || number > parts.size()) return nullptr;
      number = number * 10 + static_cast<std::uint32_t>(c - '0');
    }
    section.remove_prefix(std::min(dot + 1, section.size()));
    if (number == 0) return nullptr;
    if (!in_message && part->is_message() && !part->is_leaf()) {
      part = &parts[part->first_child];
      in_message = true;
    }
    if (part->is_multipart() && !part->is_leaf()) {
      std::uint32_t at = part->first_child;
      while (--number > 0 && at != MimePart::kNone) at = parts[at].next_sibling;
      if (at == MimePart::kNone) return nullptr;
      part = &parts[at];
    } else if (!in_message || number != 1) {
      return nullptr;
    }
    in_message = false;
  }
  return part;
}

}  // namespace postern
