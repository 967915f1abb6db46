// One connection to a mail host, as its client: from TCP to QUIT, for as many messages as it is good for.
//
//   open()  TCP, PROXY header, greeting, EHLO (HELO, LHLO), STARTTLS and EHLO again, AUTH, XCLIENT
//   send()  one transaction; round trips on a connection that stands:
//             CHUNKING and PIPELINING   1   MAIL, RCPTs, BDAT LAST and a text up to single_flight in one flight
//             PIPELINING                2   MAIL, RCPTs, DATA; then the text
//             neither                       one per command
//           A small text leaves in one system call with its commands, and its replies come in one read.
//   quit()  says goodbye
//
// Replies of the host and failures of the way are values; only Cancelled is thrown. After a failure usable() is false
// and the connection is good for nothing but destruction. `dot-sent` is durable before the last octets leave.
//
// Owner: whoever holds the unique_ptr: a delivery, or the pool while it is idle. Thread: its worker.
// RFC: 5321 (§4.5.3.2 waits), 2033 (LMTP), 2920, 3030, 3207 (§6: nothing may lie in the buffer after STARTTLS), 4954,
//      9422 (LIMITS); PRDR (draft-hall-prdr).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "capabilities.h"
#include "mail.h"
#include "outbound.h"
#include "postern/stream.h"
#include "reply_reader.h"
#include "ways.h"

namespace postern::relay {

/// Where and how to connect; all referred to outlives open().
struct Opening {
  const Outbound& outbound;
  const Way& way;
  const Target& target;
  TlsPolicies& policies;
  Endpoint to;
  std::optional<IpAddress> source;
  std::string ehlo;
  const Login* login = nullptr;
  const ClientInfo* client = nullptr;  ///< for PROXY and XCLIENT
  ProxyHeader proxy = ProxyHeader::kNone;
  bool xclient = false;
  bool plaintext = false;  ///< a TLS handshake failed before, and the decision allows to go without
};

class Connection {
 public:
  enum class Stage : std::uint8_t { kConnect, kGreeting, kHello, kTls, kAuth };
  struct Failure {
    Stage stage;
    Reply reply;
    bool retry_plaintext = false;  ///< once more with Opening::plaintext
    bool said = false;             ///< `reply` is the host's own, to us as a whole
  };

  Connection(Executor& executor, const TimeoutSettings& timeout, Protocol protocol, std::size_t single_flight);

  Task<std::optional<Failure>> open(Opening opening);
  Task<Sent> send(Mail& mail);
  Task<void> quit();

  bool usable() const { return usable_; }
  /// An idle connection that the host has ended, or on which it said something unasked (421, mostly).
  bool stale() const { return !stream_ || stream_->peer_gone() || !stream_->buffered().empty(); }
  const Capabilities& capabilities() const { return can_; }
  std::uint32_t messages() const { return messages_; }
  const TlsInfo& tls_info() const { return tls_; }
  bool secure() const { return stream_ && stream_->secure(); }

 private:
  struct Flight;  // a transaction under way

  // connection.cc
  Task<std::optional<Failure>> converse(const Opening& opening);
  Task<std::optional<Failure>> greeting();
  Task<std::optional<Failure>> hello(const Opening& opening);
  Task<std::optional<Failure>> start_tls(const Opening& opening);
  Task<std::optional<Failure>> handshake(const Opening& opening);
  Task<std::optional<Failure>> log_in(const Opening& opening);
  Task<std::optional<Failure>> xclient(const Opening& opening);
  void report(const Opening& opening, TlsOutcome::Result result, std::string detail) const;
  Task<Reply> ask(std::string command, Duration timeout);

  /// Takes the next reply when it is here; else await wait_reply().
  bool take_reply();
  Task<void> wait_reply(Duration timeout);
  Reply& reply() { return replies_.reply(); }

  // connection_send.cc
  Task<void> transact(Flight& flight);
  void put_envelope(Flight& flight);
  Task<void> one_by_one(Flight& flight);
  Task<void> envelope_replies(Flight& flight);
  bool take_leading(Flight& flight);
  static void take_rcpt(Flight& flight, std::size_t at, const Reply& said);
  Task<void> by_chunk(Flight& flight);
  Task<void> by_data(Flight& flight);
  Task<bool> put_text(Flight& flight);
  Task<bool> put_stuffed(Flight& flight);
  Task<bool> mark(Flight& flight);
  Task<void> final_replies(Flight& flight);
  Task<void> prdr_replies(Flight& flight);
  void note_reset(const Flight& flight);
  void last_words(Flight& flight);
  static void finish(Flight& flight, std::string_view lost);

  Executor& executor_;
  const TimeoutSettings& timeout_;
  Protocol protocol_;
  std::size_t single_flight_;
  std::unique_ptr<Stream> stream_;
  ReplyReader replies_;
  Capabilities can_;
  Endpoint peer_;
  TlsLevel level_ = TlsLevel::kNone;
  TlsInfo tls_;  ///< asked for once: the certificate's fingerprint is made for it
  std::uint32_t messages_ = 0;
  bool usable_ = false;
  bool needs_reset_ = false;  ///< a transaction is open on the other side: RSET goes before the next MAIL
};

}  // namespace postern::relay
