// DATA and BDAT: the text of a message on its way into the spool. RFC 5321 §4.1.1.4, §4.5.2; 3030 §2.
//
// This is the hot path. Runs of lines go from the stream's buffer to the draft without a copy in between, and no
// coroutine is entered per line. What is wrong with a text is noted, and the rest of it read and dropped, since only
// its end tells where commands begin again.
#include <algorithm>

#include "parameters.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

namespace {

// A client that goes on sending beyond twice the announced limit will not stop by itself.
constexpr std::uint64_t kOversizeSlack = 1 << 20;
std::uint64_t most_octets(std::uint64_t limit) {
  return 2 * limit + kOversizeSlack;
}

}  // namespace

void Session::begin_text(BodyScanner::Framing framing) {
  Transaction& transaction = mail_->transaction;
  mail_->intake.emplace(server_.parts.spool.begin(server_.executor(), transaction.envelope.size.value_or(0)),
                        BodyScanner(framing, settings().bare_newline == BareNewline::kNormalize));
  mail_->intake->until = server_.executor().now() + settings().transfer_timeout;
  transaction.draft = &mail_->intake->draft;
}

Task<void> Session::on_data(Command) {
  if (mail_->transaction.envelope.recipients.empty()) {
    say(replies::kNeedRecipient);
    co_return;
  }
  begin_text(BodyScanner::Framing::kDots);
  say(replies::kGoAhead);
  co_await take_text(*mail_, std::nullopt);
  if (!closing_) co_await finish(std::move(mail_));
}

Task<void> Session::on_bdat(Command command) {
  const auto arguments = parse_bdat(command.argument);
  if (!arguments) {
    // How many octets follow is not known, and they must not be taken for commands.
    say(arguments.error());
    closing_ = true;
    co_return;
  }
  if (const std::string_view wrong = bdat_out_of_order(); !wrong.empty()) {
    co_await skip(arguments->size);
    if (!closing_) say(wrong);
    if (arguments->last && mail_ && mail_->chunks_failed) end_transaction("a chunk was refused");
    co_return;
  }
  if (!mail_->intake) begin_text(BodyScanner::Framing::kChunks);
  co_await take_text(*mail_, arguments->size);
  if (closing_) co_return;
  if (arguments->last) {
    answer_now_ = true;
    co_await end_chunks(*mail_->intake);
    co_return co_await finish(std::move(mail_));
  }
  if (!mail_->intake->refusal) {
    say("250 2.0.0 " + std::to_string(arguments->size) + " octets taken\r\n");
    co_return;
  }
  note_refused(*mail_, mail_->intake->refusal->reply, mail_->intake->refusal->rule);
  say(mail_->intake->refusal->reply);
  mail_->transaction.draft = nullptr;
  mail_->intake.reset();
  mail_->chunks_failed = true;
}

std::string_view Session::bdat_out_of_order() const {
  if (!settings().chunking) return replies::kNotImplemented;
  if (!hello_) return listener().is_lmtp() ? replies::kAfterLhlo : replies::kAfterHello;
  if (needs_tls()) return replies::kNeedTls;
  if (!mail_) return replies::kInsideMail;
  if (mail_->chunks_failed) return replies::kChunksFailed;
  if (mail_->transaction.envelope.recipients.empty()) return replies::kNeedRecipient;
  return {};
}

/// Reads the text into the draft: to the final dot, or `chunk` octets of it.
Task<void> Session::take_text(Mail& mail, std::optional<std::uint64_t> chunk) {
  Intake& intake = *mail.intake;
  std::uint64_t left = chunk.value_or(~std::uint64_t{0});
  while (left != 0) {
    while (left != 0 && !stream_.buffered().empty()) {
      const std::string_view input = stream_.buffered().substr(0, left);
      const BodyScanner::Step step = intake.scanner.next(input);
      stream_.take(step.consumed);  // the piece stays where it is until the next read
      left -= step.consumed;
      note_size(mail, step.piece.size());
      if (closing_) co_return;
      if (!step.piece.empty() && !intake.refusal) {
        Result<void> stored;
        if (intake.opened)
          stored = co_await intake.draft.append(step.piece);
        else
          stored = co_await open_text(intake, step.piece);
        if (!stored)
          intake.refuse(stored.error().code == "spool.full" ? 452 : 451,
                        stored.error().code == "spool.full" ? "4.3.1" : "4.3.0", "Your message could not be stored now",
                        stored.error().code);
        else if (!intake.header_seen && intake.draft.header_complete())
          co_await header_arrived(mail);
      }
      if (step.ended) co_return;
    }
    if (left != 0) co_await more_text(&mail);
  }
}

/// Takes the first octets, until it is certain whether they are a header. Words without one get an empty line in front.
Task<Result<void>> Session::open_text(Intake& intake, std::string_view piece) {
  const OpeningCheck::Answer answer = intake.opening.feed(piece);
  if (answer == OpeningCheck::Answer::kUndecided) {
    intake.undecided += piece;
    co_return Result<void>();
  }
  intake.opened = true;
  std::string first = answer == OpeningCheck::Answer::kWords ? "\r\n" : "";
  first += std::exchange(intake.undecided, {});
  if (!first.empty())
    if (Result<void> stored = co_await intake.draft.append(first); !stored) co_return stored;
  co_return co_await intake.draft.append(piece);
}

/// The last chunk has come: a text ends in CRLF, and what began like a header's name without ever getting a colon is
/// words.
Task<void> Session::end_chunks(Intake& intake) {
  const std::string_view rest = intake.scanner.finish();
  if (rest.empty() || intake.refusal) co_return;
  // A fault comes back from the commit.
  if (intake.opened)
    static_cast<void>(co_await intake.draft.append(rest));
  else
    static_cast<void>(co_await open_text(intake, rest));
}

/// Counts a piece of text against the limits; past all patience it ends the session.
void Session::note_size(Mail& mail, std::size_t octets) {
  Intake& intake = *mail.intake;
  intake.octets += octets;
  text_bytes_ += octets;
  const std::uint64_t limit = on_->max_message_size();
  if (intake.octets <= limit && text_bytes_ <= settings().max_session_bytes.bytes) return;
  if (intake.octets > limit)
    intake.refuse(552, "5.3.4", "Message too big: the limit is " + std::to_string(limit) + " octets", "size");
  if (intake.octets <= most_octets(limit) && text_bytes_ <= settings().max_session_bytes.bytes) return;
  if (intake.octets > limit) say(intake.refusal->reply);
  say_last(replies::kTooManyBytes);
}

/// Waits for octets, having sent what is queued: a client that waits for 354 would else wait forever.
Task<void> Session::more_text(const Mail* mail) {
  if (stream_.unflushed() != 0) co_await flush();
  Instant until = server_.executor().now() + settings().data_timeout;
  if (mail) until = std::min(until, mail->intake->until);
  co_await stream_.fill(Deadline::at(until));
}

/// Reads a chunk that nobody wants.
Task<void> Session::skip(std::uint64_t octets) {
  if (octets > most_octets(on_->max_message_size())) {
    say_last(replies::kTooManyBytes);
    co_return;
  }
  while (octets != 0) {
    const std::size_t some = static_cast<std::size_t>(std::min<std::uint64_t>(octets, stream_.buffered().size()));
    stream_.consume(some);
    octets -= some;
    text_bytes_ += some;
    if (octets != 0) co_await more_text(nullptr);
  }
  if (text_bytes_ > settings().max_session_bytes.bytes) say_last(replies::kTooManyBytes);
}

/// The header is complete: look for loops, mend what is to be mended, ask the hooks.
Task<void> Session::header_arrived(Mail& mail) {
  Intake& intake = *mail.intake;
  Transaction& transaction = mail.transaction;
  intake.header_seen = true;
  intake.header = read_header(intake.draft.header());
  transaction.received_count = intake.header.received;
  if (intake.header.received > settings().max_received) {
    intake.refuse(554, "5.4.6", "Mail loop: too many Received fields", "loop");  // RFC 5321 §6.3
    co_return;
  }
  const MendRules rules{.submission = listener().takes_first(),
                        .strip_bcc = settings().strip_bcc,
                        .sender = transaction.envelope.sender,
                        .hostname = on_->hostname,
                        .now = server_.executor().wall(),
                        .random = server_.executor().random()};
  if (auto mended = mend_header(intake.draft.header(), intake.header, rules))
    intake.draft.replace_header(std::move(*mended));
  co_await name_for(Stage::kData, &transaction);
  Verdict verdict = co_await policy().data(transaction);
  if (verdict.refuses() && !intake.refusal) intake.refusal = std::move(verdict);
}

}  // namespace postern::smtp
