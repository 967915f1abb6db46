#include "session.h"

#include <fmt/format.h>

#include "postern/text.h"

namespace postern::simulation {

namespace {

std::string path_of(const std::string& line) {
  const std::size_t begin = line.find('<');
  const std::size_t end = line.find('>', begin);
  return begin == line.npos || end == line.npos ? std::string() : line.substr(begin + 1, end - begin - 1);
}

std::string unstuffed(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    std::size_t end = text.find("\r\n");
    end = end == text.npos ? text.size() : end + 2;
    plain += text.substr(text.front() == '.' ? 1 : 0, end - (text.front() == '.' ? 1 : 0));
    text.remove_prefix(end);
  }
  return plain;
}

}  // namespace

Session::Session(Internet& internet, std::string host, std::unique_ptr<Socket> socket)
    : internet_(internet), host_(std::move(host)), socket_(std::move(socket)), mischief_(internet.draw()) {
  Prng& random = internet_.random_;
  pipelining_ = random.chance(0.7);
  chunking_ = random.chance(0.5);
  eight_bit_ = random.chance(0.8);
  dsn_ = random.chance(0.5);
  size_ = random.chance(0.5);
  smtputf8_ = random.chance(0.5);
  old_ = random.chance(0.05);
  limits_ = random.chance(0.1);
  if (limits_ || random.chance(0.1)) most_rcpts_ = 1 + random.below(2);
  socket_->start(*this);
  answer(Step::kGreeting, "220 " + host_ + " ready");
}

Session::~Session() {
  internet_.executor_.disarm(*this);
}

void Session::cut() {
  if (socket_) trace("!", "cut");
  die(false);
}

void Session::trace(const char* mark, const std::string& line) const {
  std::string shown = fmt::format("{} {} ", host_, mark);
  for (const char c : line) shown += c == '\n' ? '|' : c >= ' ' && c < '\x7f' ? c : '?';
  internet_.trace(shown);
}

// --- reading --------------------------------------------------------------------------------------------------------

void Session::on_data(std::size_t octets) {
  received_ += octets;
  in_.append(room_, octets);
  if (received_ >= mischief_.reset_in) {
    trace("!", fmt::format("reset after {} octets", received_));
    return die(true);
  }
  work();
}

void Session::on_end(int error) {
  trace("!", error ? fmt::format("the client is gone, error {}", error) : "the client is gone");
  die(false);
}

void Session::work() {
  while (socket_ && !waits_ && !silent_ && !closing_) {
    const bool more = state_ == In::kCommands ? take_command() : state_ == In::kText ? take_text() : take_chunk();
    if (!more) return;
  }
}

bool Session::take_command() {
  const std::size_t end = in_.find("\r\n");
  if (end == std::string::npos) return false;
  const std::string line = in_.substr(0, end);
  in_.erase(0, end + 2);
  trace("<", line);
  command(line);
  return true;
}

bool Session::take_text() {
  std::size_t end = in_.starts_with(".\r\n") ? 0 : in_.find("\r\n.\r\n");
  if (end == std::string::npos) return false;
  if (!in_.starts_with(".\r\n")) end += 2;
  text_ += unstuffed(std::string_view(in_).substr(0, end));
  in_.erase(0, end + 3);
  trace("<", fmt::format("({} octets)", text_.size()));
  state_ = In::kCommands;
  text_ends();
  return true;
}

bool Session::take_chunk() {
  if (in_.size() < chunk_) return false;
  text_ += in_.substr(0, chunk_);
  in_.erase(0, chunk_);
  trace("<", fmt::format("({} octets)", text_.size()));
  state_ = In::kCommands;
  if (last_)
    text_ends();
  else
    say("250 2.0.0 more");
  return true;
}

// --- commands -------------------------------------------------------------------------------------------------------

void Session::command(const std::string& line) {
  const auto is = [&](std::string_view verb) { return starts_with_folded(line, verb); };
  if (is("EHLO")) return hello(true);
  if (is("HELO")) return hello(false);
  if (is("MAIL")) return mail(line);
  if (is("RCPT")) return rcpt(line);
  if (is("BDAT")) return bdat(line);
  if (is("DATA")) {
    if (to_.empty()) return say("554 5.5.1 no recipients");
    if (answer(Step::kData, "354 go on")) state_ = In::kText;
    return;
  }
  if (is("RSET")) {
    reset_transaction();
    return say("250 2.0.0 reset");
  }
  if (is("QUIT")) {
    if (answer(Step::kQuit, "221 2.0.0 bye")) closing_ = true;
    return send_on();
  }
  internet_.ledger_.fail(host_ + " was sent nonsense: " + line);
  say("500 5.5.2 what?");
}

void Session::hello(bool extended) {
  if (!extended || old_) {
    if (extended) return say("502 5.5.1 too new");
    pipelining_ = chunking_ = eight_bit_ = dsn_ = size_ = smtputf8_ = limits_ = false;
    return static_cast<void>(answer(Step::kHello, "250 " + host_));
  }
  std::string text = "250-" + host_;
  if (pipelining_) text += "\r\n250-PIPELINING";
  if (chunking_) text += "\r\n250-CHUNKING";
  if (eight_bit_) text += "\r\n250-8BITMIME";
  if (dsn_) text += "\r\n250-DSN";
  if (size_) text += "\r\n250-SIZE 10000000";
  if (smtputf8_) text += "\r\n250-SMTPUTF8";
  if (limits_) text += fmt::format("\r\n250-LIMITS RCPTMAX={}", most_rcpts_);
  answer(Step::kHello, text + "\r\n250 HELP");
}

void Session::mail(const std::string& line) {
  if (mail_open_) return say("503 5.5.1 one at a time");
  if (!answer(Step::kMail, "250 2.1.0 ok")) return;
  mail_open_ = true;
  from_ = path_of(line);
}

void Session::rcpt(const std::string& line) {
  const std::string address = path_of(line);
  if (!mail_open_) return say("503 5.5.1 MAIL first");
  if (to_.size() >= most_rcpts_) return say("452 4.5.3 too many");
  if (internet_.unknown(address)) return say("550 5.1.1 nobody by that name");
  if (internet_.random_.chance(internet_.weather_.greylist)) return say("450 4.2.0 come back later");
  if (answer(Step::kRcpt, "250 2.1.5 ok")) to_.push_back(address);
}

void Session::bdat(const std::string& line) {
  const auto words = split_words(line);
  const auto size = words.size() < 2 ? std::nullopt : to_number<std::uint64_t>(words[1]);
  if (!chunking_ || !size) {
    internet_.ledger_.fail(host_ + " was sent " + line);
    return die(true);
  }
  chunk_ = *size;
  last_ = words.size() > 2;
  state_ = In::kChunk;
}

void Session::reset_transaction() {
  mail_open_ = false;
  from_.clear();
  to_.clear();
  text_.clear();
}

/// The moment at which the message becomes the host's, if it takes it.
void Session::text_ends() {
  if (to_.empty()) {
    say(mail_open_ ? "554 5.5.1 no recipients" : "503 5.5.1 MAIL first");
    text_.clear();
    return;
  }
  const bool troubled =
      strikes(Step::kText) && mischief_.trouble != Trouble::kAnswerReset && mischief_.trouble != Trouble::kLate;
  const bool says_no = mischief_.trouble == Trouble::kTemporary || mischief_.trouble == Trouble::kPermanent ||
                       mischief_.trouble == Trouble::kClosing;
  std::vector<Taken*> taken;
  if (!troubled || (!says_no && mischief_.keeps)) {
    trace("*", "taken");
    taken = internet_.ledger_.host_took(internet_.executor_.now(), host_, from_, to_, text_, !eight_bit_, dsn_);
  }
  answer(Step::kText, "250 2.0.0 taken", std::move(taken));
  reset_transaction();
  ++transactions_;
}

// --- answering ------------------------------------------------------------------------------------------------------

bool Session::strikes(Step step) const {
  return mischief_.trouble != Trouble::kNone && mischief_.step == step &&
         (step < Step::kMail || step == Step::kQuit || mischief_.transaction == transactions_);
}

bool Session::answer(Step step, std::string good, std::vector<Taken*> taken) {
  if (!strikes(step)) {
    say(std::move(good), std::move(taken));
    return true;
  }
  return misbehave(good, taken);
}

bool Session::misbehave(const std::string& good, std::vector<Taken*>& taken) {
  switch (mischief_.trouble) {
    case Trouble::kNone:
      break;
    case Trouble::kTemporary:
      say("451 4.3.0 not now");
      return false;
    case Trouble::kPermanent:
      say("554 5.7.1 never");
      return false;
    case Trouble::kClosing:
      say("421 4.3.2 closing");
      closing_ = true;
      return false;
    case Trouble::kGarbage:
      say(std::string("\0\xff hello?\r\n999 what", 19));
      return false;
    case Trouble::kSilence:
      trace("!", "silence");
      silent_ = true;
      return false;
    case Trouble::kLate:
      trace("!", "late");
      late_ = good;
      late_taken_ = std::move(taken);
      waits_ = true;
      internet_.executor_.arm(*this, internet_.executor_.now() + mischief_.late);
      return true;  // it will be said
    case Trouble::kHalf:
      out_ += good.substr(0, good.size() / 2);
      said_ += good.size() / 2;
      reset_at_end_ = closing_ = true;
      send_on();
      return false;
    case Trouble::kClose:
      closing_ = true;
      send_on();
      return false;
    case Trouble::kReset:
      trace("!", "reset");
      die(true);
      return false;
    case Trouble::kAnswerReset:
      say(good);  // whether it is read before the reset is seen nobody knows: it counts as lost
      reset_at_end_ = closing_ = true;
      return true;
  }
  return true;
}

void Session::fire() {
  waits_ = false;
  say(std::exchange(late_, {}), std::exchange(late_taken_, {}));
  work();
}

void Session::say(std::string text, std::vector<Taken*> taken) {
  if (!socket_) return;
  trace(">", text);
  out_ += text + "\r\n";
  said_ += text.size() + 2;
  if (!taken.empty()) answers_.push_back({.end = said_, .taken = std::move(taken)});
  send_on();
}

void Session::send_on() {
  if (!socket_ || writing_ > 0) return;
  if (out_.empty()) {
    if (closing_) die(reset_at_end_);
    return;
  }
  const std::uint64_t room = mischief_.reset_out > written_ ? mischief_.reset_out - written_ : 0;
  writing_ = static_cast<std::size_t>(std::min<std::uint64_t>(out_.size(), room));
  if (writing_ == 0) {
    trace("!", fmt::format("reset after saying {} octets", written_));
    return die(true);
  }
  socket_->write(out_.substr(0, writing_));
  out_.erase(0, writing_);
}

void Session::on_written(int error) {
  written_ += std::exchange(writing_, 0);
  if (error) return die(false);
  // A reset that follows at once may overtake the last answer.
  if (written_ < mischief_.reset_out)
    for (const Answer& one : answers_)
      if (one.end <= written_)
        for (Taken* taken : one.taken) taken->reply_sent = true;
  std::erase_if(answers_, [&](const Answer& one) { return one.end <= written_; });
  send_on();
  work();
}

void Session::die(bool reset) {
  internet_.executor_.disarm(*this);
  if (!socket_) return;
  if (reset) socket_->reset();
  socket_.reset();
  in_.clear();
  out_.clear();
}

}  // namespace postern::simulation
