#include "arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/config.h"
#include "postern/text.h"

namespace postern::mailets {
namespace {

std::string_view kind_of(const ScriptValue& value) {
  static constexpr std::string_view kKinds[] = {"nothing",  "a boolean", "an integer", "a number",
                                                "a string", "a list",    "a table",    "a matcher"};
  return kKinds[value.value.index()];
}

/// The n of a key "1", "2" ...; 0 for other keys.
std::size_t position_of(std::string_view key) {
  return to_number<std::size_t>(key, 1, 10'000).value_or(0);
}

}  // namespace

Arguments::Arguments(const ScriptValue& value, std::vector<std::string_view> keys) : keys_(std::move(keys)) {
  const ScriptValue* whole = &value;
  // `f { "a" }` may come as a list in a list, by an engine that keeps the call and the table apart.
  if (const auto* list = std::get_if<ScriptValue::List>(&whole->value);
      list && list->size() == 1 && list->front().value.index() >= 5 &&
      !std::holds_alternative<std::shared_ptr<Matcher>>(list->front().value))
    whole = &list->front();
  if (std::holds_alternative<std::monostate>(whole->value)) return;
  if (const auto* list = std::get_if<ScriptValue::List>(&whole->value)) {
    for (const ScriptValue& one : *list) positions_.push_back(&one);
  } else if ((named_ = std::get_if<ScriptValue::Map>(&whole->value))) {
    for (std::size_t n = 1;; ++n) {
      const auto found = named_->find(std::to_string(n));
      if (found == named_->end()) break;
      positions_.push_back(&found->second);
    }
  } else {
    positions_.push_back(whole);
  }
}

const ScriptValue* Arguments::find(std::string_view key) const {
  if (named_)
    if (const auto found = named_->find(key); found != named_->end()) return &found->second;
  const auto place = static_cast<std::size_t>(std::ranges::find(keys_, key) - keys_.begin());
  return place < positions_.size() ? positions_[place] : nullptr;
}

const ScriptValue* Arguments::take(std::string_view key) {
  taken_.emplace(key);
  const auto place = static_cast<std::size_t>(std::ranges::find(keys_, key) - keys_.begin());
  positions_taken_ = std::max(positions_taken_, place + 1);
  return find(key);
}

void Arguments::complain(std::string what) {
  if (complaint_.empty()) complaint_ = std::move(what);
}

std::string Arguments::text(std::string_view key) {
  if (!take(key)) complain(fmt::format("needs {}", key));
  return text(key, {});
}

std::string Arguments::text(std::string_view key, std::string_view otherwise) {
  const ScriptValue* value = take(key);
  if (!value) return std::string(otherwise);
  if (const auto* text = std::get_if<std::string>(&value->value)) return *text;
  if (const auto* number = std::get_if<std::int64_t>(&value->value)) return std::to_string(*number);
  complain(fmt::format("{} must be a string, not {}", key, kind_of(*value)));
  return {};
}

std::optional<std::int64_t> Arguments::integer(std::string_view key, std::int64_t low, std::int64_t high) {
  const ScriptValue* value = take(key);
  if (!value) return std::nullopt;
  const auto* number = std::get_if<std::int64_t>(&value->value);
  if (!number)
    complain(fmt::format("{} must be an integer, not {}", key, kind_of(*value)));
  else if (*number < low || *number > high)
    complain(fmt::format("{} must be from {} to {}", key, low, high));
  else
    return *number;
  return std::nullopt;
}

std::optional<double> Arguments::number(std::string_view key) {
  const ScriptValue* value = take(key);
  if (!value) return std::nullopt;
  if (const auto* whole = std::get_if<std::int64_t>(&value->value)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&value->value)) return *real;
  complain(fmt::format("{} must be a number, not {}", key, kind_of(*value)));
  return std::nullopt;
}

std::optional<std::uint64_t> Arguments::size(std::string_view key) {
  const ScriptValue* value = take(key);
  if (!value) return std::nullopt;
  if (const auto* octets = std::get_if<std::int64_t>(&value->value); octets && *octets >= 0)
    return static_cast<std::uint64_t>(*octets);
  if (const auto* text = std::get_if<std::string>(&value->value))
    if (const auto parsed = parse_size(*text)) return parsed->bytes;
  complain(fmt::format("{} must be a size such as \"25 MiB\"", key));
  return std::nullopt;
}

std::optional<Duration> Arguments::duration(std::string_view key) {
  const ScriptValue* value = take(key);
  if (!value) return std::nullopt;
  constexpr std::int64_t kMaxSeconds = 10LL * 365 * 86'400;
  if (const auto* seconds = std::get_if<std::int64_t>(&value->value);
      seconds && *seconds >= 0 && *seconds <= kMaxSeconds)
    return std::chrono::seconds(*seconds);
  if (const auto* text = std::get_if<std::string>(&value->value))
    if (const auto parsed = parse_duration(*text)) return *parsed;
  complain(fmt::format("{} must be a duration such as \"10m\"", key));
  return std::nullopt;
}

bool Arguments::flag(std::string_view key, bool otherwise) {
  const ScriptValue* value = take(key);
  if (!value) return otherwise;
  if (const auto* yes = std::get_if<bool>(&value->value)) return *yes;
  complain(fmt::format("{} must be true or false, not {}", key, kind_of(*value)));
  return otherwise;
}

std::vector<std::string> Arguments::texts(std::string_view key, bool required) {
  std::vector<const ScriptValue*> values;
  const bool by_key = named_ && named_->contains(key);
  if (const ScriptValue* value = take(key); value && by_key) {
    values.push_back(value);
  } else {
    values = positions_;
    positions_taken_ = positions_.size();
  }
  std::vector<std::string> out;
  const auto add = [&](const ScriptValue& value) {
    if (const auto* text = std::get_if<std::string>(&value.value))
      out.push_back(*text);
    else
      complain(fmt::format("{} must be strings, not {}", key, kind_of(value)));
  };
  for (const ScriptValue* value : values) {
    if (const auto* list = std::get_if<ScriptValue::List>(&value->value))
      std::ranges::for_each(*list, add);
    else
      add(*value);
  }
  if (required && out.empty()) complain(fmt::format("needs {}", key));
  return out;
}

std::shared_ptr<AddressSource> Arguments::address_source(std::string_view key) {
  const ScriptValue* value = find(key);
  const auto* matcher = value ? std::get_if<std::shared_ptr<Matcher>>(&value->value) : nullptr;
  auto source = matcher ? std::dynamic_pointer_cast<AddressSource>(*matcher) : nullptr;
  if (source) take(key);
  return source;
}

std::vector<std::shared_ptr<Matcher>> Arguments::matchers() {
  positions_taken_ = positions_.size();
  std::vector<std::shared_ptr<Matcher>> out;
  for (const ScriptValue* value : positions_) {
    if (const auto* matcher = std::get_if<std::shared_ptr<Matcher>>(&value->value); matcher && *matcher)
      out.push_back(*matcher);
    else
      complain(fmt::format("takes matchers, not {}", kind_of(*value)));
  }
  if (out.empty()) complain("needs at least one matcher");
  return out;
}

std::vector<std::pair<std::string, std::string>> Arguments::pairs() {
  std::vector<std::pair<std::string, std::string>> out;
  if (named_)
    for (const auto& [key, value] : *named_) {
      taken_.insert(key);
      if (const auto* text = std::get_if<std::string>(&value.value))
        out.emplace_back(key, *text);
      else
        complain(fmt::format("{} must be a string, not {}", key, kind_of(value)));
    }
  if (out.empty()) complain("needs a table of names");
  return out;
}

std::vector<std::pair<std::string, std::string>> Arguments::replacements(std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  const ScriptValue* value = take(key);
  if (!value) return out;
  const auto add = [&](const ScriptValue& one) {
    const auto* map = std::get_if<ScriptValue::Map>(&one.value);
    const auto text = [&](std::string_view name) -> const std::string* {
      if (!map) return nullptr;
      const auto found = map->find(name);
      return found == map->end() ? nullptr : std::get_if<std::string>(&found->second.value);
    };
    if (const std::string *pattern = text("pattern"), *with = text("with"); pattern && with && map->size() == 2)
      out.emplace_back(*pattern, *with);
    else
      complain(fmt::format("{} must be a table of pattern and with", key));
  };
  if (const auto* list = std::get_if<ScriptValue::List>(&value->value))
    std::ranges::for_each(*list, add);
  else
    add(*value);
  return out;
}

std::vector<std::pair<std::string, std::vector<std::string>>> Arguments::lists() {
  std::vector<std::pair<std::string, std::vector<std::string>>> out;
  if (named_)
    for (const auto& [key, value] : *named_) {
      taken_.insert(key);
      auto& texts = out.emplace_back(key, std::vector<std::string>()).second;
      const auto add = [&](const ScriptValue& one) {
        if (const auto* text = std::get_if<std::string>(&one.value))
          texts.push_back(*text);
        else
          complain(fmt::format("{} must be strings, not {}", key, kind_of(one)));
      };
      if (const auto* list = std::get_if<ScriptValue::List>(&value.value))
        std::ranges::for_each(*list, add);
      else
        add(value);
    }
  if (out.empty()) complain("needs a table of lists");
  return out;
}

NoteValue Arguments::note(std::string_view key, NoteValue otherwise) {
  const ScriptValue* value = take(key);
  if (!value) return otherwise;
  if (const auto* yes = std::get_if<bool>(&value->value)) return *yes;
  if (const auto* whole = std::get_if<std::int64_t>(&value->value)) return *whole;
  if (const auto* real = std::get_if<double>(&value->value)) return *real;
  if (const auto* text = std::get_if<std::string>(&value->value)) return *text;
  complain(fmt::format("{} must be a boolean, a number or a string, not {}", key, kind_of(*value)));
  return otherwise;
}

Result<void> Arguments::finish() {
  if (complaint_.empty() && positions_.size() > positions_taken_) complain("has too many arguments");
  if (complaint_.empty() && named_)
    for (const auto& [key, value] : *named_) {
      if (taken_.contains(key) || position_of(key)) continue;
      const std::string hint = did_you_mean(key, keys_);
      complain(fmt::format("has no argument \"{}\"{}{}", key, hint.empty() ? "" : "; ", hint));
      break;
    }
  if (!complaint_.empty()) return fault("rule.arguments", complaint_);
  return {};
}

}  // namespace postern::mailets
