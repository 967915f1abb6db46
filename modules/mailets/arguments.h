// The arguments of a matcher or mailet, as pipeline.h says that scripts give them: by position, by key, or as one list.
//
// A reader is made for one declaration. Each call takes one argument; finish() complains about what nobody took, with
// the nearest right key. The first complaint wins and is what the administrator reads.
//
// Thread: any; used while scripts are loaded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "postern/pipeline.h"

namespace postern::mailets {

class Arguments {
 public:
  Arguments(const ScriptValue& value, std::vector<std::string_view> keys);

  /// By key, or by its place among the declaration's keys.
  std::string text(std::string_view key);                              ///< required
  std::string text(std::string_view key, std::string_view otherwise);  ///< optional
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t low, std::int64_t high);
  std::optional<double> number(std::string_view key);
  std::optional<std::uint64_t> size(std::string_view key);  ///< "25 MiB" or octets
  std::optional<Duration> duration(std::string_view key);   ///< "10m" or seconds
  bool flag(std::string_view key, bool otherwise);
  /// All positions, or the list under the key: `recipient_is("a", "b")`, `recipient_is { "a", "b" }`.
  std::vector<std::string> texts(std::string_view key, bool required = true);
  std::vector<std::shared_ptr<Matcher>> matchers();
  /// A function of a script that gives addresses; nothing, and the argument is still there, when it is none.
  std::shared_ptr<AddressSource> address_source(std::string_view key);
  /// All keys with their strings: `notes_to_headers { spam_score = "X-Spam-Score" }`.
  std::vector<std::pair<std::string, std::string>> pairs();
  /// { pattern = "a", with = "b" }, or a list of such tables; optional.
  std::vector<std::pair<std::string, std::string>> replacements(std::string_view key);
  /// All keys with a string or a list of strings: `is_in_drop_list { ["bob@example.org"] = { "spam.example" } }`.
  std::vector<std::pair<std::string, std::vector<std::string>>> lists();
  /// A note's value: boolean, number or string.
  NoteValue note(std::string_view key, NoteValue otherwise);
  bool given(std::string_view key) const { return find(key) != nullptr; }
  /// By its key, not by its place: for what stands beside a list of any length.
  bool named(std::string_view key) const { return named_ && named_->contains(key); }

  void complain(std::string what);
  /// A fault when anything was wrong or nobody took an argument.
  Result<void> finish();

 private:
  const ScriptValue* find(std::string_view key) const;
  const ScriptValue* take(std::string_view key);

  std::vector<std::string_view> keys_;
  std::vector<const ScriptValue*> positions_;
  const ScriptValue::Map* named_ = nullptr;
  std::set<std::string, std::less<>> taken_;
  std::size_t positions_taken_ = 0;
  std::string complaint_;
};

/// `make` of a declaration: builds from arguments, and gives the first complaint when there is one.
template <class Made, class Build>
std::function<Result<std::shared_ptr<Made>>(const ScriptValue&)> maker(std::vector<std::string_view> keys,
                                                                       Build build) {
  return [keys = std::move(keys), build = std::move(build)](const ScriptValue& value) -> Result<std::shared_ptr<Made>> {
    Arguments arguments(value, keys);
    std::shared_ptr<Made> made = build(arguments);
    if (auto finished = arguments.finish(); !finished) return std::unexpected(std::move(finished).error());
    return made;
  };
}

/// Declares a matcher; keys are the names of `arguments` in their order.
template <class Build>
void declare_matcher(RuleRegistry& rules, std::string_view name, std::string_view purpose, std::string_view example,
                     std::string_view errors, std::vector<ArgumentInfo> arguments, Build build) {
  std::vector<std::string_view> keys;
  for (const ArgumentInfo& argument : arguments) keys.push_back(argument.name);
  rules.add(MatcherDeclaration{name, purpose, example, errors, std::move(arguments),
                               maker<Matcher>(std::move(keys), std::move(build))});
}
template <class Build>
void declare_action(RuleRegistry& rules, std::string_view name, std::string_view purpose, std::string_view example,
                    std::string_view errors, std::vector<ArgumentInfo> arguments, Build build) {
  std::vector<std::string_view> keys;
  for (const ArgumentInfo& argument : arguments) keys.push_back(argument.name);
  rules.add(ActionDeclaration{name, purpose, example, errors, std::move(arguments),
                              maker<Action>(std::move(keys), std::move(build))});
}

}  // namespace postern::mailets
