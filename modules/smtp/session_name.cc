// The name of the client's address (reverse DNS): asked for at connect, taken when the first one needs it.
//
// The greeting waits for it only when a connect hook could read it; without hooks the first who waits is the Received
// field, when the text is complete, and by then the answer has long been here. RFC: 5321 §4.4, 8601 §3.
#include "session.h"

namespace postern::smtp {

/// Sends the question off, if this listener asks for names. A client on this machine has none worth asking for.
void Session::ask_name() {
  lookup_.reset();
  state_.reverse.reset();
  const ReverseNames names = listener().reverse_names();
  if (names == ReverseNames::kOff || (names == ReverseNames::kOn && state_.client.ip.is_loopback())) return;
  lookup_ = server_.ask_name(state_.client.ip, settings().reverse_timeout);
}

/// Before a stage whose hooks may read the name; costs nothing when there are none or it is known already.
Task<void> Session::name_for(Stage stage, Transaction* transaction) {
  if (!lookup_ || !policy().has_hooks(stage)) return Task<void>::ready();
  return take_name(stage, transaction);
}

/// Waits for the answer, not beyond its time, and makes it a fact of the session. `transaction`: the mail under way.
Task<void> Session::take_name(Stage stage, Transaction* transaction) {
  const std::shared_ptr<ReverseLookup> lookup = std::move(lookup_);
  try {
    co_await lookup->answered.wait(Deadline::at(lookup->until));
  } catch (const TimedOut&) {
    lookup->took = server_.executor().now() - lookup->asked;
  }
  ClientInfo& client = state_.client;
  client.reverse_name = lookup->found.name;
  client.reverse_verified = lookup->found.confirmed();
  state_.reverse = SessionState::Reverse{lookup->found.status, lookup->took};
  if (stage != Stage::kConnect) policy().reverse_answered(state_, transaction);  // connect() writes it down itself
  server_.log().info("smtp.client-name",
                     {{"session", state_.id},
                      {"ip", client.ip.to_string()},
                      {"name", client.reverse_name},
                      {"status", to_string(lookup->found.status)},
                      {"micros", std::chrono::duration_cast<std::chrono::microseconds>(lookup->took).count()}});
}

}  // namespace postern::smtp
