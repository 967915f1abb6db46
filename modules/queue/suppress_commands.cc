// The suppression list for administrators, over the control socket.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "postern/mail_date.h"
#include "postern/text.h"
#include "postern/wait.h"
#include "suppress.h"

namespace postern::queue {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPage = 500;
constexpr std::size_t kMaxLimit = 10'000'000;

std::string row_of(const Suppression& entry) {
  const Json row = {{"scope", entry.scope},
                    {"recipient", entry.recipient},
                    {"reason", to_string(entry.reason)},
                    {"since", format_rfc3339(entry.since)},
                    {"until", entry.until == WallTime::max() ? "never" : format_rfc3339(entry.until)},
                    {"why", entry.why}};
  return row.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Args: limit; match (text that the recipient contains).
Task<Result<void>> list_them(SuppressionList& list, ControlRequest request, ControlRows& rows) {
  const auto limit = to_number<std::size_t>(request.arg("limit", "1000"), 1, kMaxLimit);
  if (!limit) co_return fault("suppress.value", fmt::format("limit is a number from 1 to {}", kMaxLimit));
  const std::string match = to_lower(request.arg("match"));
  std::string recipient;
  std::string scope;
  for (std::size_t left = *limit; left > 0;) {
    const auto page = co_await list.list(recipient, scope, kPage);
    if (page.empty()) break;
    for (const Suppression& entry : page) {
      if (!entry.recipient.contains(match) || left == 0) continue;
      --left;
      co_await rows.row(row_of(entry));
    }
    recipient = page.back().recipient;
    scope = page.back().scope;
  }
  co_return Result<void>();
}

/// Args: recipient; scope ("*" when missing); reason; days (for ever when missing); why.
Task<Result<void>> add_one(SuppressionList& list, ControlRequest request, ControlRows& rows) {
  Suppression entry;
  entry.recipient = request.arg("recipient");
  entry.scope = request.arg("scope", "*");
  entry.why = request.arg("why", "entered by an administrator");
  const auto reason = parse_suppress_reason(request.arg("reason", "manual"));
  if (!reason) co_return fault("suppress.value", "reason is bounced, complained, unsubscribed or manual");
  entry.reason = *reason;
  entry.since = (co_await this_executor()).wall();
  if (const std::string days = request.arg("days"); !days.empty()) {
    const auto count = to_number<int>(days, 1, 36500);
    if (!count) co_return fault("suppress.value", "days is a number from 1 to 36500");
    entry.until = entry.since + std::chrono::days(*count);
  }
  if (auto added = co_await list.add(entry); !added) co_return added;
  lower_in_place(entry.scope);
  lower_in_place(entry.recipient);
  co_await rows.row(row_of(entry));
  co_return Result<void>();
}

/// Args: recipient; scope ("*" when missing).
Task<Result<void>> remove_one(SuppressionList& list, ControlRequest request, ControlRows& rows) {
  const std::string scope = request.arg("scope", "*");
  const std::string recipient = request.arg("recipient");
  auto removed = co_await list.remove(scope, recipient);
  if (!removed) co_return std::unexpected(removed.error());
  if (!*removed)
    co_return fault("suppress.unknown", fmt::format("there is no entry for {} in the scope {}", recipient, scope));
  const Json row = {{"removed", recipient}, {"scope", scope}};
  co_await rows.row(row.dump(-1, ' ', false, Json::error_handler_t::replace));
  co_return Result<void>();
}

using Command = Task<Result<void>> (*)(SuppressionList&, ControlRequest, ControlRows&);

}  // namespace

void add_suppression_commands(Control& control, SuppressionList& list) {
  const auto add = [&](std::string name, std::string purpose, Command command) {
    control.add("suppress." + name, std::move(purpose), [&list, command](ControlRequest request, ControlRows& rows) {
      return command(list, std::move(request), rows);
    });
  };
  add("list", "Addresses to which no mail is sent (limit, match).", &list_them);
  add("add", "Send nothing to an address or @domain (recipient, scope, days, reason, why).", &add_one);
  add("remove", "Send to it again (recipient, scope).", &remove_one);
}

}  // namespace postern::queue
