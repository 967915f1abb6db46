#include "core/config/value.h"

#include <fmt/format.h>

#include <algorithm>

namespace postern {

bool ConfigValue::is_tables() const {
  const List* items = list();
  return items != nullptr && !items->empty() &&
         std::ranges::all_of(*items, [](const ConfigValue& item) { return item.table() != nullptr; });
}

const ConfigEntry* ConfigValue::find(std::string_view key) const {
  const Table* entries = table();
  if (entries == nullptr) return nullptr;
  auto found = std::ranges::find(*entries, key, &ConfigEntry::key);
  return found == entries->end() ? nullptr : &*found;
}

ConfigEntry* ConfigValue::find(std::string_view key) {
  return const_cast<ConfigEntry*>(static_cast<const ConfigValue*>(this)->find(key));
}

std::string ConfigValue::describe() const {
  struct Describe {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return fmt::format("the integer {}", value); }
    std::string operator()(double value) const { return fmt::format("the number {}", value); }
    std::string operator()(const std::string& value) const {
      constexpr std::size_t kMaxShown = 60;
      std::string shown = value;
      if (shown.size() > kMaxShown) {
        std::size_t end = kMaxShown;
        while (end > 0 && (static_cast<unsigned char>(shown[end]) & 0xC0) == 0x80) --end;
        shown = shown.substr(0, end) + "...";
      }
      return toml_quoted(shown);
    }
    std::string operator()(Date) const { return "a date or time"; }
    std::string operator()(const List&) const { return "a list"; }
    std::string operator()(const Table&) const { return "a table"; }
  };
  return std::visit(Describe{}, data);
}

std::string toml_key(std::string_view key) {
  bool bare = !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? std::string(key) : toml_quoted(key);
}

std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (octet < 0x20 || octet == 0x7f)
      out += fmt::format("\\u{:04x}", octet);
    else
      out += c;
  }
  return out += '"';
}

std::string joined_path(std::string_view path, std::string_view key) {
  return path.empty() ? toml_key(key) : fmt::format("{}.{}", path, toml_key(key));
}

}  // namespace postern
