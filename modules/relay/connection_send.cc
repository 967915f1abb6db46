// One transaction: the envelope, the text, and which reply is whose.
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "connection.h"
#include "dot_stuffer.h"

namespace postern::relay {

namespace {

constexpr std::size_t kFlushAt = 32 * 1024;

/// RFC 5321 §4.5.3.1.10: the host takes no more recipients now; those that it took go first.
bool too_many(const Reply& reply) {
  return (reply.code == 452 || reply.code == 552) && (reply.enhanced.empty() || reply.enhanced.ends_with(".5.3"));
}

Reply unsound(const Reply& said, std::string_view to) {
  return {451, "4.5.0", fmt::format("{} was answered with {} {}", to, said.code, said.text)};
}

/// RFC 5321 §4.2.1: only 2yz says that it was done. A 3yz wants more of us, where nothing more comes.
bool done(const Reply& reply) {
  return reply.code >= 200 && reply.code < 300;
}

/// `to`: what was answered, should the answer be none.
Outcome outcome_of(const Reply& reply, std::string_view to) {
  if (done(reply)) return {Outcome::Kind::kDelivered, reply};
  if (reply.positive()) return {Outcome::Kind::kDeferred, unsound(reply, to)};
  return {reply.permanent() ? Outcome::Kind::kRefused : Outcome::Kind::kPutOff, reply};
}

}  // namespace

struct Connection::Flight {
  Mail& mail;
  Sent& sent;
  MailLine line{};
  std::vector<bool> accepted{};  // at RCPT, beside mail.recipients
  std::size_t count = 0;         // of them
  std::size_t leading = 0;       // replies that come before MAIL's: RSET, XFORWARD
  bool chunk = false;
  bool mail_accepted = false;
  bool closing = false;    // 421, or the spool failed: nothing more comes of this connection
  bool confused = false;   // it answered what is no answer: nobody knows what it waits for
  bool text_sent = false;  // with its end
  bool ended = false;      // the reply that ends the transaction has come

  void all(const Outcome& outcome) { std::ranges::fill(sent.outcomes, outcome); }
  void all_accepted(const Outcome& outcome) {
    for (std::size_t at = 0; at < accepted.size(); ++at)
      if (accepted[at]) sent.outcomes[at] = outcome;
  }
};

Task<Sent> Connection::send(Mail& mail) {
  Sent sent;
  sent.outcomes.resize(mail.recipients.size());
  Flight flight{.mail = mail, .sent = sent};
  if (auto why = misfit(mail, can_, secure())) {
    flight.all({Outcome::Kind::kRefused, *why});
    sent.heard = sent.usable = true;
    co_return sent;
  }
  const BodyType body = mail.envelope.body;
  const bool fits = body == BodyType::k7Bit || (body == BodyType::k8BitMime && can_.eightbitmime) ||
                    (body == BodyType::kBinaryMime && can_.binarymime && can_.chunking);
  std::string lost;
  try {
    if (fits) {
      mail.content.as_it_is();  // a host before this one may have needed another text
    } else {
      if (auto converted = co_await mail.content.convert(); !converted) {
        flight.all({Outcome::Kind::kDeferred, {451, "4.3.0", "the message cannot be read: " + converted.error().code}});
        sent.heard = sent.usable = true;
        co_return sent;
      }
    }
    mail.content.rewind();
    usable_ = false;
    co_await transact(flight);
    usable_ = !flight.closing && !flight.confused;
  } catch (const Cancelled&) {
    throw;
  } catch (const TimedOut&) {
    lost = "the host did not answer in time";
  } catch (const Error& error) {
    lost = fmt::format("the conversation broke: {}", error.what());
  }
  ++messages_;
  if (!lost.empty()) last_words(flight);
  finish(flight, lost);
  sent.usable = usable_;
  co_return sent;
}

/// A host may refuse a text before it has all of it, and end the connection: its reply may be in the buffer.
void Connection::last_words(Flight& flight) {
  if (flight.count == 0 || flight.text_sent || flight.ended) return;
  try {
    if (!take_reply() || reply().positive()) return;
  } catch (const ProtocolError&) {
    return;
  }
  for (std::size_t at = 0; at < flight.accepted.size(); ++at)
    if (flight.accepted[at] && flight.sent.outcomes[at].kind == Outcome::Kind::kNone)
      flight.sent.outcomes[at] = outcome_of(reply(), "the text");
}

/// What is still open when the transaction has ended, one way or another.
void Connection::finish(Flight& flight, std::string_view lost) {
  Sent& sent = flight.sent;
  if (!lost.empty()) {
    sent.failure = {451, "4.4.2", std::string(lost)};
    if (flight.text_sent && !flight.ended)
      for (std::size_t at = 0; at < flight.accepted.size(); ++at) {
        if (sent.outcomes[at].kind != Outcome::Kind::kNone) continue;
        if (flight.accepted[at])
          sent.outcomes[at] = {Outcome::Kind::kReplyLost,
                               {451, "4.4.2", "all was sent, and the reply did not come: " + std::string(lost)}};
        else  // the reply to its RCPT is lost, too; it may have been a yes
          sent.maybe_sent = true;
      }
  }
  if (sent.failure.code == 250) sent.failure = {451, "4.5.0", "the host said nothing of this recipient"};
}

void Connection::put_envelope(Flight& flight) {
  std::string text;
  if (needs_reset_) {
    text += "RSET\r\n";
    ++flight.leading;
  }
  if (flight.mail.xforward && can_.xforward) {
    if (auto client = ClientInfo::decode(flight.mail.content.client())) {
      append_xforward(text, *client, can_.xforward);
      ++flight.leading;
    }
  }
  append_mail(text, flight.mail, can_, flight.line);
  for (const std::uint32_t one : flight.mail.recipients) append_rcpt(text, flight.mail.envelope.recipients[one], can_);
  stream_->put(text);
}

Task<void> Connection::transact(Flight& flight) {
  Mail& mail = flight.mail;
  flight.accepted.resize(mail.recipients.size());
  flight.line = {.smtputf8 = can_.smtputf8 && needs_smtputf8(mail),
                 .prdr = can_.prdr && protocol_ == Protocol::kSmtp && mail.recipients.size() > 1,
                 .seven_bit = mail.content.converted(),
                 .size = mail.content.size()};
  flight.chunk = can_.chunking && !mail.content.converted();
  const bool single = flight.chunk && can_.pipelining && flight.line.size <= single_flight_;
  if (single && !co_await mark(flight)) co_return;
  if (can_.pipelining) {
    put_envelope(flight);
    if (single) {
      stream_->put(fmt::format("BDAT {} LAST\r\n", flight.line.size));
      if (!co_await put_text(flight)) co_return;
    } else {
      if (!flight.chunk) stream_->put("DATA\r\n");
      co_await stream_->flush(Deadline::after(timeout_.block));
      mail.mark.begin();
    }
    co_await envelope_replies(flight);
  } else {
    mail.mark.begin();
    co_await one_by_one(flight);
  }
  if (flight.closing) co_return;
  needs_reset_ = false;
  if (single)
    co_await final_replies(flight);
  else if (flight.chunk)
    co_await by_chunk(flight);
  else
    co_await by_data(flight);
  note_reset(flight);
}

/// After a transaction that MAIL opened and no 2xx ended the host may still hold it open (RFC 3030 §4.2).
void Connection::note_reset(const Flight& flight) {
  needs_reset_ = flight.mail_accepted && !flight.ended;
}

Task<void> Connection::one_by_one(Flight& flight) {
  if (needs_reset_) {
    co_await ask("RSET", timeout_.mail);
    if (!take_leading(flight)) co_return;
  }
  std::string line;
  if (flight.mail.xforward && can_.xforward) {
    if (auto client = ClientInfo::decode(flight.mail.content.client())) {
      append_xforward(line, *client, can_.xforward);
      line.resize(line.size() - 2);
      co_await ask(line, timeout_.mail);
      if (!take_leading(flight)) co_return;
    }
  }
  line.clear();
  append_mail(line, flight.mail, can_, flight.line);
  line.resize(line.size() - 2);
  const Reply said = co_await ask(line, timeout_.mail);
  flight.sent.heard = true;
  flight.mail_accepted = done(said);
  flight.confused = said.positive() && !flight.mail_accepted;
  flight.closing = said.code == 421;
  if (flight.closing) flight.sent.failure = said;
  if (!flight.mail_accepted && !flight.closing) flight.all(outcome_of(said, "MAIL"));
  if (!flight.mail_accepted) co_return;
  for (std::size_t at = 0; at < flight.accepted.size(); ++at) {
    line.clear();
    append_rcpt(line, flight.mail.envelope.recipients[flight.mail.recipients[at]], can_);
    line.resize(line.size() - 2);
    take_rcpt(flight, at, co_await ask(line, timeout_.rcpt));
    if (flight.closing) co_return;
  }
}

void Connection::take_rcpt(Flight& flight, std::size_t at, const Reply& said) {
  if (said.code == 421) {
    flight.closing = true;
    flight.sent.failure = said;
  } else if (done(said)) {
    flight.accepted[at] = true;
    ++flight.count;
  } else if (too_many(said) && flight.count > 0) {
    flight.sent.outcomes[at] = {Outcome::Kind::kTooMany, said};
  } else {
    flight.sent.outcomes[at] = outcome_of(said, "RCPT");
    flight.confused |= said.positive();
  }
}

/// A reply to what stands before MAIL. A host that does not forget the transaction before would take our text for that
/// one's; one that does not want to know where mail came from takes it all the same.
bool Connection::take_leading(Flight& flight) {
  flight.sent.heard = true;
  const bool reset = std::exchange(needs_reset_, false);  // RSET is the first of them
  if (reply().code != 421 && (!reset || done(reply()))) return true;
  flight.closing = true;
  flight.sent.failure = reply().code == 421 ? reply() : unsound(reply(), "RSET");
  flight.sent.maybe_sent = flight.text_sent && reply().code != 421;
  return false;
}

Task<void> Connection::envelope_replies(Flight& flight) {
  for (; flight.leading > 0; --flight.leading) {
    if (!take_reply()) co_await wait_reply(timeout_.mail);
    if (!take_leading(flight)) co_return;
  }
  if (!take_reply()) co_await wait_reply(timeout_.mail);
  flight.sent.heard = true;
  const Reply said = reply();
  flight.mail_accepted = done(said);
  flight.confused = said.positive() && !flight.mail_accepted;
  if (said.code == 421) {
    flight.closing = true;
    flight.sent.failure = said;
    co_return;
  }
  if (!flight.mail_accepted) flight.all(outcome_of(said, "MAIL"));
  for (std::size_t at = 0; at < flight.accepted.size(); ++at) {
    if (!take_reply()) co_await wait_reply(timeout_.rcpt);
    if (flight.mail_accepted || reply().code == 421) take_rcpt(flight, at, reply());
    if (flight.closing) co_return;
  }
}

/// False: nothing was sent, since it could not be noted that it was about to be.
Task<bool> Connection::mark(Flight& flight) {
  auto marked = co_await flight.mail.mark.durable();
  if (marked) co_return true;
  const Outcome outcome{Outcome::Kind::kDeferred,
                        {451, "4.3.0", "the queue cannot be written: " + marked.error().code}};
  for (std::size_t at = 0; at < flight.sent.outcomes.size(); ++at)
    if (flight.accepted[at] || flight.sent.outcomes[at].kind == Outcome::Kind::kNone)
      flight.sent.outcomes[at] = outcome;
  flight.closing = true;
  co_return false;
}

Task<void> Connection::by_chunk(Flight& flight) {
  if (flight.count == 0) co_return;
  if (!co_await mark(flight)) co_return;
  stream_->put(fmt::format("BDAT {} LAST\r\n", flight.line.size));
  if (co_await put_text(flight)) co_await final_replies(flight);
}

Task<void> Connection::by_data(Flight& flight) {
  if (!can_.pipelining) {
    if (flight.count == 0) co_return;
    co_await ask("DATA", timeout_.data);
  } else if (!take_reply()) {
    co_await wait_reply(timeout_.data);
  }
  if (reply().code != 354) {
    if (flight.count == 0) co_return;
    const Reply said = reply();
    if (said.code == 421) {
      flight.closing = true;
      flight.sent.failure = said;
      co_return;
    }
    flight.all_accepted(outcome_of(said.positive() ? unsound(said, "DATA") : said, "DATA"));
    flight.closing = said.positive();
    co_return;
  }
  if (flight.count == 0) {
    // RFC 2920 §3.1: the host goes on although it took nobody. An empty text ends it; what it says is nobody's.
    if (protocol_ == Protocol::kLmtp) {
      flight.closing = true;
      co_return;
    }
    co_await ask(".", timeout_.final_dot);
    flight.ended = true;
    co_return;
  }
  if (!co_await mark(flight)) co_return;
  if (co_await put_stuffed(flight)) co_await final_replies(flight);
}

/// The text as it is, behind BDAT: views of the spool's memory, the first together with the commands before it. False:
/// it could not be read to its announced end; the host must not take what it has for the whole.
Task<bool> Connection::put_text(Flight& flight) {
  Content& content = flight.mail.content;
  std::uint64_t left = flight.line.size;
  const auto took = [&left](std::string_view piece) { left = piece.size() <= left ? left - piece.size() : ~0ULL; };
  stream_->put(content.prefix());
  took(content.prefix());
  if (content.header().size() > kFlushAt)
    co_await stream_->write(content.header(), Deadline::after(timeout_.block));
  else
    stream_->put(content.header());
  took(content.header());
  std::string why = "it is shorter than it was";
  while (left != 0 && left != ~0ULL) {
    auto piece = co_await content.next_body();
    if (!piece) why = piece.error().code;
    if (!piece || piece->empty() || piece->size() > left) break;
    left -= piece->size();
    co_await stream_->write(*piece, Deadline::after(timeout_.block));
  }
  if (left == 0) {
    flight.text_sent = true;
    co_await stream_->flush(Deadline::after(timeout_.block));
    co_return true;
  }
  stream_->abort();
  flight.closing = true;
  flight.all({Outcome::Kind::kDeferred, {451, "4.3.0", "the message cannot be read: " + why}});
  co_return false;
}

Task<bool> Connection::put_stuffed(Flight& flight) {
  DotStuffer stuffer;
  std::vector<std::string_view> runs;  // of a piece, from its first long one on
  const auto put = [&](std::string_view run) {
    if (runs.empty() && run.size() < kFlushAt)
      stream_->put(run);
    else
      runs.push_back(run);
  };
  while (true) {
    auto piece = co_await flight.mail.content.next();
    if (!piece) {
      stream_->abort();
      flight.closing = true;
      flight.all_accepted(
          {Outcome::Kind::kDeferred, {451, "4.3.0", "the message cannot be read: " + piece.error().code}});
      co_return false;
    }
    if (piece->empty()) break;
    stuffer.feed(*piece, put);
    for (const std::string_view run : runs) {
      if (run.size() >= kFlushAt)
        co_await stream_->write(run, Deadline::after(timeout_.block));
      else
        stream_->put(run);
    }
    runs.clear();
    if (stream_->unflushed() >= kFlushAt) co_await stream_->flush(Deadline::after(timeout_.block));
  }
  stuffer.finish(put);
  flight.text_sent = true;
  co_await stream_->flush(Deadline::after(timeout_.block));
  co_return true;
}

Task<void> Connection::final_replies(Flight& flight) {
  const bool lmtp = protocol_ == Protocol::kLmtp;
  bool good = true;
  std::size_t at = 0;
  do {  // LMTP: one for each that was accepted (RFC 2033 §4.2); else one
    while (lmtp && flight.count > 0 && !flight.accepted[at]) ++at;
    if (!take_reply()) co_await wait_reply(timeout_.final_dot);
    if (flight.count == 0) break;
    if (flight.line.prdr && reply().code == 353) co_return co_await prdr_replies(flight);
    Outcome outcome = outcome_of(reply(), "the text");
    good = done(reply());
    outcome.dsn_handed_on = can_.dsn && good;
    flight.confused |= reply().positive() && !good;
    flight.closing |= reply().code == 421;
    if (lmtp)
      flight.sent.outcomes[at] = outcome;
    else
      flight.all_accepted(outcome);
  } while (lmtp && std::find(flight.accepted.begin() + static_cast<long>(++at), flight.accepted.end(), true) !=
                       flight.accepted.end());
  flight.ended = flight.count != 0 && (good || !flight.chunk || lmtp);
}

/// PRDR: one reply for each, then one for the message. A no to one of them stands at once; a yes holds only when the
/// message gets one, too: until then it may have been taken, and no more than that.
Task<void> Connection::prdr_replies(Flight& flight) {
  std::vector<Outcome> yes(flight.accepted.size());
  for (std::size_t at = 0; at < flight.accepted.size(); ++at) {
    if (!flight.accepted[at]) continue;
    if (!take_reply()) co_await wait_reply(timeout_.final_dot);
    Outcome outcome = outcome_of(reply(), "the text");
    const bool well = outcome.kind == Outcome::Kind::kDelivered;
    outcome.dsn_handed_on = can_.dsn && well;
    flight.confused |= reply().positive() && !well;
    flight.closing |= reply().code == 421;
    (well ? yes : flight.sent.outcomes)[at] = std::move(outcome);
  }
  if (!take_reply()) co_await wait_reply(timeout_.final_dot);
  const bool good = done(reply());
  flight.confused |= reply().positive() && !good;
  flight.closing |= reply().code == 421;
  for (std::size_t at = 0; at < yes.size(); ++at)
    if (yes[at].kind == Outcome::Kind::kDelivered)
      flight.sent.outcomes[at] = good ? std::move(yes[at]) : outcome_of(reply(), "the text");
  flight.ended = good || !flight.chunk;
}

}  // namespace postern::relay
