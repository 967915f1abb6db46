// HeaderEdits: a list of what to do, put to a header only when it is written out.
#include <algorithm>
#include <ranges>

#include "core/mail/chars.h"
#include "core/mail/record.h"
#include "postern/message.h"

namespace postern {
namespace {

constexpr std::size_t kColumns = 78;       // RFC 5322 §2.1.1
constexpr std::size_t kMaxFieldName = 76;  // so that a name and its colon fit a folded line
constexpr std::size_t kMaxFieldText = 64 * 1024;
constexpr std::uint32_t kMaxNth = 1'000'000;
constexpr char kVersion = 1;

// A value that came with line breaks: each becomes a fold, lines without text go.
void append_broken_value(std::string& out, std::string_view value) {
  bool first = true;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find_first_of("\r\n"), value.size());
    std::string_view line = value.substr(0, end);
    value.remove_prefix(std::min(end + 1, value.size()));
    while (!line.empty() && mail::is_blank(line.back())) line.remove_suffix(1);
    if (mail::trim(line).empty()) continue;
    if (!first) out += "\r\n";
    if (first || !mail::is_blank(line.front())) out += ' ';
    out += first ? mail::trim(line) : line;
    first = false;
  }
}

// A value on one line: broken before blanks, so that no line that can be shorter passes kColumns.
void append_folded_value(std::string& out, std::string_view value) {
  std::size_t column = out.size();
  bool first = true;
  for (std::size_t at = 0; at < value.size();) {
    std::size_t end = at;
    while (end < value.size() && mail::is_blank(value[end])) ++end;
    while (end < value.size() && !mail::is_blank(value[end])) ++end;
    const std::string_view word = value.substr(at, end - at);
    const std::size_t size = word.size() + (first ? 1 : 0);
    if (!first && column + size > kColumns) {
      out += "\r\n";
      column = 0;
    }
    if (first) out += ' ';
    out += word;
    column += size;
    first = false;
    at = end;
  }
}

// CR and LF come only as CRLF, and one stands at the end.
bool has_whole_lines(std::string_view field) {
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\n' && (i == 0 || field[i - 1] != '\r')) return false;
    if (field[i] == '\r' && (i + 1 == field.size() || field[i + 1] != '\n')) return false;
  }
  return field.ends_with("\r\n");
}

}  // namespace

bool is_field_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFieldName &&
         std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f && c != ':'; });
}

std::string make_field(std::string_view name, std::string_view value) {
  std::string clean(mail::trim(value.substr(0, kMaxFieldText)));
  std::ranges::replace(clean, '\0', ' ');
  std::string out(name);
  out += ':';
  if (clean.find_first_of("\r\n") != std::string::npos) {
    append_broken_value(out, clean);
  } else {
    append_folded_value(out, clean);
  }
  return out += "\r\n";
}

bool HeaderEdits::push(Kind kind, std::size_t nth, std::string_view name, std::string field) {
  if (!is_field_name(name) || edits_.size() >= kMaxEdits || nth > kMaxNth) return false;
  edits_.push_back({kind, static_cast<std::uint32_t>(nth), std::string(name), std::move(field)});
  return true;
}

bool HeaderEdits::add_top(std::string_view name, std::string_view value) {
  return push(Kind::kAddTop, 0, name, make_field(name, value));
}
bool HeaderEdits::append(std::string_view name, std::string_view value) {
  return push(Kind::kAppend, 0, name, make_field(name, value));
}
bool HeaderEdits::remove(std::string_view name, std::size_t nth) {
  return push(Kind::kRemove, nth, name, {});
}
bool HeaderEdits::remove_all(std::string_view name) {
  return push(Kind::kRemoveAll, 0, name, {});
}
bool HeaderEdits::replace(std::string_view name, std::size_t nth, std::string_view value) {
  return push(Kind::kReplace, nth, name, make_field(name, value));
}

bool HeaderEdits::merge(const HeaderEdits& later) {
  if (edits_.size() + later.edits_.size() > kMaxEdits) return false;
  edits_.insert(edits_.end(), later.edits_.begin(), later.edits_.end());
  return true;
}

std::string HeaderEdits::Pieces::join() const {
  std::string out;
  out.reserve(size);
  for (std::string_view part : parts) out += part;
  return out;
}

namespace {

// Puts pieces together, joining neighbours in the block into one.
class PieceList {
 public:
  explicit PieceList(HeaderEdits::Pieces& pieces) : pieces_(pieces) {}
  void add(std::string_view part) {
    if (part.empty()) return;
    auto& parts = pieces_.parts;
    pieces_.size += part.size();
    if (!parts.empty() && parts.back().data() + parts.back().size() == part.data() && in_block_) {
      parts.back() = {parts.back().data(), parts.back().size() + part.size()};
    } else {
      parts.push_back(part);
    }
    in_block_ = false;
  }
  void add_from_block(std::string_view part, bool follows_block) {
    in_block_ = follows_block;
    add(part);
  }

 private:
  HeaderEdits::Pieces& pieces_;
  bool in_block_ = false;
};

struct Counter {
  std::string_view name;
  std::uint32_t seen = 0;
};

std::uint32_t* counter_of(std::vector<Counter>& counters, std::string_view name) {
  const auto at = std::ranges::find_if(counters, [&](const Counter& c) { return mail::iequals(c.name, name); });
  return at == counters.end() ? nullptr : &at->seen;
}

}  // namespace

HeaderEdits::Pieces HeaderEdits::apply(const HeaderBlock& block) const {
  Pieces pieces;
  PieceList out(pieces);
  std::vector<Counter> counters;
  std::vector<bool> taken_back(edits_.size());
  for (std::size_t i = 0; i < edits_.size(); ++i) {
    if (counter_of(counters, edits_[i].name) == nullptr) counters.push_back({edits_[i].name});
    for (std::size_t k = i + 1; k < edits_.size() && !taken_back[i]; ++k) {
      taken_back[i] = edits_[k].kind == Kind::kRemoveAll && mail::iequals(edits_[k].name, edits_[i].name);
    }
  }
  for (std::size_t i = edits_.size(); i-- > 0;) {
    if (edits_[i].kind == Kind::kAddTop && !taken_back[i]) out.add(edits_[i].field);
  }
  // The last edit that names a field decides about it.
  const auto decision = [&](std::string_view name, std::uint32_t nth) -> const Edit* {
    for (const Edit& edit : edits_ | std::views::reverse) {
      const bool named = (edit.kind == Kind::kRemove || edit.kind == Kind::kReplace) && edit.nth == nth;
      if ((named || edit.kind == Kind::kRemoveAll) && mail::iequals(edit.name, name)) return &edit;
    }
    return nullptr;
  };
  bool kept_last = false;
  for (const HeaderField& field : block) {
    std::uint32_t* seen = counter_of(counters, field.name);
    const Edit* edit = seen == nullptr ? nullptr : decision(field.name, (*seen)++);
    if (edit == nullptr) {
      out.add_from_block(field.raw, kept_last);
    } else {
      out.add(edit->field);
    }
    kept_last = edit == nullptr;
    pieces.consumed += field.raw.size();
  }
  // A header that broke off must not swallow what is appended.
  const auto end_line = [&] {
    if (!pieces.parts.empty() && !pieces.parts.back().ends_with('\n')) out.add("\r\n");
  };
  for (std::size_t i = 0; i < edits_.size(); ++i) {
    const Edit& edit = edits_[i];
    const bool missing = edit.kind == Kind::kReplace && edit.nth >= *counter_of(counters, edit.name) &&
                         decision(edit.name, edit.nth) == &edit;
    if (!(edit.kind == Kind::kAppend && !taken_back[i]) && !missing) continue;
    end_line();
    out.add(edit.field);
  }
  return pieces;
}

std::vector<std::string> HeaderEdits::describe() const {
  constexpr std::array<std::string_view, 5> kVerbs{"add-top ", "append ", "remove ", "remove-all ", "replace "};
  std::vector<std::string> lines;
  for (const Edit& edit : edits_) {
    std::string line(kVerbs[static_cast<std::size_t>(edit.kind)]);
    if (edit.kind == Kind::kReplace) line += std::to_string(edit.nth) + " ";
    const HeaderBlock field(edit.field);
    line += edit.name;
    if (edit.kind == Kind::kRemove) line += " " + std::to_string(edit.nth);
    if (!edit.field.empty()) line += ": " + field.value(edit.name);
    lines.push_back(std::move(line));
  }
  return lines;
}

void HeaderEdits::encode(std::string& out) const {
  out += kVersion;
  std::string payload;
  for (const Edit& edit : edits_) {
    payload.clear();
    mail::put_varint(payload, edit.nth);
    mail::put_text(payload, edit.name);
    mail::put_text(payload, edit.field);
    // What an unknown kind of edit would have done is not to be guessed.
    mail::put_field(out, static_cast<std::uint8_t>(edit.kind) | mail::kCritical, payload);
  }
}

Result<HeaderEdits> HeaderEdits::decode(std::string_view bytes) {
  mail::RecordReader reader(bytes);
  if (reader.octet() != kVersion) return fault("edits.version", bytes.empty() ? "empty record" : "unknown version");
  HeaderEdits edits;
  while (!reader.at_end()) {
    const std::uint8_t tag = reader.octet();
    mail::RecordReader payload(reader.text());
    if ((tag & mail::kCritical) == 0) continue;
    const auto kind = static_cast<Kind>(tag & ~mail::kCritical);
    const std::uint64_t nth = payload.varint();
    const std::string_view name = payload.text();
    const std::string_view field = payload.text();
    if (reader.failed() || payload.failed() || kind > Kind::kReplace)
      return fault("edits.damaged", "edit " + std::to_string(edits.size()));
    const bool writes = kind == Kind::kAddTop || kind == Kind::kAppend || kind == Kind::kReplace;
    const auto first = HeaderBlock(field).begin();
    const bool whole = writes ? has_whole_lines(field) && first != std::default_sentinel &&
                                    first->raw.size() == field.size() && first->is(name)
                              : field.empty();
    if (!whole || !edits.push(kind, nth, name, std::string(field)))
      return fault("edits.damaged", "field of edit " + std::to_string(edits.size()));
  }
  if (reader.failed()) return fault("edits.damaged", "cut short");
  return edits;
}

}  // namespace postern
