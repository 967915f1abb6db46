// The submission over a Unix socket: SMTP as a client that knows one server. RFC 5321, 3461, 6152, 6531.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "core/sendmail/deliver.h"
#include "postern/text.h"
#include "postern/verdict.h"

namespace postern::sendmail {

namespace {

constexpr long kPatienceSeconds = 120;  // for each answer; the final one waits for the server's disk and rules
constexpr std::size_t kMaxAnswer = 64 * 1024;

/// A connection and what has been read from it. An answer without a code: the connection is lost.
class Wire {
 public:
  Wire(int fd, bool verbose) : fd_(fd), verbose_(verbose) {}
  ~Wire() { ::close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t wrote = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
  }

  Reply answer() {
    Reply out{0, {}, {}};
    while (true) {
      const auto line = read_line();
      if (!line || line->size() < 3) return {0, {}, {}};
      if (verbose_) std::fprintf(stderr, "<<< %s\n", line->c_str());
      const auto code = to_number<int>(std::string_view(*line).substr(0, 3), 200, 599);
      if (!code) return {0, {}, {}};
      out.code = *code;
      if (!out.text.empty()) out.text += '\n';
      if (line->size() > 4) out.text += line->substr(4);
      if (out.text.size() > kMaxAnswer) return {0, {}, {}};
      if (line->size() == 3 || (*line)[3] != '-') break;
    }
    std::string_view text = out.text;
    const std::string_view enhanced = take_until(text, ' ');
    if (enhanced.size() >= 5 && enhanced[1] == '.' && is_ascii_digit(enhanced[0])) {
      out.enhanced = enhanced;
      out.text = std::string(text);
    }
    return out;
  }

  Reply ask(const std::string& command) {
    if (verbose_) std::fprintf(stderr, ">>> %s\n", command.c_str());
    if (!send(command + "\r\n")) return {0, {}, {}};
    return answer();
  }

 private:
  std::optional<std::string> read_line() {
    while (true) {
      const std::size_t end = buffer_.find("\r\n");
      if (end != buffer_.npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 2);
        return line;
      }
      if (buffer_.size() > kMaxAnswer) return std::nullopt;
      char piece[4096];
      const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::nullopt;
      buffer_.append(piece, static_cast<std::size_t>(got));
    }
  }
  int fd_;
  bool verbose_;
  std::string buffer_;
};

int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return -1;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

bool offers(const Reply& ehlo, std::string_view keyword) {
  for (const std::string_view line : split(ehlo.text, '\n'))
    if (const auto words = split_words(line); !words.empty() && equal_folded(words.front(), keyword)) return true;
  return false;
}

std::string mail_command(const Envelope& envelope, const Reply& ehlo, std::size_t size) {
  std::string out = "MAIL FROM:" + envelope.sender.path();
  if (offers(ehlo, "SIZE")) out += fmt::format(" SIZE={}", size);
  if (envelope.body == BodyType::k8BitMime && offers(ehlo, "8BITMIME")) out += " BODY=8BITMIME";
  if (envelope.smtputf8) out += " SMTPUTF8";
  if (!offers(ehlo, "DSN")) return out;
  if (envelope.ret != DsnReturn::kUnset) out += envelope.ret == DsnReturn::kFull ? " RET=FULL" : " RET=HDRS";
  if (!envelope.envid.empty()) out += " ENVID=" + envelope.envid;
  return out;
}

std::string rcpt_command(const Recipient& one, bool dsn) {
  std::string out = "RCPT TO:" + one.address.path();
  if (dsn && one.notify != kNotifyUnset) out += " NOTIFY=" + format_notify(one.notify);
  if (dsn && !one.orcpt.empty()) out += " ORCPT=" + one.orcpt;
  return out;
}

std::string dotted(std::string_view message) {
  std::string out;
  out.reserve(message.size() + 64);
  while (!message.empty()) {
    if (message.front() == '.') out += '.';
    const std::size_t end = message.find("\r\n");
    const std::string_view line = message.substr(0, end == message.npos ? message.npos : end + 2);
    out += line;
    message.remove_prefix(line.size());
  }
  return out + ".\r\n";
}

std::unexpected<Fault> refused(const Reply& reply) {
  const bool user = reply.enhanced.starts_with("5.1.");
  return fault(user ? "sendmail.no_user" : "sendmail.refused",
               fmt::format("{}{}{} {}", reply.code, reply.enhanced.empty() ? "" : " ", reply.enhanced, reply.text));
}

/// The answer to RCPT of all: none when the mail may go on; kTryOther and faults end it.
Result<std::optional<Sent>> name_recipients(Wire& wire, const Submission& mail, bool dsn) {
  std::optional<Reply> no;
  std::size_t good = 0;
  for (const Recipient& one : mail.envelope.recipients) {
    Reply reply = wire.ask(rcpt_command(one, dsn));
    if (reply.code == 0 || reply.temporary()) return Sent::kTryOther;
    if (reply.positive())
      ++good;
    else
      no = std::move(reply);
  }
  if (!no) return std::nullopt;
  if (good == 0) return refused(*no);
  return Sent::kTryOther;  // the server reports on those when it finds the message in its folder
}

}  // namespace

Result<Sent> send_over_socket(const std::string& path, const Submission& mail, bool verbose) {
  const int fd = connect_to(path);
  if (fd < 0) return Sent::kTryOther;
  Wire wire(fd, verbose);
  if (wire.answer().code != 220) return Sent::kTryOther;
  const Reply ehlo = wire.ask("EHLO localhost");
  if (ehlo.code != 250 || (mail.envelope.smtputf8 && !offers(ehlo, "SMTPUTF8"))) return Sent::kTryOther;
  const Reply from = wire.ask(mail_command(mail.envelope, ehlo, mail.message.size()));
  // A server that asks for a password does not know its local users; the folder tells it who they are.
  if (from.code == 0 || from.temporary() || from.code == 530) return Sent::kTryOther;
  if (!from.positive()) return refused(from);
  auto named = name_recipients(wire, mail, offers(ehlo, "DSN"));
  if (!named) return std::unexpected(named.error());
  if (*named) return **named;
  const Reply go = wire.ask("DATA");
  if (go.code != 354) return go.permanent() ? Result<Sent>(refused(go)) : Sent::kTryOther;
  if (!wire.send(dotted(mail.message))) return Sent::kTryOther;
  // An answer that is lost counts as none: better twice than not at all.
  const Reply last = wire.answer();
  if (last.code == 0 || last.temporary()) return Sent::kTryOther;
  if (!last.positive()) return refused(last);
  wire.ask("QUIT");
  return Sent::kYes;
}

}  // namespace postern::sendmail
