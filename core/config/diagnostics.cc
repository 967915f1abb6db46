#include "postern/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace postern {
namespace {

constexpr std::size_t kMaxShownLine = 200;  // octets of a source line in a message
constexpr std::size_t kMaxWord = 64;        // longer words are not compared

// Terminals obey control characters, and the text may come from anywhere.
void append_visible(std::string& out, std::string_view text) {
  for (char c : text) {
    auto octet = static_cast<unsigned char>(c);
    if (c == '\t')
      out += ' ';
    else if (octet < 0x20 || octet == 0x7f)
      out += fmt::format("\\x{:02x}", octet);
    else
      out += c;
  }
}

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// The line and a caret below the column. Long lines are cut around the column.
void append_excerpt(std::string& out, const Origin& origin) {
  if (!origin.source || origin.line == 0) return;
  std::string_view line = origin.source->line(origin.line);
  if (line.empty()) return;
  std::size_t at = origin.column == 0 ? 0 : std::min<std::size_t>(origin.column - 1, line.size());
  std::size_t start = at > kMaxShownLine / 2 && line.size() > kMaxShownLine ? at - kMaxShownLine / 2 : 0;
  while (start > 0 && is_continuation(line[start])) --start;
  std::size_t length = std::min(kMaxShownLine, line.size() - start);
  while (start + length < line.size() && is_continuation(line[start + length])) ++length;

  std::string number = std::to_string(origin.line);
  out += fmt::format("  {} | ", number);
  append_visible(out, line.substr(start, length));
  out += fmt::format("\n  {:{}} | ", "", number.size());
  std::string before;
  append_visible(before, line.substr(start, at - start));
  for (char c : before)
    if (!is_continuation(c)) out += ' ';
  if (origin.column != 0)
    out += '^';
  else
    out.erase(out.size() - 1);
  out += '\n';
}

// Damerau-Levenshtein in its optimal string alignment form: insertions, deletions, substitutions, swaps of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two(b.size() + 1), one(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) one[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({one[j] + 1, row[j - 1] + 1, one[j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], two[j - 2] + 1);
    }
    std::swap(two, one);
    std::swap(one, row);
  }
  return one[b.size()];
}

// Case and the choice between "-" and "_" are no mistakes that should weigh.
std::string folded(std::string_view word) {
  std::string out(word);
  for (char& c : out) c = c == '-' ? '_' : (c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  return out;
}

}  // namespace

SourceText::SourceText(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {
  starts_.push_back(0);
  for (std::size_t at = 0; at < text_.size(); ++at)
    if (text_[at] == '\n') starts_.push_back(at + 1);
}

std::string_view SourceText::line(std::uint32_t number) const {
  if (number == 0 || number > starts_.size()) return {};
  std::string_view rest = std::string_view(text_).substr(starts_[number - 1]);
  rest = rest.substr(0, rest.find('\n'));
  if (rest.ends_with('\r')) rest.remove_suffix(1);
  return rest;
}

std::string Origin::to_string() const {
  if (!source) return "default";
  if (line == 0) return source->name();
  return column == 0 ? fmt::format("{}:{}", source->name(), line)
                     : fmt::format("{}:{}:{}", source->name(), line, column);
}

void Diagnostics::error(const Origin& origin, std::string text, std::string hint) {
  ++errors_;
  if (items_.size() >= kMaxItems) {
    ++omitted_;
    return;
  }
  items_.push_back({Diagnostic::Severity::kError, {}, origin, std::move(text), std::move(hint)});
}

void Diagnostics::warning(const Origin& origin, std::string code, std::string text, std::string hint) {
  for (Waiver& waiver : waivers_)
    if (waiver.code == code) {
      waiver.used = true;
      return;
    }
  if (items_.size() >= kMaxItems) {
    ++omitted_;
    return;
  }
  items_.push_back({Diagnostic::Severity::kWarning, std::move(code), origin, std::move(text), std::move(hint)});
}

void Diagnostics::waive(std::string code) {
  auto silenced = [&](const Diagnostic& item) {
    return item.severity == Diagnostic::Severity::kWarning && item.code == code;
  };
  bool used = std::erase_if(items_, silenced) != 0;
  waivers_.push_back({std::move(code), used});
}

std::size_t Diagnostics::warnings() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      items_, [](const Diagnostic& item) { return item.severity == Diagnostic::Severity::kWarning; }));
}

std::vector<std::string> Diagnostics::unused_waivers() const {
  std::vector<std::string> unused;
  for (const Waiver& waiver : waivers_)
    if (!waiver.used) unused.push_back(waiver.code);
  return unused;
}

std::string render_diagnostic(const Diagnostic& diagnostic) {
  std::string out;
  if (!diagnostic.origin.is_default()) {
    append_visible(out, diagnostic.origin.to_string());
    out += ": ";
  }
  bool is_error = diagnostic.severity == Diagnostic::Severity::kError;
  out += is_error ? "error: " : "warning: ";
  append_visible(out, diagnostic.text);
  if (!is_error && !diagnostic.code.empty()) out += fmt::format(" [{}]", diagnostic.code);
  out += '\n';
  append_excerpt(out, diagnostic.origin);
  if (!diagnostic.hint.empty()) {
    out += "  ";
    append_visible(out, diagnostic.hint);
    out += '\n';
  }
  return out;
}

std::string Diagnostics::render() const {
  std::vector<const Diagnostic*> sorted;
  for (const Diagnostic& item : items_) sorted.push_back(&item);
  // Files stay in the order in which they came up; the main file is usually first.
  std::vector<std::string_view> files;
  auto rank = [&files](const Diagnostic& item) {
    std::string_view name = item.origin.source ? std::string_view(item.origin.source->name()) : std::string_view();
    auto found = std::ranges::find(files, name);
    if (found == files.end()) found = files.insert(files.end(), name);
    return found - files.begin();
  };
  for (const Diagnostic* item : sorted) rank(*item);
  std::ranges::sort(sorted, {}, [&](const Diagnostic* item) {
    return std::tuple(rank(*item), item->origin.line, item->origin.column, item);
  });
  std::string out;
  for (const Diagnostic* item : sorted) out += render_diagnostic(*item);
  if (omitted_ != 0) out += fmt::format("{} more problems are not shown\n", omitted_);
  return out;
}

std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> known) {
  if (word.empty() || word.size() > kMaxWord) return {};
  std::string wanted = folded(word);
  std::optional<std::string_view> best;
  std::size_t best_distance = std::max<std::size_t>(1, (word.size() + 1) / 3) + 1;
  for (std::string_view candidate : known) {
    if (candidate.size() > kMaxWord) continue;
    std::size_t d = distance(wanted, folded(candidate));
    if (d < best_distance && d < candidate.size()) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
  auto best = nearest_word(word, known);
  return best ? fmt::format("did you mean \"{}\"?", *best) : std::string();
}

}  // namespace postern
