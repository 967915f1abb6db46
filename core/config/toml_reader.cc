#include "core/config/toml_reader.h"

#include <exception>

// The library checks its own expectations with assertions, and some of them fail for wrong input ("[!" for one). With
// NDEBUG it would even assume that they hold. Both are taken from it: here a failed one is an exception, in every
// build.
namespace postern {
namespace {
struct LibraryRefused : std::exception {};
[[noreturn]] void refuse_in_library() {
  throw LibraryRefused();
}
}  // namespace
}  // namespace postern
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::postern::refuse_in_library())
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "core/config/toml_guard.h"

namespace postern {
namespace {

constexpr std::uint32_t kMaxSearchedLines = 1'000'000;

using Source = std::shared_ptr<const SourceText>;

// The library counts columns in characters; an Origin counts octets.
Origin origin_of(const Source& source, const toml::source_position& at) {
  std::string_view line = source->line(at.line);
  std::size_t octet = 0;
  for (std::uint32_t seen = 1; seen < at.column && octet < line.size(); ++seen) {
    ++octet;
    while (octet < line.size() && (static_cast<unsigned char>(line[octet]) & 0xC0) == 0x80) ++octet;
  }
  return {source, at.line, at.column == 0 ? 0 : static_cast<std::uint32_t>(octet + 1)};
}

class Converter {
 public:
  Converter(const Source& source, Diagnostics& diagnostics) : source_(source), diagnostics_(diagnostics) {}

  ConfigValue table(const toml::table& from, std::size_t depth) {
    ConfigValue value{ConfigValue::Table(), origin_of(source_, from.source().begin)};
    auto& entries = *value.table();
    for (auto&& [key, node] : from)
      entries.push_back({std::string(key.str()), origin_of(source_, key.source().begin), convert(node, depth)});
    std::ranges::sort(entries, [](const ConfigEntry& a, const ConfigEntry& b) {
      return std::tie(a.origin.line, a.origin.column, a.key) < std::tie(b.origin.line, b.origin.column, b.key);
    });
    return value;
  }

 private:
  ConfigValue convert(const toml::node& node, std::size_t depth) {
    Origin origin = origin_of(source_, node.source().begin);
    if (depth > kMaxConfigDepth) {
      if (!std::exchange(too_deep_, true))
        diagnostics_.error(origin, fmt::format("tables and lists are nested more than {} deep", kMaxConfigDepth));
      return {false, origin};
    }
    if (const auto* inner = node.as_table()) return table(*inner, depth + 1);
    if (const auto* array = node.as_array()) {
      ConfigValue value{ConfigValue::List(), origin};
      for (const toml::node& element : *array) value.list()->push_back(convert(element, depth + 1));
      return value;
    }
    if (const auto* text = node.as_string()) return {text->get(), origin};
    if (const auto* number = node.as_integer()) return {number->get(), origin};
    if (const auto* real = node.as_floating_point()) return {real->get(), origin};
    if (const auto* truth = node.as_boolean()) return {truth->get(), origin};
    return {ConfigValue::Date{}, origin};
  }

  const Source& source_;
  Diagnostics& diagnostics_;
  bool too_deep_ = false;
};

struct Plain {
  std::string text, hint;
};

// What is between the n-th pair of single quotes in the library's message.
std::string quoted_part(std::string_view message) {
  std::size_t start = message.find('\'');
  if (start == std::string_view::npos) return {};
  std::size_t end = message.rfind('\'');
  return end > start ? std::string(message.substr(start + 1, end - start - 1)) : std::string();
}

constexpr std::string_view kQuoteHint = "texts, sizes and durations stand in quotes: \"25 MiB\", \"10m\"";

Plain at_end_of_file(std::string_view message) {
  auto parsing = [&](std::string_view what) {
    return message.find(fmt::format("parsing {}", what)) != std::string_view::npos;
  };
  if (parsing("string")) return {"this text has no closing quote", {}};
  if (parsing("table header")) return {"this table's name has no closing bracket", {}};
  if (parsing("array")) return {"this list has no closing bracket", {}};
  if (parsing("inline table")) return {"this table has no closing brace", {}};
  if (parsing("key-value pair")) return {"a key stands here without a value", "settings are written key = value"};
  return {"the file ends too early", {}};
}

// The library speaks of its grammar; an administrator wants to know what to change.
Plain in_plain_words(std::string_view message, bool at_line_end) {
  auto has = [&](std::string_view part) { return message.find(part) != std::string_view::npos; };
  std::string found = quoted_part(message);
  if (has("end-of-file")) return at_end_of_file(message);
  if (has("cannot redefine")) {
    std::string_view name = found;
    bool is_table = has("parsing table header");
    return {fmt::format("\"{}\" is defined a second time here", name.substr(0, name.find('\''))),
            is_table ? "put its settings together in one place; tables that may be repeated are written [[name]]" : ""};
  }
  if (at_line_end && has("parsing table header")) return {"this table's name has no closing bracket", {}};
  if (at_line_end && has("parsing string")) return {"this text has no closing quote on its line", {}};
  if (at_line_end && has("parsing key-value pair") && !has("expected '='")) return {"a value is missing here", {}};
  if (has("expected a comment or whitespace"))
    return {"something follows the value that does not belong to it", std::string(kQuoteHint)};
  if (has("expected '='")) return {"\"=\" is missing after the key", "settings are written key = value"};
  if (has("parsing boolean")) return {"this is not a value", std::string(kQuoteHint)};
  if (has("unknown escape"))
    return {fmt::format("\"{}\" means nothing in a text", found), "write \\\\ for a backslash, or use single quotes"};
  if (has("leading zeroes")) return {"a number must not begin with 0", {}};
  if (has("not representable")) return {"this number is too large", {}};
  if (has("utf-8")) return {"the file is not written in UTF-8 here", {}};
  if (has("control characters")) return {"a control character stands here", "write it as \\uXXXX, or remove it"};
  if (has("dangling comma")) return {"a comma stands before the closing brace", {}};
  if (has("parsing inline table") && has("\\n")) return {"a table in braces must stand on one line", {}};
  if (has("parsing string")) return {"this text has no closing quote on its line", {}};
  if (has("parsing table header")) return {"this table's name is not written as [name] or [[name]]", {}};
  if (has("integer") || has("floating-point") || has("value") || has("date") || has("time"))
    return {"this is not a value", std::string(kQuoteHint)};
  if (has("key") || has("root table"))
    return {"a key or a [table] should stand here", "keys of other characters than a-z, 0-9, _ and - stand in quotes"};
  return {std::string(message), {}};
}

// Where the library gave up without saying where: most probably at a header whose name begins with a wrong character.
Origin suspect_header(const Source& source) {
  for (std::uint32_t number = 1; number < kMaxSearchedLines; ++number) {
    std::string_view line = source->line(number);
    std::size_t at = line.find_first_not_of(" \t");
    if (at == std::string_view::npos || line[at] != '[') continue;
    at = line.find_first_not_of("[ \t", at);
    auto octet = at == std::string_view::npos ? '\0' : line[at];
    bool is_name = (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') || (octet >= '0' && octet <= '9') ||
                   octet == '_' || octet == '-' || octet == '"' || octet == '\'' || octet == ']';
    if (!is_name)
      return {source, number, static_cast<std::uint32_t>(at == std::string_view::npos ? line.size() : at + 1)};
  }
  return {source, 0, 0};
}

}  // namespace

std::optional<ConfigValue> read_toml(const Source& source, Diagnostics& diagnostics) {
  if (!guard_toml(source, diagnostics)) return {};
  toml::parse_result result;
  try {
    result = toml::parse(std::string_view(source->text()), std::string_view(source->name()));
  } catch (const LibraryRefused&) {
    diagnostics.error(suspect_header(source), "this table's name is not written as [name] or [[name]]",
                      "names of other characters than a-z, 0-9, _ and - stand in quotes");
    return {};
  }
  if (!result) {
    Origin origin = origin_of(source, result.error().source().begin);
    bool at_line_end = origin.column > source->line(origin.line).size();
    Plain plain = in_plain_words(result.error().description(), at_line_end);
    diagnostics.error(origin, plain.text, plain.hint);
    return {};
  }
  std::size_t before = diagnostics.errors();
  ConfigValue root = Converter(source, diagnostics).table(result.table(), 1);
  if (diagnostics.errors() != before) return {};
  root.origin = {source, 0, 0};
  return root;
}

}  // namespace postern
