#include "body.h"

#include <fmt/format.h>

#include <algorithm>

#include "parts.h"
#include "postern/message.h"
#include "postern/text.h"
#include "postern/wait.h"

namespace postern::mailets {

// --- reading and writing --------------------------------------------------------------------------------------------

Task<Result<MimeStructure>> structure_of(Draft* draft) {
  MimeReader reader;
  if (draft) reader.feed(draft->header());
  int pieces = 0;
  for (std::uint64_t at = 0; draft && at < draft->body_size();) {
    auto piece = co_await draft->read_body(at, kPieceSize);
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    reader.feed(*piece);
    at += piece->size();
    if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
  }
  co_return reader.finish();
}

Task<Result<std::string>> read_part(Draft* draft, const MimePart& part) {
  std::string out;
  const std::uint64_t before = draft->header().size();
  if (part.body_start < before) co_return fault("mime.place", "the part is not in the body");
  while (out.size() < part.size()) {
    auto piece = co_await draft->read_body(part.body_start - before + out.size(),
                                           std::min<std::uint64_t>(kPieceSize, part.size() - out.size()));
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    out += *piece;
  }
  co_return out;
}

Task<Result<ActionResult>> rewritten(RuleCall call, MimePatcher patches) {
  Draft* from = call.transaction.draft;
  if (HeaderBlock(from->header()).find("DKIM-Signature"))
    call.effects.trail().fact(call.stage, "body", "the message's DKIM-Signature does not hold any more");
  auto draft = call.effects.begin_draft(from->size());
  if (!draft) co_return std::unexpected(std::move(draft).error());
  std::string out;
  patches.feed(from->header(), out);
  int pieces = 0;
  for (std::uint64_t at = 0; at < from->body_size();) {
    auto piece = co_await from->read_body(at, kPieceSize);
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    patches.feed(*piece, out);
    at += piece->size();
    if (auto taken = co_await draft->append(out); !taken) co_return std::unexpected(std::move(taken).error());
    out.clear();
    if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
  }
  patches.finish(out);
  if (auto taken = co_await draft->append(out); !taken) co_return std::unexpected(std::move(taken).error());
  ActionResult result;
  result.body = std::make_shared<Draft>(std::move(*draft));
  co_return result;
}

// --- which parts ----------------------------------------------------------------------------------------------------

std::optional<std::string_view> guarded(const MimeStructure& structure, std::uint32_t part) {
  for (std::uint32_t at = part; at != MimePart::kNone; at = structure.parts[at].parent) {
    const MimePart& one = structure.parts[at];
    if (one.type == "multipart" && one.subtype == "signed") return "it is signed";
    if (one.type == "multipart" && one.subtype == "encrypted") return "it is encrypted";
    if (one.type == "application" && (one.subtype == "pkcs7-mime" || one.subtype == "x-pkcs7-mime"))
      return "it is signed or encrypted";
    if (one.header_truncated) return "its header is too long";
  }
  return std::nullopt;
}

namespace {

void add_shown(const MimeStructure& structure, std::uint32_t index, std::vector<std::uint32_t>& out) {
  const MimePart& part = structure.parts[index];
  if (part.is_message() || part.is_attachment()) return;
  if (part.is_leaf()) {
    if (part.type == "text" && (part.subtype == "plain" || part.subtype == "html")) out.push_back(index);
    return;
  }
  const std::size_t before = out.size();
  for (const std::uint32_t child : structure.children(index)) {
    add_shown(structure, child, out);
    if (part.subtype != "alternative" && out.size() > before) return;
  }
}

}  // namespace

std::vector<std::uint32_t> shown_texts(const MimeStructure& structure) {
  std::vector<std::uint32_t> out;
  add_shown(structure, 0, out);
  return out;
}

// --- texts ----------------------------------------------------------------------------------------------------------

std::optional<std::string> decode_text(const MimePart& part, std::string_view raw) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string octets;
  if (part.encoding == TransferEncoding::kUnknown) return std::nullopt;
  BodyDecoder decoder(part.encoding);
  decoder.feed(raw, octets);
  decoder.finish(octets);
  const std::string charset = part.charset();
  const bool says_ascii = charset == "us-ascii" || charset == "ascii";
  if (says_ascii && is_ascii(octets)) return octets;
  // Who says ASCII and writes more has most likely written UTF-8, or else something that cannot be known.
  auto text = to_utf8(octets, says_ascii ? "utf-8" : charset);
  if (!text || (text->contains(kReplacement) && !octets.contains(kReplacement))) return std::nullopt;
  return text;
}

namespace {

/// "; name=value", as RFC 2231 wants what is not ASCII.
std::string parameter_text(const std::string& name, const std::string& value) {
  std::string out = ";\r\n\t" + name;
  if (is_ascii(value)) {
    out += "=\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) out += c;
    }
    return out + '"';
  }
  out += "*=utf-8''";
  for (const char c : value)
    out += is_ascii_alnum(c) ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return out;
}

std::string content_type(const MimePart& part, const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<Parameter> parameters = part.parameters;
  for (const auto& [name, value] : changes) {
    std::erase_if(parameters, [&](const Parameter& one) { return one.name == name; });
    if (!value.empty()) parameters.push_back({name, value});
  }
  std::string out = "Content-Type: " + part.type + "/" + part.subtype;
  for (const Parameter& one : parameters) out += parameter_text(one.name, one.value);
  return out + "\r\n";
}

bool has_long_line(std::string_view text) {
  constexpr std::size_t kMaxLine = 998;  // RFC 5322 §2.1.1
  for (const std::string_view line : split(text, '\n'))
    if (line.size() > kMaxLine) return true;
  return false;
}

/// Whether a text holds what could be a delimiter of a multipart around it. Its sender knows what an edit will do, and
/// must not make parts of it that nobody has looked at.
bool could_delimit(const MimeStructure& structure, const MimePart& part, std::string_view text) {
  for (std::uint32_t at = part.parent; at != MimePart::kNone; at = structure.parts[at].parent)
    if (const std::string* boundary = structure.parts[at].parameter("boundary");
        boundary && text.contains("--" + *boundary))
      return true;
  return false;
}

TransferEncoding encoding_for(const MimeStructure& structure, const MimePart& part, std::string_view text) {
  if (part.encoding == TransferEncoding::kBase64 || part.encoding == TransferEncoding::kQuotedPrintable)
    return part.encoding;
  if (has_odd_lines(text) || could_delimit(structure, part, text)) return TransferEncoding::kQuotedPrintable;
  if (is_ascii(text))
    return part.encoding == TransferEncoding::k8Bit ? TransferEncoding::k8Bit : TransferEncoding::k7Bit;
  return part.encoding == TransferEncoding::k8Bit ? TransferEncoding::k8Bit : TransferEncoding::kQuotedPrintable;
}

std::string_view name_of(TransferEncoding encoding) {
  switch (encoding) {
    case TransferEncoding::kBase64:
      return "base64";
    case TransferEncoding::kQuotedPrintable:
      return "quoted-printable";
    case TransferEncoding::k8Bit:
      return "8bit";
    default:
      return "7bit";
  }
}

}  // namespace

bool has_odd_lines(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) return true;
    if (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) return true;
  }
  return text.contains('\0') || has_long_line(text);
}

void patch_text(MimePatcher& patches, const MimeStructure& structure, const MimePart& part, const EditedText& edited) {
  auto changes = edited.parameters;
  // The charset stays if these octets are the same text in it: those of ASCII are not in UTF-16, say.
  if (to_utf8(edited.text, part.charset()) != edited.text) changes.emplace_back("charset", "utf-8");
  const TransferEncoding encoding = encoding_for(structure, part, edited.text);
  std::string fields;
  for (const HeaderField& field : HeaderBlock(part.header)) {
    if (field.is("Content-MD5") || (!changes.empty() && field.is("Content-Type"))) continue;
    fields += field.raw;
  }
  if (!fields.empty() && !fields.ends_with('\n')) fields += "\r\n";
  if (!changes.empty()) fields += content_type(part, changes);
  if (encoding != part.encoding) fields = with_encoding(fields, name_of(encoding), part.index == 0);
  if (part.index == 0 && !HeaderBlock(fields).find("MIME-Version") && HeaderBlock(fields).find("Content-Type"))
    fields += "MIME-Version: 1.0\r\n";
  std::string body = edited.text;
  if (encoding == TransferEncoding::kQuotedPrintable) body = encode_quoted_printable(edited.text);
  if (encoding == TransferEncoding::kBase64) {
    body = encode_base64_lines(edited.text);
    if (part.end >= structure.root().end) body += "\r\n";
  }
  if (fields != part.header)
    patches.replace(part.header_start, part.header_start + part.header.size(), std::move(fields));
  patches.replace(part.body_start, part.end, std::move(body));
}

std::string with_content(const MimePart& part, std::string_view content) {
  std::string fields;
  for (const HeaderField& field : HeaderBlock(part.header))
    if (!starts_with_folded(field.name, "Content-") && (part.index != 0 || !field.is("MIME-Version")))
      fields += field.raw;
  if (!fields.empty() && !fields.ends_with('\n')) fields += "\r\n";
  if (part.index == 0) fields += "MIME-Version: 1.0\r\n";
  return fields.append(content);
}

Task<Result<ActionResult>> edit_texts(RuleCall call, std::string mailet, const TextEditor& edit) {
  Trail& trail = call.effects.trail();
  Draft* draft = call.transaction.draft;
  if (!draft) co_return ActionResult{};
  auto structure = co_await structure_of(draft);
  if (!structure) co_return std::unexpected(std::move(structure).error());
  MimePatcher patches;
  std::size_t edited = 0;
  for (const std::uint32_t index : shown_texts(*structure)) {
    const MimePart& part = structure->parts[index];
    const std::string name = fmt::format("{}/{} at {}", part.type, part.subtype, part.body_start);
    if (const auto why = guarded(*structure, index)) {
      trail.fact(call.stage, mailet, fmt::format("{} is left: {}", name, *why));
      continue;
    }
    if (part.size() > kMaxEditedText) {
      trail.fact(call.stage, mailet, fmt::format("{} is left: it is longer than {} octets", name, kMaxEditedText));
      continue;
    }
    auto raw = co_await read_part(draft, part);
    if (!raw) co_return std::unexpected(std::move(raw).error());
    const auto text = decode_text(part, *raw);
    if (!text || text->contains("-----BEGIN PGP ")) {
      trail.fact(call.stage, mailet,
                 fmt::format("{} is left: {}", name, text ? "it is of PGP" : "its charset or encoding is not known"));
      continue;
    }
    const auto changed = edit(part, *text);
    if (!changed) continue;
    patch_text(patches, *structure, part, *changed);
    ++edited;
    trail.edit(call.stage, mailet, name);
  }
  if (!edited) co_return ActionResult{};
  co_return co_await rewritten(call, std::move(patches));
}

}  // namespace postern::mailets
