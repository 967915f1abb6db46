#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/sendmail/deliver.h"
#include "core/sendmail/program.h"
#include "core/sendmail/smtp_server.h"
#include "postern/message.h"
#include "postern/random.h"
#include "postern/spool.h"
#include "postern/text.h"

using namespace postern;
using namespace postern::sendmail;

namespace fs = std::filesystem;

namespace {

Options options(const std::vector<std::string>& words, std::string_view program = "/usr/sbin/sendmail") {
  auto parsed = parse_options(words, program);
  if (!parsed) FAIL(parsed.error().detail);
  return *parsed;
}

const Facts kFacts{.domain = "here.example",
                   .caller = {.login = "ann", .full_name = "Ann Other"},
                   .now = WallTime(std::chrono::seconds(1'800'000'000)),
                   .random = 42};

Submission composed(const std::vector<std::string>& words, std::string input) {
  auto made = compose(options(words), std::move(input), kFacts);
  if (!made) FAIL(made.error().detail);
  return *made;
}

std::string recipients(const Submission& mail) {
  std::string out;
  for (const Recipient& one : mail.envelope.recipients) out += (out.empty() ? "" : " ") + one.address.to_string();
  return out;
}

struct Folder {
  Folder() : path(fs::temp_directory_path() / ("postern-sendmail-" + random_base32(12))) {
    fs::create_directory(path);
    fs::create_directory(path / "drop");
    std::ofstream(path / "conf") << "drop = " << (path / "drop").string() << "\nsocket = " << (path / "sock").string()
                                 << "\ncontrol = " << (path / "control").string() << "\ndomain = here.example\n";
    ::setenv("POSTERN_SENDMAIL_CONF", (path / "conf").c_str(), 1);
  }
  ~Folder() {
    ::unsetenv("POSTERN_SENDMAIL_CONF");
    fs::remove_all(path);
  }
  std::vector<std::string> dropped() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path / "drop")) {
      std::ifstream in(entry.path(), std::ios::binary);
      std::ostringstream text;
      text << in.rdbuf();
      out.push_back(text.str());
    }
    return out;
  }
  int run(const std::vector<std::string>& words, std::string input, std::string program = "sendmail") {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const int code = sendmail::run(program, words, in, out, err);
    output = out.str();
    errors = err.str();
    return code;
  }
  fs::path path;
  std::string output, errors;
};

/// A server on a Unix socket that answers by a script: an answer for each line that begins with its word.
class ScriptedServer {
 public:
  ScriptedServer(const fs::path& path, std::vector<std::pair<std::string, std::string>> answers)
      : answers_(std::move(answers)), fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd_, 1) == 0);
    thread_ = std::thread([this] { talk(); });
  }
  ~ScriptedServer() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  std::string heard() {
    ::shutdown(fd_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([] {});
    return heard_;
  }

 private:
  void talk() {
    const int peer = ::accept(fd_, nullptr, nullptr);
    if (peer < 0) return;
    say(peer, "220 hello\r\n");
    std::string buffer;
    bool data = false;
    char piece[4096];
    for (ssize_t got = 0; (got = ::read(peer, piece, sizeof piece)) > 0;) {
      buffer.append(piece, static_cast<std::size_t>(got));
      for (std::size_t end = 0; (end = buffer.find("\r\n")) != buffer.npos; buffer.erase(0, end + 2)) {
        const std::string line = buffer.substr(0, end);
        heard_ += line + "\n";
        if (data && line != ".") continue;
        const std::string answer = answer_to(line);
        data = answer.starts_with("354");
        if (answer == "hang up") {
          ::close(peer);
          return;
        }
        say(peer, answer + "\r\n");
      }
    }
    ::close(peer);
  }
  std::string answer_to(const std::string& line) const {
    for (const auto& [word, answer] : answers_)
      if (line.starts_with(word)) return answer;
    if (line.starts_with("EHLO")) return "250-me\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8";
    if (line == "DATA") return "354 go";
    return "250 2.0.0 fine";
  }
  static void say(int fd, const std::string& text) { CHECK(::write(fd, text.data(), text.size()) > 0); }
  std::vector<std::pair<std::string, std::string>> answers_;
  int fd_;
  std::string heard_;
  std::thread thread_;
};

/// A control socket that treats one queue command as the queue does: an id that is none is refused.
class ControlSocket {
 public:
  explicit ControlSocket(const fs::path& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd_, 1) == 0);
    thread_ = std::thread([this] { answer(); });
  }
  ~ControlSocket() {
    if (thread_.joinable()) heard();
    ::close(fd_);
  }
  nlohmann::json heard() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    return request_;
  }

 private:
  void answer() {
    const int peer = ::accept(fd_, nullptr, nullptr);
    if (peer < 0) return;
    std::string line;
    for (char c = 0; ::read(peer, &c, 1) == 1 && c != '\n';) line += c;
    request_ = nlohmann::json::parse(line, nullptr, false);
    const std::string id = request_["args"].value("id", "");
    const std::string text = id.empty() || MessageId::parse(id) ? "{\"row\":{\"retried\":2}}\n{\"ok\":true}\n"
                                                                : "{\"error\":\"no id\",\"code\":\"queue.id\"}\n";
    CHECK(::write(peer, text.data(), text.size()) > 0);
    ::close(peer);
  }
  int fd_;
  nlohmann::json request_;
  std::thread thread_;
};

}  // namespace

// --- the command line -----------------------------------------------------------------------------------------------

TEST_CASE("without a file the server is looked for where its defaults have it") {
  const auto settings = parse_settings("", "sendmail.conf");
  REQUIRE(settings);
  CHECK(settings->drop == "/var/spool/postern/drop");  // Pickup::folder_for in modules/queue
  CHECK(settings->control == "/var/lib/postern/control.sock");
  CHECK(settings->socket == "/run/postern/submission.sock");
}

TEST_CASE("flags stand together or alone, with values behind them or in the next word") {
  const Options cron = options({"-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"});
  CHECK(cron.full_name == "CronDaemon");
  CHECK(cron.ignore_dots);
  CHECK(cron.recipients == std::vector<std::string>{"root"});
  CHECK(options({"-ti"}).recipients_from_header);
  CHECK(options({"-ti"}).ignore_dots);
  CHECK(options({"-oi", "-t"}).ignore_dots);
  CHECK(options({"-o", "i", "x"}).ignore_dots);
  CHECK_FALSE(options({"-o", "dq", "x"}).ignore_dots);
  CHECK(options({"-OIgnoreDots"}).ignore_dots);
  CHECK(options({"-f", "bob@x.example", "y"}).sender == "bob@x.example");
  CHECK(options({"-tfbob@x.example"}).sender == "bob@x.example");
  CHECK(options({"-r<bob@x.example>"}).sender == "bob@x.example");
  CHECK(options({"-f", "<>", "y"}).sender == "");
  CHECK_FALSE(options({"y"}).sender);
  CHECK(options({"a", "-t"}).recipients == std::vector<std::string>{"a", "-t"});
  CHECK(options({"--", "-odd@x.example"}).recipients == std::vector<std::string>{"-odd@x.example"});
}

TEST_CASE("what means nothing here is passed over with its value") {
  const Options o = options({"-oQ/tmp", "-odb", "-OTimeout=1", "-h", "3",  "-p",    "x",  "-L",   "tag", "-X",
                             "log",     "-G",   "-n",          "-m", "-U", "-d0.1", "-C", "file", "-Am", "bob"});
  CHECK(o.recipients == std::vector<std::string>{"bob"});
  CHECK(o.mode == Mode::kDeliver);
}

TEST_CASE("modes, also by the name of the program") {
  CHECK(options({"-bs"}).mode == Mode::kSmtp);
  CHECK(options({"-b", "p"}).mode == Mode::kQueueList);
  CHECK(options({"-bi"}).mode == Mode::kNewAliases);
  CHECK(options({"-bm", "x"}).mode == Mode::kDeliver);
  CHECK(options({"-q"}).mode == Mode::kQueueRun);
  CHECK(options({"-q30m"}).mode == Mode::kQueueRun);
  CHECK(options({}, "/usr/bin/mailq").mode == Mode::kQueueList);
  CHECK(options({}, "newaliases").mode == Mode::kNewAliases);
}

TEST_CASE("DSN flags are checked; what cannot be done is said") {
  const Options o = options({"-N", "failure,delay", "-Rhdrs", "-V", "a b", "bob"});
  CHECK(o.notify == "FAILURE,DELAY");
  CHECK(o.ret == "HDRS");
  CHECK(o.envid == "a+20b");
  for (const std::vector<std::string>& bad :
       {std::vector<std::string>{"-N", "soon"}, {"-R", "all"}, {"-V", ""}, {"-bd"}, {"-bt"}, {"-b"}, {"-f"}, {"-Z"}})
    CHECK_FALSE(parse_options(bad, "sendmail"));
}

// --- the message ----------------------------------------------------------------------------------------------------

TEST_CASE("-t takes the recipients of To, Cc and Bcc, each once, and Bcc does not travel") {
  const Submission mail = composed({"-t"},
                                   "To: Bob <bob@far.example>, root\nCc: friends: eve@far.example, BOB@far.example;\n"
                                   "bcc: joe@far.example,\n bob@far.example\nSubject: x\n\nBcc: in the body stays\n");
  CHECK(recipients(mail) == "bob@far.example root@here.example eve@far.example BOB@far.example joe@far.example");
  const HeaderBlock header(mail.message);
  CHECK(header.count("bcc") == 0);
  CHECK(header.count("to") == 1);
  CHECK(header.value("from") == "\"Ann Other\" <ann@here.example>");
  CHECK(header.count("date") == 1);
  CHECK(header.value("message-id").ends_with("@here.example>"));
  CHECK(mail.message.ends_with("\r\n\r\nBcc: in the body stays\r\n"));
  CHECK(mail.envelope.sender.to_string() == "ann@here.example");
}

TEST_CASE("-t with addresses on the command line takes both; mail that is sent again goes to the new readers alone") {
  CHECK(recipients(composed({"-t", "eve@far.example"}, "To: bob@far.example\n\n")) ==
        "eve@far.example bob@far.example");
  CHECK(recipients(composed({"-t"}, "To: bob@far.example\nResent-To: eve@far.example\n\n")) == "eve@far.example");
}

TEST_CASE("without -t the header is not asked, and Bcc goes all the same") {
  const Submission mail = composed({"bob@far.example", "eve"}, "To: joe@far.example\nBcc: tom@far.example\n\nhi\n");
  CHECK(recipients(mail) == "bob@far.example eve@here.example");
  CHECK_FALSE(mail.message.contains("tom@"));
}

TEST_CASE("fields that are there stay as they are") {
  const std::string text =
      "From: me@x.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <1@x>\nTo: a@b.example\n\nhi\n";
  const Submission mail = composed({"-t", "-f", "bounce@x.example"}, text);
  CHECK(mail.message == mend_lines(text, true));
  CHECK(mail.envelope.sender.to_string() == "bounce@x.example");
}

TEST_CASE("text without a header gets one, and a mailbox line above it goes") {
  CHECK(composed({"bob"}, "just text: not a field\n").message.contains("\r\n\r\njust text: not a field\r\n"));
  CHECK(composed({"bob"}, "Subject: x\nno field here\n").message.contains("\r\n\r\nno field here\r\n"));
  CHECK(composed({"bob"}, "").message.ends_with("@here.example>\r\n\r\n"));
  const Submission mail = composed({"bob"}, "From ann Sat Jan  1 00:00:00 2026\nSubject: x\n\nhi\n");
  CHECK(mail.message.starts_with("Subject: x\r\n"));
}

TEST_CASE("a single dot ends the message unless dots are to be ignored; line ends are mended") {
  CHECK(mend_lines("a\n.\nb\n", false) == "a\r\n");
  CHECK(mend_lines("a\n.\nb", true) == "a\r\n.\r\nb\r\n");
  CHECK(mend_lines("a\r\nb\rc\n\n..\n", false) == "a\r\nb\r\nc\r\n\r\n..\r\n");
  CHECK(mend_lines("", false).empty());
}

TEST_CASE("octets beyond ASCII are announced, names beyond ASCII encoded, addresses beyond ASCII need SMTPUTF8") {
  CHECK(composed({"bob"}, "Subject: x\n\nplain\n").envelope.body == BodyType::k7Bit);
  CHECK(composed({"bob"}, "Subject: x\n\nübel\n").envelope.body == BodyType::k8BitMime);
  CHECK_FALSE(composed({"bob"}, "Subject: x\n\nübel\n").envelope.smtputf8);
  CHECK(composed({"bübel@far.example"}, "\n").envelope.smtputf8);
  CHECK(HeaderBlock(composed({"-F", "Jürgen", "bob"}, "\n").message).decoded("from") == "Jürgen <ann@here.example>");
  CHECK(composed({"-F", "A\" <evil@x>\r\nX: y", "bob"}, "\n").message.find("\r\nX: y") == std::string::npos);
}

TEST_CASE("what is no address is refused, and so is a message to nobody") {
  const auto code = [](const std::vector<std::string>& words, std::string input) {
    auto made = compose(options(words), std::move(input), kFacts);
    return made ? std::string("good") : made.error().code;
  };
  CHECK(code({"-t"}, "Subject: x\n\n") == "sendmail.no_recipients");
  CHECK(code({"-t"}, "To: undisclosed-recipients:;\n\n") == "sendmail.no_recipients");
  CHECK(code({"bob@"}, "\n") != "good");
  CHECK(code({"bob@a..b"}, "\n") == "sendmail.address");
  CHECK(code({"-f", "a@b@c", "bob"}, "\n") == "sendmail.address");
}

// --- the ways -------------------------------------------------------------------------------------------------------

TEST_CASE("while no server listens the message goes into the drop folder, for the server's group alone to read") {
  Folder f;
  CHECK(f.run({"-N", "never", "-R", "full", "-V", "id1", "-f", "", "bob@far.example"}, "Subject: x\n\nüü\n") == EX_OK);
  const auto all = f.dropped();
  REQUIRE(all.size() == 1);
  CHECK(all[0].starts_with(
      "postern-drop 1\nsender \nrcpt bob@far.example NOTIFY=NEVER\nret FULL\nenvid id1\nbody 8BITMIME\n\n"));
  CHECK(all[0].ends_with("\r\n\r\nüü\r\n"));
  const fs::path file = fs::directory_iterator(f.path / "drop")->path();
  CHECK(file.filename().string().starts_with("new."));
  struct stat info{};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0640);
}

TEST_CASE("neither way open: try again later, and nothing is left behind") {
  Folder f;
  fs::remove_all(f.path / "drop");
  CHECK(f.run({"bob@far.example"}, "x\n") == EX_TEMPFAIL);
  CHECK(f.errors.contains("drop folder"));
}

TEST_CASE("a server that listens gets it, dots doubled, with what it offers") {
  Folder f;
  {
    ScriptedServer server(f.path / "sock", {});
    CHECK(f.run({"-i", "-N", "failure", "bob@far.example"}, "Subject: x\n\n.dot\n.\nend\n") == EX_OK);
    const std::string heard = server.heard();
    CHECK(heard.contains("MAIL FROM:<"));
    CHECK(heard.contains("RCPT TO:<bob@far.example> NOTIFY=FAILURE\n"));
    CHECK(heard.contains("\n..dot\n..\nend\n.\n"));
  }
  CHECK(f.dropped().empty());
}

TEST_CASE("a refusal for good comes back as an exit code") {
  Folder f;
  {
    ScriptedServer server(f.path / "sock", {{"RCPT", "550 5.1.1 no such user"}});
    CHECK(f.run({"bob@far.example"}, "x\n") == EX_NOUSER);
    CHECK(f.errors.contains("no such user"));
  }
  fs::remove(f.path / "sock");
  {
    ScriptedServer server(f.path / "sock", {{".", "554 5.7.1 spam"}});
    CHECK(f.run({"bob@far.example"}, "x\n") == EX_UNAVAILABLE);
  }
  CHECK(f.dropped().empty());
}

TEST_CASE("refused for now, in part, without a password, or cut off: the drop folder takes it") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"RCPT TO:<eve", "550 5.1.1 no"},
      {"RCPT", "451 4.3.0 later"},
      {"MAIL", "530 5.7.0 log in"},
      {"EHLO", "421 4.3.2 busy"},
      {".", "452 4.3.1 full"},
      {"DATA", "hang up"},
      {".", "hang up"},
  };
  for (const auto& one : cases) {
    Folder f;
    {
      ScriptedServer server(f.path / "sock", {one});
      CHECK(f.run({"bob@far.example", "eve@far.example"}, "x\n") == EX_OK);
    }
    CHECK(f.dropped().size() == 1);
  }
}

TEST_CASE("exit codes of wrong calls") {
  Folder f;
  CHECK(f.run({}, "x\n") == EX_USAGE);
  CHECK(f.run({"-t"}, "Subject: x\n\n") == EX_USAGE);
  CHECK(f.run({"-bt"}, "") == EX_USAGE);
  CHECK(f.run({"a@b..c"}, "x\n") == EX_DATAERR);
  CHECK(f.run({}, "", "newaliases") == EX_OK);
  CHECK(f.run({}, "", "mailq") == EX_UNAVAILABLE);
  CHECK(f.run({"-q"}, "") == EX_UNAVAILABLE);
  std::ofstream(f.path / "conf", std::ios::app) << "colour = blue\n";
  CHECK(f.run({"bob"}, "x\n") == EX_CONFIG);
  CHECK(f.errors.contains("conf:5: unknown key \"colour\""));
  CHECK(f.dropped().empty());
}

TEST_CASE("-q asks for all of the queue, in the queue's own words") {
  Folder f;
  ControlSocket control(f.path / "control");
  CHECK(f.run({"-q"}, "") == EX_OK);
  CHECK(f.errors.empty());
  const nlohmann::json request = control.heard();
  CHECK(request["command"] == "queue.retry");
  CHECK(request["args"].empty());  // any term, even an id of "all", would select
}

TEST_CASE("a settings file that is there and no file, or too long, is told of") {
  Folder f;
  fs::remove(f.path / "conf");
  REQUIRE(::mkfifo((f.path / "conf").c_str(), 0600) == 0);  // which would be waited for
  CHECK(f.run({"bob"}, "x\n") == EX_CONFIG);
  fs::remove(f.path / "conf");
  std::ofstream(f.path / "conf") << std::string(70'000, '#');
  CHECK(f.run({"bob"}, "x\n") == EX_CONFIG);
  CHECK(f.errors.contains("conf: "));
}

TEST_CASE("a message beyond the limit is refused before it is written anywhere") {
  Folder f;
  std::ofstream(f.path / "conf", std::ios::app) << "max_message_size = 2000\n";
  CHECK(f.run({"bob"}, std::string(3000, 'x')) == EX_DATAERR);
  CHECK(f.dropped().empty());
}

TEST_CASE("-bs: a dialogue, two messages in one, and what is wrong is said") {
  Folder f;
  CHECK(f.run({"-bs"},
              "EHLO me\r\nMAIL FROM:<ann> RET=HDRS ENVID=q1\r\nRCPT TO:<bob@far.example> NOTIFY=NEVER\r\nDATA\r\n"
              "Subject: one\r\n\r\n..dot\r\n.\r\nMAIL FROM:<>\r\nRCPT "
              "TO:<eve@far.example>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n") == EX_OK);
  CHECK(f.output.starts_with("220 here.example"));
  CHECK(f.output.contains("250 2.0.0 Taken"));
  CHECK(f.output.ends_with("221 2.0.0 Bye\r\n"));
  const auto all = f.dropped();
  REQUIRE(all.size() == 2);
  const std::string both = all[0] + all[1];
  CHECK(both.contains("sender ann@here.example\nrcpt bob@far.example NOTIFY=NEVER\nret HDRS\nenvid q1\n"));
  CHECK(both.contains("\r\n\r\n.dot\r\n"));
  CHECK(both.contains("sender \nrcpt eve@far.example\n"));

  f.run({"-bs"},
        "RCPT TO:<x>\r\nDATA\r\nMAIL TO:<x>\r\nMAIL FROM:<a@b..c>\r\nMAIL FROM:<a> X=1\r\nFOO\r\nMAIL "
        "FROM:<a>\r\nDATA\r\n");
  std::string codes;
  for (const std::string_view line : split(f.output, '\n')) codes += std::string(line.substr(0, 3)) + " ";
  CHECK(codes == "220 503 503 501 501 555 500 250 503  ");
  CHECK(f.dropped().size() == 2);
}

TEST_CASE("-bs cut off before the dot promises nothing") {
  Folder f;
  f.run({"-bs"}, "MAIL FROM:<a>\r\nRCPT TO:<b@far.example>\r\nDATA\r\nhalf of it\r\n");
  CHECK(f.dropped().empty());
}
