#include "core/sendmail/smtp_server.h"

#include <fmt/format.h>

#include <istream>
#include <optional>
#include <ostream>

#include "postern/text.h"

namespace postern::sendmail {

namespace {

constexpr std::size_t kMaxLine = 1 << 20;
constexpr std::size_t kMaxRecipients = 10'000;

class Talk {
 public:
  Talk(std::istream& in, std::ostream& out, const Settings& settings, const Facts& facts, const Deliver& deliver)
      : in_(in), out_(out), settings_(settings), facts_(facts), deliver_(deliver) {}

  void run() {
    say(fmt::format("220 {} ESMTP Postern", facts_.domain));
    while (const auto line = read_line()) {
      std::string_view rest = *line;
      const std::string verb = to_upper(take_until(rest, ' '));
      if (verb == "QUIT") return say("221 2.0.0 Bye");
      command(verb, trim(rest));
    }
  }

 private:
  void command(const std::string& verb, std::string_view rest) {
    if (verb == "EHLO") return hello();
    if (verb == "HELO") return reset(), say("250 " + facts_.domain);
    if (verb == "NOOP") return say("250 2.0.0 OK");
    if (verb == "RSET") return reset(), say("250 2.0.0 OK");
    if (verb == "VRFY") return say("252 2.0.0 Send it and see");
    if (verb == "HELP") return say("214 2.0.0 RFC 5321");
    if (verb == "MAIL") return mail(rest);
    if (verb == "RCPT") return rcpt(rest);
    if (verb == "DATA") return data();
    say("500 5.5.2 Unknown command");
  }

  void hello() {
    reset();
    say(fmt::format("250-{}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE {}", facts_.domain,
                    settings_.max_message_size));
  }

  /// The path and its parameters behind "FROM:" or "TO:".
  std::optional<std::pair<std::string, std::vector<std::string_view>>> path(std::string_view rest,
                                                                            std::string_view word) {
    if (!starts_with_folded(rest, word)) return std::nullopt;
    rest = trim_left(rest.substr(word.size()));
    const std::size_t end = rest.starts_with('<') ? rest.find('>') : rest.find(' ');
    if (rest.starts_with('<') && end == rest.npos) return std::nullopt;
    const bool bracket = rest.starts_with('<');
    std::string address(bracket ? rest.substr(1, end - 1) : rest.substr(0, end));
    return std::pair{std::move(address), split_words(end == rest.npos ? std::string_view() : rest.substr(end + 1))};
  }

  void mail(std::string_view rest) {
    if (envelope_) return say("503 5.5.1 One mail at a time");
    const auto found = path(rest, "FROM:");
    if (!found) return say("501 5.5.4 MAIL FROM:<address>");
    Envelope envelope;
    if (!found->first.empty()) {
      auto sender = complete_address(found->first, facts_.domain);
      if (!sender) return say("501 5.1.7 " + sender.error().detail);
      envelope.sender = std::move(*sender);
    }
    for (const std::string_view word : found->second)
      if (!mail_parameter(envelope, word)) return say(fmt::format("555 5.5.4 {}", word));
    envelope_ = std::move(envelope);
    say("250 2.1.0 OK");
  }

  static bool mail_parameter(Envelope& envelope, std::string_view word) {
    if (starts_with_folded(word, "SIZE=")) return parse_declared_size(word.substr(5)).has_value();
    if (starts_with_folded(word, "BODY="))
      return parse_body(word.substr(5)).value_or(BodyType::kBinaryMime) != BodyType::kBinaryMime;
    if (equal_folded(word, "SMTPUTF8")) return true;
    if (starts_with_folded(word, "RET=")) {
      const auto ret = parse_ret(word.substr(4));
      if (ret) envelope.ret = *ret;
      return ret.has_value();
    }
    if (!starts_with_folded(word, "ENVID=") || !parse_envid(word.substr(6))) return false;
    envelope.envid = word.substr(6);
    return true;
  }

  void rcpt(std::string_view rest) {
    if (!envelope_) return say("503 5.5.1 MAIL first");
    if (envelope_->recipients.size() == kMaxRecipients) return say("452 4.5.3 Too many recipients");
    const auto found = path(rest, "TO:");
    if (!found) return say("501 5.5.4 RCPT TO:<address>");
    auto address = complete_address(found->first, facts_.domain);
    if (!address) return say("501 5.1.3 " + address.error().detail);
    Recipient one;
    one.address = std::move(*address);
    for (const std::string_view word : found->second) {
      if (starts_with_folded(word, "NOTIFY=") && parse_notify(word.substr(7)))
        one.notify = *parse_notify(word.substr(7));
      else if (starts_with_folded(word, "ORCPT=") && parse_orcpt(word.substr(6)))
        one.orcpt = word.substr(6);
      else
        return say(fmt::format("555 5.5.4 {}", word));
    }
    envelope_->recipients.push_back(std::move(one));
    say("250 2.1.5 OK");
  }

  void data() {
    if (!envelope_ || envelope_->recipients.empty()) return say("503 5.5.1 RCPT first");
    say("354 Go ahead, end with a dot");
    std::string text;
    bool too_large = false;
    while (true) {
      const auto line = read_line();
      if (!line) return;  // the caller is gone: nothing was promised
      if (*line == ".") break;
      too_large = too_large || text.size() + line->size() > settings_.max_message_size;
      if (!too_large) text += std::string_view(*line).substr(line->starts_with('.') ? 1 : 0), text += "\n";
    }
    if (too_large) return reset(), say("552 5.3.4 Message too big");
    Options options;
    options.ignore_dots = true;
    options.sender = envelope_->sender.to_string();
    for (const Recipient& one : envelope_->recipients) options.recipients.push_back(one.address.to_string());
    auto made = compose(options, std::move(text), facts_);
    if (!made) return reset(), say("550 5.6.0 " + made.error().detail);
    made->envelope.recipients = envelope_->recipients;
    made->envelope.ret = envelope_->ret;
    made->envelope.envid = envelope_->envid;
    reset();
    const auto done = deliver_(*made);
    if (done) return say("250 2.0.0 Taken");
    say(done.error().code == "sendmail.drop" ? "451 4.3.0 " + done.error().detail : "554 5.0.0 " + done.error().detail);
  }

  void reset() { envelope_.reset(); }
  void say(const std::string& line) { out_ << line << "\r\n" << std::flush; }

  /// Without its line end; nothing at the end of the input, and for a line that is too long.
  std::optional<std::string> read_line() {
    std::string line;
    char c = 0;
    while (in_.get(c)) {
      if (c == '\n') {
        if (line.ends_with('\r')) line.pop_back();
        return line;
      }
      if (line.size() == kMaxLine) return std::nullopt;
      line += c;
    }
    return std::nullopt;
  }

  std::istream& in_;
  std::ostream& out_;
  const Settings& settings_;
  const Facts& facts_;
  const Deliver& deliver_;
  std::optional<Envelope> envelope_;
};

}  // namespace

void serve_smtp(std::istream& in, std::ostream& out, const Settings& settings, const Facts& facts,
                const Deliver& deliver) {
  Talk(in, out, settings, facts, deliver).run();
}

}  // namespace postern::sendmail
