// The delivery of one message to recipients that go the same way: find it, get a turn at its site, try its hosts.
//
//   way -> turn at the site -> message from the spool -> for each host, each address: connection (idle or new) -> send
//
// A host that fails before it decided about a recipient hands that recipient on to the next one, and so does one that
// puts it off with a 4yz, until max_answering_hosts have; a 2yz or 5yz is the recipient's fate. One whose text may be
// with a host, since all of it left and no reply came, is for no other host. An idle connection that turns out to be
// dead costs a new connection, not an attempt.
//
// Owner: Courier::attempt, for the length of one attempt. Thread: the worker. Errors: results; throws only Cancelled.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connection.h"
#include "postern/transport.h"
#include "sites.h"
#include "ways.h"

namespace postern::relay {

class Courier;

class Delivery {
 public:
  Delivery(Courier& courier, const AttemptRequest& request, Heading heading);
  ~Delivery();

  void add(std::uint32_t recipient) { recipients_.push_back(recipient); }
  Task<void> run();
  std::vector<AttemptResult> take_results() { return std::move(results_); }

 private:
  struct Batch;  // recipients of one transaction after the other
  struct Hop;    // one address, with what is needed to connect
  class Counted;
  struct Tally;

  Task<void> go();
  Task<void> carry();
  std::vector<std::uint32_t> next_batch(std::size_t at) const;
  Task<void> try_hosts(Batch& batch);
  std::vector<std::size_t> host_order() const;
  Task<bool> try_target(Batch& batch, const Target& target);
  Task<void> try_address(Batch& batch, Hop hop);
  Opening opening_for(const Hop& hop) const;
  Task<std::unique_ptr<Connection>> connect(Batch& batch, Hop& hop);
  Task<void> hand_over(Batch& batch, Hop& hop, std::unique_ptr<Connection>& connection);
  void take_outcomes(Batch& batch, const Hop& hop, const Mail& mail, const Sent& sent, const Connection& connection,
                     bool reused, Duration took);
  void take_outcome(Batch& batch, const std::string& host, std::uint32_t who, const Outcome& one, bool maybe_sent,
                    Tally& tally);
  void keep_or_end(Hop& hop, std::unique_ptr<Connection> connection);
  void settle_doubtful(Batch& batch, const std::string& host);
  void settle_rest(Batch& batch);

  void settle(std::uint32_t recipient, AttemptResult::Kind kind, Reply reply, const std::string& host,
              bool dsn_handed_on = false, bool reply_lost = false);
  void settle_all(const Reply& reply);
  void send_back(const std::vector<std::uint32_t>& recipients, const Admission& admission);
  bool take_source(Batch& batch, Hop& hop);
  void log_result(std::string_view event, const Batch& batch, const Hop& hop, const Connection& connection,
                  std::size_t count, const Reply& reply, bool reused, Duration took) const;

  Courier& courier_;
  const AttemptRequest& request_;
  Heading heading_;
  std::vector<std::uint32_t> recipients_;
  std::vector<AttemptResult> results_;
  std::shared_ptr<const Way> way_;
  std::optional<Content> content_;
  std::optional<ClientInfo> client_;
  bool reached_ = false;   // some host talked to us
  bool troubled_ = false;  // it gave up in the middle
  bool tried_ = false;     // some address was not only remembered as unreachable
  std::optional<Reply> unreached_;
  Duration took_{};  // of the slowest small transaction
};

}  // namespace postern::relay
