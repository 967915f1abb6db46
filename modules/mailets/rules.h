// What the files of this module share: matchers from plain functions, and where each theme declares its rules.
//
// Thread: a matcher or mailet is made while scripts are loaded (per worker) and then used by that worker alone.
#pragma once

#include <string>
#include <utility>

#include "arguments.h"
#include "postern/pipeline.h"

namespace postern::mailets {

void declare_combinators(RuleRegistry& rules);         // combinators.cc
void declare_recipient_matchers(RuleRegistry& rules);  // match_recipient.cc
void declare_sender_matchers(RuleRegistry& rules);     // match_sender.cc
void declare_client_matchers(RuleRegistry& rules);     // match_client.cc
void declare_message_matchers(RuleRegistry& rules);    // match_message.cc
void declare_part_matchers(RuleRegistry& rules);       // match_parts.cc
void declare_routes(RuleRegistry& rules);              // act_route.cc
void declare_refusals(RuleRegistry& rules);            // act_refuse.cc
void declare_header_actions(RuleRegistry& rules);      // act_header.cc
void declare_recipient_actions(RuleRegistry& rules);   // act_recipient.cc
void declare_rewrite(RuleRegistry& rules);             // act_rewrite.cc
void declare_note_actions(RuleRegistry& rules);        // act_note.cc
void declare_limit_actions(RuleRegistry& rules);       // act_limit.cc
void declare_bounce_actions(RuleRegistry& rules);      // act_bounce_report.cc
void declare_forwards(RuleRegistry& rules);            // act_forward.cc
void declare_notices(RuleRegistry& rules);             // act_notify.cc
void declare_vacation(RuleRegistry& rules);            // act_vacation.cc
void declare_text_actions(RuleRegistry& rules);        // act_text.cc
void declare_part_actions(RuleRegistry& rules);        // act_parts.cc
void declare_http_actions(RuleRegistry& rules);        // act_http_post.cc
void declare_delivery_matchers(RuleRegistry& rules);   // match_delivery.cc
void declare_drop_list(RuleRegistry& rules);           // match_drop_list.cc
void declare_future(RuleRegistry& rules);              // future.cc
void declare_all(RuleRegistry& rules);

using Selected = Task<Result<RecipientSet>>;
using Done = Task<Result<ActionResult>>;

inline Selected select_all(const RuleCall& call, bool all) {
  return Selected::ready(all ? call.recipients : RecipientSet::none(call.recipients.size()));
}

/// Selects recipients one by one: `predicate(call, index)`.
template <class Predicate>
class EachRecipient final : public Matcher {
 public:
  EachRecipient(std::string name, Predicate predicate) : name_(std::move(name)), predicate_(std::move(predicate)) {}
  Selected match(RuleCall call) override {
    RecipientSet out = RecipientSet::none(call.recipients.size());
    for (std::size_t i = 0; i < call.recipients.size(); ++i)
      if (call.recipients.contains(i) && predicate_(call, i)) out.insert(i);
    return Selected::ready(std::move(out));
  }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Predicate predicate_;
};
template <class Predicate>
std::shared_ptr<Matcher> each_recipient(std::string name, Predicate predicate) {
  return std::make_shared<EachRecipient<Predicate>>(std::move(name), std::move(predicate));
}

/// Selects all or none: `predicate(call)`.
template <class Predicate>
class WholeMail final : public Matcher {
 public:
  WholeMail(std::string name, Predicate predicate) : name_(std::move(name)), predicate_(std::move(predicate)) {}
  Selected match(RuleCall call) override { return select_all(call, predicate_(call)); }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Predicate predicate_;
};
template <class Predicate>
std::shared_ptr<Matcher> whole_mail(std::string name, Predicate predicate) {
  return std::make_shared<WholeMail<Predicate>>(std::move(name), std::move(predicate));
}

/// A mailet that does something and lets the next one go on: `act(call)`.
template <class Act>
class Doing final : public Action {
 public:
  Doing(std::string name, Act act) : name_(std::move(name)), act_(std::move(act)) {}
  Done run(RuleCall call) override {
    act_(call);
    return Done::ready(ActionResult{});
  }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Act act_;
};
template <class Act>
std::shared_ptr<Action> doing(std::string name, Act act) {
  return std::make_shared<Doing<Act>>(std::move(name), std::move(act));
}

/// A mailet whose result is always the same.
class Fixed final : public Action {
 public:
  Fixed(std::string name, ActionResult result, bool final)
      : name_(std::move(name)), result_(std::move(result)), final_(final) {}
  Done run(RuleCall) override { return Done::ready(result_); }
  bool is_final() const override { return final_; }
  std::string goes_to() const override { return result_.pipeline; }
  std::string gateway() const override {
    const auto found = result_.step.options.find("gateway");
    return found == result_.step.options.end() ? std::string() : found->second;
  }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  ActionResult result_;
  bool final_;
};

inline const Address& recipient_address(const RuleCall& call, std::size_t index) {
  return call.transaction.envelope.recipients[index].address;
}

}  // namespace postern::mailets
