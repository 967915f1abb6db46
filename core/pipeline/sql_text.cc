// The SQL part of effect_texts.h: statements with their arguments, and rows as one line of JSON.
//
// JSON knows neither octets nor every real number: a text that is no UTF-8 is {"hex":"00ff"}, a number that is none
// {"real":"nan"}.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/pipeline/effect_texts.h"
#include "postern/text.h"
#include "postern/trail.h"

namespace postern {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kHex = "hex", kReal = "real";

struct ValueJson {
  Json operator()(std::monostate) const { return nullptr; }
  Json operator()(bool yes) const { return yes; }
  Json operator()(std::int64_t number) const { return number; }
  Json operator()(double number) const {
    if (std::isfinite(number)) return number;
    return {{kReal, std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf"}};
  }
  Json operator()(const std::string& text) const {
    if (is_valid_utf8(text)) return text;
    return {{kHex, hex_encode(text)}};
  }
};

std::optional<SqlValue> odd_value(const Json& json) {
  if (json.size() != 1 || !json.begin().value().is_string()) return std::nullopt;
  const auto& text = json.begin().value().get_ref<const std::string&>();
  if (json.begin().key() == kHex) {
    auto octets = hex_decode(text);
    return octets ? std::optional<SqlValue>(std::move(*octets)) : std::nullopt;
  }
  if (json.begin().key() != kReal) return std::nullopt;
  if (text == "nan") return std::nan("");
  if (text == "inf") return HUGE_VAL;
  return text == "-inf" ? std::optional<SqlValue>(-HUGE_VAL) : std::nullopt;
}

std::optional<SqlValue> parse_value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return SqlValue();
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return json.get<std::int64_t>();
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return json.get<std::string>();
    case Json::value_t::object:
      return odd_value(json);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string sql_question(std::string_view database, std::string_view statement,
                         const std::vector<SqlArgument>& arguments) {
  std::string out(database);
  out.append(": ").append(statement);
  if (arguments.empty()) return fit_question(std::move(out));
  out += " [";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (i) out += ", ";
    out += arguments[i].secret ? std::string(kSecretText) : std::visit(ValueJson{}, arguments[i].value).dump();
  }
  return fit_question(out + "]");
}

std::string sql_text(const SqlRows& rows) {
  Json lines = Json::array();
  std::size_t octets = 0;
  for (const auto& row : rows.rows) {
    Json line = Json::array();
    for (const SqlValue& value : row) {
      line.push_back(std::visit(ValueJson{}, value));
      const auto* text = std::get_if<std::string>(&value);
      octets += 2 + (text ? text->size() : 0);
    }
    lines.push_back(std::move(line));
    if (octets > Trail::kMaxText) break;  // it is too long already: what follows would be cut
  }
  // In the order in which people read it; the library would sort the keys.
  return fit_answer(fmt::format("{{\"columns\":{},\"rows\":{},\"changed\":{}}}",
                                Json(rows.columns).dump(-1, ' ', false, Json::error_handler_t::replace), lines.dump(),
                                rows.changed));
}

std::optional<SqlRows> parse_sql(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("columns") || !json.contains("rows")) return std::nullopt;
  const Json &columns = json["columns"], &lines = json["rows"];
  if (!columns.is_array() || !lines.is_array()) return std::nullopt;
  SqlRows out;
  for (const Json& column : columns) {
    if (!column.is_string()) return std::nullopt;
    out.columns.push_back(column.get<std::string>());
  }
  for (const Json& line : lines) {
    if (!line.is_array() || line.size() != out.columns.size()) return std::nullopt;
    auto& row = out.rows.emplace_back();
    for (const Json& cell : line) {
      auto value = parse_value(cell);
      if (!value) return std::nullopt;
      row.push_back(std::move(*value));
    }
  }
  if (json.contains("changed") && json["changed"].is_number_unsigned())
    out.changed = json["changed"].get<std::uint64_t>();
  return out;
}

}  // namespace postern
