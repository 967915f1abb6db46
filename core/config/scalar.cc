#include "core/config/scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace postern {
namespace {

// "a", "an" and what a value of the kind looks like.
struct KindWords {
  std::string_view one, many, with_article, hint;
};
const KindWords& words(ScalarKind kind) {
  static constexpr KindWords kWords[] = {
      {"boolean", "booleans", "true or false", "write true or false, without quotes"},
      {"integer", "integers", "an integer", {}},
      {"number", "numbers", "a number", {}},
      {"text", "texts", "a text", "texts stand in quotes"},
      {"size", "sizes", "a size", "write it with its unit, in quotes: \"512 KiB\", \"25 MiB\", \"1 GB\""},
      {"duration", "durations", "a duration", "write it with its unit, in quotes: \"30s\", \"5m\", \"2h\", \"1d\""},
      {"endpoint", "endpoints", "an endpoint", "write \"192.0.2.1:25\", \"[2001:db8::1]:25\" or \"unix:/path\""},
      {"IP address", "IP addresses", "an IP address", "write \"192.0.2.1\" or \"2001:db8::1\""},
      {"IP network", "IP networks", "an IP network",
       "write \"192.0.2.0/24\" or \"2001:db8::/32\", without bits set beyond the prefix"},
      {"path", "paths", "a path", "texts stand in quotes"},
      {"word", "words", "a word", "texts stand in quotes"},
  };
  return kWords[static_cast<std::size_t>(kind)];
}

std::nullopt_t fail(const ConfigValue& value, const ScalarContext& context, std::string text, std::string hint = {}) {
  Origin origin = context.field.secret ? without_text(value.origin) : value.origin;
  context.diagnostics.error(origin, context.path + " " + std::move(text), std::move(hint));
  return std::nullopt;
}

std::string shown(const ConfigValue& value, const ScalarContext& context) {
  return context.field.secret ? "something else (not shown, being a secret)" : value.describe();
}

std::nullopt_t wrong_kind(const ConfigValue& value, const ScalarContext& context) {
  const KindWords& kind = words(context.field.kind);
  return fail(value, context, fmt::format("should be {}, but is {}", kind.with_article, shown(value, context)),
              std::string(kind.hint));
}

bool within_limits(const ConfigValue& value, const ScalarContext& context, std::int64_t number) {
  const FieldInfo& field = context.field;
  bool low = field.min && number < *field.min, high = field.max && number > *field.max;
  if (!low && !high) return true;
  std::string found = field.secret ? "out of range" : limit_to_text(field, number);
  fail(value, context,
       low ? fmt::format("is {}; the least allowed is {}", found, limit_to_text(field, *field.min))
           : fmt::format("is {}; the most allowed is {}", found, limit_to_text(field, *field.max)),
       is_octal(field) ? "write it in octal: " + field.example : "");
  return false;
}

std::optional<ConfigScalar> read_number(const ConfigValue& value, const ScalarContext& context) {
  const FieldInfo& field = context.field;
  if (field.kind == ScalarKind::kInteger) {
    const auto* number = std::get_if<std::int64_t>(&value.data);
    if (number == nullptr) return wrong_kind(value, context);
    if (!within_limits(value, context, *number)) return {};
    return *number;
  }
  const auto* whole = std::get_if<std::int64_t>(&value.data);
  const auto* real = std::get_if<double>(&value.data);
  if (whole == nullptr && real == nullptr) return wrong_kind(value, context);
  double number = whole != nullptr ? static_cast<double>(*whole) : *real;
  if (!std::isfinite(number)) return fail(value, context, "should be a finite number");
  if (field.float_min && number < *field.float_min)
    return fail(value, context, fmt::format("is {}; the least allowed is {}", number, *field.float_min));
  if (field.float_max && number > *field.float_max)
    return fail(value, context, fmt::format("is {}; the most allowed is {}", number, *field.float_max));
  return number;
}

// A size or a duration: a text with a unit, or a plain 0.
std::optional<ConfigScalar> read_measure(const ConfigValue& value, const ScalarContext& context) {
  const auto* text = std::get_if<std::string>(&value.data);
  const auto* number = std::get_if<std::int64_t>(&value.data);
  if (text == nullptr && (number == nullptr || *number != 0)) return wrong_kind(value, context);
  std::string_view written = text != nullptr ? std::string_view(*text) : "0";
  if (context.field.kind == ScalarKind::kSize) {
    auto size = parse_size(written);
    if (!size) return wrong_kind(value, context);
    auto bytes = static_cast<std::int64_t>(std::min<std::uint64_t>(size->bytes, INT64_MAX));
    if (!within_limits(value, context, bytes)) return {};
    return *size;
  }
  auto duration = parse_duration(written);
  if (!duration) return wrong_kind(value, context);
  if (!within_limits(value, context, duration->count())) return {};
  return *duration;
}

std::optional<ConfigScalar> read_word(const ConfigValue& value, const ScalarContext& context, const std::string& text) {
  const FieldInfo& field = context.field;
  auto found = std::ranges::find(field.allowed, text);
  if (found != field.allowed.end()) {
    if (field.kind == ScalarKind::kEnum) return static_cast<std::int64_t>(found - field.allowed.begin());
    return text;
  }
  std::string list;
  std::vector<std::string_view> known;
  for (const std::string& word : field.allowed) {
    list += (list.empty() ? "" : ", ") + toml_quoted(word);
    known.push_back(word);
  }
  return fail(value, context, fmt::format("is {}; allowed are {}", shown(value, context), list),
              did_you_mean(text, known));
}

std::optional<ConfigScalar> read_string(const ConfigValue& value, const ScalarContext& context,
                                        const std::string& text) {
  const FieldInfo& field = context.field;
  for (char c : text) {
    auto octet = static_cast<unsigned char>(c);
    bool allowed = (octet >= 0x20 && octet != 0x7f) || (field.multiline && (c == '\n' || c == '\t'));
    if (!allowed)
      return fail(value, context, fmt::format("contains a control character (\\x{:02x})", octet),
                  field.multiline ? "" : "this text must be a single line");
  }
  if (field.kind == ScalarKind::kPath) {
    if (text.empty()) return std::filesystem::path();
    return (context.folder / text).lexically_normal();
  }
  if (!field.allowed.empty()) return read_word(value, context, text);
  if (text.size() < field.min_length)
    return fail(value, context,
                text.empty()
                    ? "is empty"
                    : fmt::format("is {} octets long; the least allowed is {}", text.size(), field.min_length));
  if (text.size() > field.max_length)
    return fail(value, context,
                fmt::format("is {} octets long; the most allowed is {}", text.size(), field.max_length));
  return text;
}

template <class T>
std::optional<ConfigScalar> parsed(const ConfigValue& value, const ScalarContext& context, const std::string& text) {
  if (auto address = T::parse(text)) return *std::move(address);
  return wrong_kind(value, context);
}

std::optional<ConfigScalar> read_text(const ConfigValue& value, const ScalarContext& context) {
  const auto* text = std::get_if<std::string>(&value.data);
  if (text == nullptr) return wrong_kind(value, context);
  switch (context.field.kind) {
    case ScalarKind::kEnum:
      return read_word(value, context, *text);
    case ScalarKind::kEndpoint:
      return parsed<Endpoint>(value, context, *text);
    case ScalarKind::kAddress:
      return parsed<IpAddress>(value, context, *text);
    case ScalarKind::kNetwork:
      return parsed<IpNetwork>(value, context, *text);
    default:
      return read_string(value, context, *text);
  }
}

std::optional<ConfigScalar> read_unchecked(const ConfigValue& value, const ScalarContext& context) {
  switch (context.field.kind) {
    case ScalarKind::kBool:
      if (const auto* truth = std::get_if<bool>(&value.data)) return *truth;
      return wrong_kind(value, context);
    case ScalarKind::kInteger:
    case ScalarKind::kFloat:
      return read_number(value, context);
    case ScalarKind::kSize:
    case ScalarKind::kDuration:
      return read_measure(value, context);
    default:
      return read_text(value, context);
  }
}

struct Write {
  const FieldInfo& field;
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const {
    if (field.kind != ScalarKind::kEnum) return limit_to_text(field, value);
    auto at = static_cast<std::size_t>(value);
    return at < field.allowed.size() ? toml_quoted(field.allowed[at]) : "\"?\"";
  }
  std::string operator()(double value) const {
    std::string text = fmt::format("{}", value);
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  std::string operator()(const std::string& value) const { return toml_quoted(value); }
  std::string operator()(Size value) const { return toml_quoted(to_text(value)); }
  std::string operator()(Duration value) const { return toml_quoted(to_text(value)); }
  std::string operator()(const std::filesystem::path& value) const { return toml_quoted(value.string()); }
  template <class Address>
  std::string operator()(const Address& value) const {
    return toml_quoted(value.to_string());
  }
};

}  // namespace

Origin without_text(const Origin& origin) {
  if (!origin.source) return origin;
  return {std::make_shared<SourceText>(origin.source->name(), ""), origin.line, origin.column};
}

std::optional<ConfigScalar> read_scalar(const ConfigValue& value, const ScalarContext& context) {
  auto scalar = read_unchecked(value, context);
  if (scalar && context.field.check)
    if (auto wrong = context.field.check(*scalar)) return fail(value, context, *std::move(wrong));
  return scalar;
}

std::string scalar_to_toml(const FieldInfo& field, const ConfigScalar& scalar) {
  return std::visit(Write{field}, scalar);
}

std::string scalars_to_toml(const FieldInfo& field, const std::vector<ConfigScalar>& scalars) {
  if (field.shape != FieldShape::kList) return scalars.empty() ? "" : scalar_to_toml(field, scalars.front());
  std::string out = "[";
  for (const ConfigScalar& scalar : scalars) {
    if (out.size() > 1) out += ", ";
    out += scalar_to_toml(field, scalar);
  }
  return out += "]";
}

std::string map_to_toml(const FieldInfo& field, const std::vector<std::pair<std::string, ConfigScalar>>& entries) {
  std::string out;
  for (const auto& [key, scalar] : entries)
    out += fmt::format("{}{} = {}", out.empty() ? "{ " : ", ", toml_key(key), scalar_to_toml(field, scalar));
  return out.empty() ? "{}" : out + " }";
}

std::string kind_name(ScalarKind kind, bool plural) {
  return std::string(plural ? words(kind).many : words(kind).one);
}

std::string limit_to_text(const FieldInfo& field, std::int64_t limit) {
  if (field.kind == ScalarKind::kSize) return to_text(Size{static_cast<std::uint64_t>(limit)});
  if (field.kind == ScalarKind::kDuration) return to_text(Duration(limit));
  if (is_octal(field) && limit >= 0) return fmt::format("0o{:o}", limit);
  return std::to_string(limit);
}

bool is_octal(const FieldInfo& field) {
  return field.kind == ScalarKind::kInteger && field.example.starts_with("0o");
}

bool shows_minimum(const FieldInfo& field) {
  if (!field.min) return false;
  // The least values of the signed types; for an unsigned one 0 is worth saying.
  for (std::int64_t of_type : {std::int64_t{INT8_MIN}, std::int64_t{INT16_MIN}, std::int64_t{INT32_MIN}, INT64_MIN})
    if (field.kind == ScalarKind::kInteger && *field.min == of_type) return false;
  return true;
}

bool shows_maximum(const FieldInfo& field) {
  if (!field.max) return false;
  for (std::int64_t of_type : {std::int64_t{INT32_MAX}, std::int64_t{UINT32_MAX}, INT64_MAX})
    if (*field.max == of_type) return false;
  return true;
}

}  // namespace postern
