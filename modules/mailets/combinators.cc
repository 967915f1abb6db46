// all, all_of, any_of, none_of: the algebra of matchers. Children run one after the other, and only for those whose
// answer can still change; a child's fault is the combination's.
#include "rules.h"

namespace postern::mailets {
namespace {

enum class How : std::uint8_t { kAll, kAny, kNone };

class Combination final : public Matcher {
 public:
  Combination(std::string_view name, How how, std::vector<std::shared_ptr<Matcher>> parts)
      : how_(how), parts_(std::move(parts)) {
    name_ = name;
    name_ += '(';
    for (const auto& part : parts_) name_.append(part->name()).append(part == parts_.back() ? "" : ", ");
    name_ += ')';
  }
  std::string name() const override { return name_; }

  Selected match(RuleCall call) override {
    const RecipientSet given = call.recipients;
    RecipientSet open = given;  // whose answer is not known yet
    for (const auto& part : parts_) {
      if (open.empty()) break;
      auto found = co_await part->match({call.transaction, open, call.effects, call.stage});
      if (!found) co_return std::unexpected(std::move(found).error());
      open = how_ == How::kAll ? open & *found : open - *found;
    }
    co_return how_ == How::kAny ? given - open : open;
  }

 private:
  std::string name_;
  How how_;
  std::vector<std::shared_ptr<Matcher>> parts_;
};

void declare(RuleRegistry& rules, std::string_view name, How how, std::string_view purpose, std::string_view example) {
  declare_matcher(
      rules, name, purpose, example, "those of its parts", {{"matchers", "matchers", "the parts", true, 0}},
      [name, how](Arguments& arguments) { return std::make_shared<Combination>(name, how, arguments.matchers()); });
}

}  // namespace

void declare_combinators(RuleRegistry& rules) {
  declare_matcher(rules, "all", "Every recipient.", "match.all", "none", {},
                  [](Arguments&) { return whole_mail("all", [](const RuleCall&) { return true; }); });
  declare(rules, "all_of", How::kAll, "Recipients that every part selects.",
          "match.all_of { match.sender_is_null, match.size_over \"1 MiB\" }");
  declare(rules, "any_of", How::kAny, "Recipients that at least one part selects.",
          "match.any_of { match.user_is \"abuse\", match.user_is \"security\" }");
  declare(rules, "none_of", How::kNone, "Recipients that no part selects.",
          "match.none_of { match.smtp_auth_successful }");
}

}  // namespace postern::mailets
