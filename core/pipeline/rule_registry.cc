// The registry of matchers and mailets: filled while modules are prepared, read-only afterwards.
#include <map>
#include <utility>

#include "postern/pipeline.h"

namespace postern {
namespace {

class Registry final : public RuleRegistry {
 public:
  void add(MatcherDeclaration declaration) override { put(matchers_, std::move(declaration)); }
  void add(ActionDeclaration declaration) override { put(actions_, std::move(declaration)); }
  const MatcherDeclaration* matcher(std::string_view name) const override { return get(matchers_, name); }
  const ActionDeclaration* action(std::string_view name) const override { return get(actions_, name); }
  std::vector<std::string_view> matchers() const override { return names(matchers_); }
  std::vector<std::string_view> actions() const override { return names(actions_); }
  void add_future(std::string_view name, std::string_view room) override { future_.emplace(name, room); }
  std::string_view future(std::string_view name) const override {
    const auto found = future_.find(name);
    return found == future_.end() ? std::string_view() : std::string_view(found->second);
  }

 private:
  template <class T>
  using Table = std::map<std::string, T, std::less<>>;
  template <class T>
  static void put(Table<T>& table, T declaration) {
    std::string name(declaration.name);
    if (!table.emplace(name, std::move(declaration)).second)
      throw Error("two modules declare the matcher or mailet \"" + name + "\"");
  }
  template <class T>
  static const T* get(const Table<T>& table, std::string_view name) {
    const auto found = table.find(name);
    return found == table.end() ? nullptr : &found->second;
  }
  template <class T>
  static std::vector<std::string_view> names(const Table<T>& table) {
    std::vector<std::string_view> out;
    for (const auto& [name, declaration] : table) out.push_back(name);
    return out;
  }
  Table<MatcherDeclaration> matchers_;
  Table<ActionDeclaration> actions_;
  Table<std::string> future_;
};

}  // namespace

std::unique_ptr<RuleRegistry> make_rule_registry() {
  return std::make_unique<Registry>();
}

}  // namespace postern
