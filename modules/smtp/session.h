// One SMTP or LMTP session: reads commands, answers them, and hands messages to policy and spool.
//
//   session.cc        the loop, order of commands, answers, the end
//   session_hello.cc  what comes first: PROXY, limits, TLS, greeting; EHLO, XCLIENT
//   session_name.cc   the name of the client's address
//   session_simple.cc NOOP, RSET, VRFY, HELP, QUIT and what is not implemented
//   session_mail.cc   MAIL, RCPT
//   session_data.cc   DATA and BDAT: the text
//   session_finish.cc what becomes of it after its end: policy, commit, answers
//   session_auth.cc   STARTTLS, AUTH
//   session_etrn.cc   ETRN
//
// Pipelining (RFC 2920): answers are queued and leave together, when the client's octets are used up or a command's
// answer may not be held back. So MAIL, RCPT and DATA in one packet cost one write.
//
// Owner:  its own coroutine, run(), which lives in the server's nursery. Thread: the server's worker.
// Errors: a lost peer, a passed deadline and a cancellation are thrown and caught once, in run(). All else is an
// answer. Memory: a silent session is this object, one frame and its socket; transaction and texts exist only within
// MAIL. RFC:    5321, 2033 (LMTP), 2920, 3030, 3207, 3461, 4954, 6409, 6531, 8314, 9422, draft-hall-prdr.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "command.h"
#include "mail.h"
#include "parameters.h"
#include "postern/auth.h"
#include "postern/pipeline.h"
#include "postern/stream.h"
#include "reverse_lookup.h"
#include "server.h"

namespace postern::smtp {

class Session {
 public:
  Session(Server& server, std::shared_ptr<const Listening> on, std::unique_ptr<Socket> socket, CancelToken parent);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The whole life of a session.
  static Task<void> run(std::unique_ptr<Session> self);
  /// The server stops: an idle session ends now, another one after its transaction.
  void drain();

 private:
  friend class Server;
  using Handler = Task<void> (Session::*)(Command);
  enum class End : std::uint8_t { kQuit, kRefused, kLost, kTimedOut, kCancelled, kProtocol, kOverloaded, kInternal };

  // session.cc
  Task<void> serve();
  Task<void> dispatch(Stream::Line line);
  Task<void> refuse_line(std::string_view text, std::string_view wire);
  std::string_view out_of_order(const CommandInfo& command) const;
  static Handler handler(Verb verb);
  bool line_waits() const;
  void say(std::string_view wire);
  void say(const Reply& reply) { say(std::string_view(reply.wire())); }
  /// Says it, and ends the session when it has gone out.
  void say_last(std::string_view wire);
  /// A refusal by a rule: answered, counted, logged; ends the session when the verdict says so.
  void refuse(const Verdict& verdict, std::string_view stage, std::string_view recipient = {});
  void end_with(End end, std::string_view why);
  Task<void> part(End end);
  void leave_trail(std::string_view why);
  Task<void> farewell(End end);
  Task<void> last_hooks();
  Task<void> linger();
  void log_end(End end, std::string_view why) const;
  bool offers_tls() const;
  bool needs_tls() const;
  bool wire_is_safe() const { return stream_.secure() || on_->listener->address.is_unix(); }
  const Settings& settings() const { return *on_->settings; }
  const ListenerSettings& listener() const { return *on_->listener; }
  Policy& policy() const { return server_.parts.policy; }
  SmtpMetrics& metrics() const { return server_.parts.metrics; }
  Task<void> flush();

  // session_hello.cc
  Task<bool> open();
  Task<bool> read_proxy_header();
  Task<bool> enter_limits();
  Task<bool> greet();
  void fill_client();
  Task<void> know_user();
  void note_tls();
  std::string greeting() const;
  Task<void> on_ehlo(Command command);
  Task<void> on_helo(Command command);
  Task<void> on_lhlo(Command command);
  Task<void> hello(std::string name, Verb verb);
  std::string extensions() const;
  std::string timing_extensions() const;
  Task<void> on_xclient(Command command);
  bool may_xclient() const;
  void declare_name(const std::optional<DeclaredName>& declared);
  void forget_client();  ///< back to the state before EHLO

  // session_name.cc
  void ask_name();
  Task<void> name_for(Stage stage, Transaction* transaction = nullptr);
  Task<void> take_name(Stage stage, Transaction* transaction);

  // session_simple.cc
  Task<void> on_noop(Command command);
  Task<void> on_rset(Command command);
  Task<void> on_quit(Command command);
  Task<void> on_vrfy(Command command);
  Task<void> on_help(Command command);
  Task<void> on_obsolete(Command command);
  Task<void> on_unknown(Command command);
  Task<void> on_foreign(Command command);

  // session_etrn.cc
  Task<void> on_etrn(Command command);
  bool offers_etrn() const { return server_.parts.queue != nullptr && !listener().etrn.empty(); }
  bool may_etrn(std::string_view domain) const;

  // session_mail.cc
  Task<void> on_mail(Command command);
  Task<void> on_rcpt(Command command);
  void end_transaction(std::string_view why);
  bool lenient() const { return listener().takes_first() || listener().is_lmtp(); }

  // session_data.cc
  Task<void> on_data(Command command);
  Task<void> on_bdat(Command command);
  void begin_text(BodyScanner::Framing framing);
  Task<void> take_text(Mail& mail, std::optional<std::uint64_t> chunk);
  Task<Result<void>> open_text(Intake& intake, std::string_view piece);
  Task<void> end_chunks(Intake& intake);
  Task<void> skip(std::uint64_t octets);
  Task<void> more_text(const Mail* mail);
  void note_size(Mail& mail, std::size_t octets);
  Task<void> header_arrived(Mail& mail);
  std::string_view bdat_out_of_order() const;

  // session_finish.cc
  Task<void> finish(std::unique_ptr<Mail> mail);
  void check_text(Mail& mail) const;
  void answer_refused(Mail& mail);
  void answer_decision(Mail& mail, const Decision& decision, std::size_t named, const Result<MessageId>* committed);
  void note_accepted(Mail& mail, MessageId id);
  void note_refused(Mail& mail, const Reply& reply, std::string_view rule);

  // session_auth.cc
  Task<void> on_starttls(Command command);
  Task<void> on_auth(Command command);
  Task<void> exchange(std::unique_ptr<SaslExchange> sasl, std::optional<std::string> response);
  Task<std::optional<std::string>> ask(std::string challenge);
  Task<void> auth_ended(AuthOutcome outcome);
  AuthFacts auth_facts() const;
  std::string auth_mechanisms() const;

  Server& server_;
  std::shared_ptr<const Listening> on_;
  Session* next_ = nullptr;  // in the server's list
  Session* prev_ = nullptr;
  CancelToken parent_;
  CancelState cancel_;
  Context context_;
  Stream stream_;
  SessionState state_;
  std::unique_ptr<Mail> mail_;             // from MAIL to any end: destroying it is the only reset
  IpAddress counted_;                      // in the limiter, when is_counted_
  IpAddress transport_;                    // who is connected, whoever it speaks for
  std::shared_ptr<ReverseLookup> lookup_;  // on its way; null: not asked for, or taken
  std::uint64_t text_bytes_ = 0;
  std::uint32_t messages_ = 0;
  std::uint32_t commands_ = 0;  // since the last accepted message
  std::uint32_t errors_ = 0;
  std::uint32_t unknown_ = 0;
  std::uint16_t auth_failures_ = 0;
  bool is_counted_ = false;
  bool hello_ = false;               // EHLO, HELO or LHLO was accepted
  bool esmtp_ = false;               // it was not HELO: what this session speaks, whatever client it speaks for
  bool fixed_helo_ = false;          // XCLIENT said what the client's EHLO was
  std::optional<bool> fixed_esmtp_;  // XCLIENT said which protocol the client spoke
  bool waiting_ = false;             // for a command
  bool closing_ = false;             // after the present answer
  bool answer_now_ = false;
  bool greeted_ = false;
  bool quit_ = false;
};

}  // namespace postern::smtp
