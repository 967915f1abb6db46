// is_in_drop_list: recipients, or whole domains, who take no mail from some senders; by a table or from a file.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "arguments.h"
#include "postern/file.h"
#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxFile = 4 << 20;  ///< octets
constexpr std::string_view kEverybody = "*";

/// Who takes no mail from whom: by address, "@domain" or "*"; senders by address or "@domain".
class DropList {
 public:
  bool add(std::string_view recipient, std::string_view sender) {
    if (recipient != kEverybody && !is_party(recipient)) return false;
    if (!is_party(sender)) return false;
    blocked_[key(recipient)].insert(key(sender));
    return true;
  }
  bool blocks(const Address& recipient, const Address& sender) const {
    const std::string address = to_lower(sender.to_string());
    const std::string domain = "@" + sender.domain().ascii();
    for (const std::string& who :
         {to_lower(recipient.to_string()), "@" + recipient.domain().ascii(), std::string(kEverybody)}) {
      const auto found = blocked_.find(who);
      if (found != blocked_.end() && (found->second.contains(address) || found->second.contains(domain))) return true;
    }
    return false;
  }
  bool empty() const { return blocked_.empty(); }

 private:
  static bool is_party(std::string_view text) {
    return text.starts_with('@') ? Domain::parse(text.substr(1)).has_value() : Address::parse(text).has_value();
  }
  /// In the form that blocks() asks for.
  static std::string key(std::string_view text) {
    if (text.starts_with('@')) return "@" + Domain::parse(text.substr(1))->ascii();
    const auto address = Address::parse(text);
    return address ? to_lower(address->to_string()) : std::string(text);
  }
  std::map<std::string, std::set<std::string>, std::less<>> blocked_;
};

/// Lines "recipient: sender, sender"; what follows a # is a comment.
void add_file(Arguments& arguments, DropList& list, const std::string& name) {
  if (!name.starts_with('/')) return arguments.complain("file must be a whole path");
  const auto text = read_regular_file(name, kMaxFile);
  if (!text) return arguments.complain(fmt::format("\"{}\": {}", name, text.error().detail));
  std::size_t number = 0;
  for (std::string_view line : split(*text, '\n')) {
    ++number;
    line = trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const std::string_view recipient = trim(take_until(line, ':'));
    for (const std::string_view sender : split(line, ','))
      if (!list.add(recipient, trim(sender)))
        return arguments.complain(fmt::format("\"{}\" line {} is no \"recipient: sender, sender\"", name, number));
  }
}

std::shared_ptr<Matcher> is_in_drop_list(Arguments& arguments) {
  DropList list;
  for (const auto& [recipient, senders] : arguments.lists()) {
    if (recipient == "file") {
      for (const std::string& name : senders) add_file(arguments, list, name);
      continue;
    }
    for (const std::string& sender : senders)
      if (!list.add(recipient, sender))
        arguments.complain(fmt::format("\"{}\" or \"{}\" is neither an address nor @ and a domain", recipient, sender));
  }
  return each_recipient("is_in_drop_list", [list = std::move(list)](const RuleCall& call, std::size_t index) {
    const Address& sender = call.transaction.envelope.sender;
    return !sender.is_null() && list.blocks(recipient_address(call, index), sender);
  });
}

}  // namespace

void declare_drop_list(RuleRegistry& rules) {
  declare_matcher(
      rules, "is_in_drop_list",
      "Recipients who take no mail from this sender: they, their domain, or everybody here. Never a report's null "
      "sender.",
      "match.is_in_drop_list { [\"bob@example.org\"] = { \"ex@example.net\", \"@spam.example\" }, [\"*\"] = "
      "\"@bad.example\" }",
      "none",
      {{"table", "table",
        "senders (an address, or @ and a domain) by recipient (an address, @ and a domain, or *). Under the key file: "
        "a "
        "file of lines \"recipient: sender, sender\", read when the scripts are loaded; a whole path, up to 4 MiB"}},
      is_in_drop_list);
}

}  // namespace postern::mailets
