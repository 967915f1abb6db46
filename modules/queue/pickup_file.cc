#include "pickup_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::string_view kFirstLine = "postern-drop 1";

std::unexpected<Fault> wrong(std::string_view line, std::string_view why) {
  return fault("drop.syntax", fmt::format("\"{}\": {}", line.substr(0, 100), why));
}

Result<Address> complete(std::string_view line, std::string_view text, std::string_view domain) {
  std::string whole(text);
  if (text.find('@') == text.npos) whole += fmt::format("@{}", domain);
  auto parsed = Address::parse(whole);
  if (!parsed) return wrong(line, parsed.error().to_string());
  return *parsed;
}

/// "bob@far.example NOTIFY=... ORCPT=..."; the address may have a quoted part with blanks in it.
Result<Recipient> recipient_in(std::string_view line, std::string_view text, std::string_view domain) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < text.size() && (quoted || text[end] != ' '); ++end) {
    if (text[end] == '\\' && quoted)
      ++end;
    else if (text[end] == '"')
      quoted = !quoted;
  }
  end = std::min(end, text.size());
  auto address = complete(line, text.substr(0, end), domain);
  if (!address) return std::unexpected(address.error());
  Recipient out;
  out.address = std::move(*address);
  for (const std::string_view word : split_words(text.substr(end))) {
    if (starts_with_folded(word, "NOTIFY=")) {
      auto notify = parse_notify(word.substr(7));
      if (!notify) return wrong(line, notify.error().to_string());
      out.notify = *notify;
    } else if (starts_with_folded(word, "ORCPT=")) {
      if (auto orcpt = parse_orcpt(word.substr(6)); !orcpt) return wrong(line, orcpt.error().to_string());
      out.orcpt = word.substr(6);
    } else {
      return wrong(line, "unknown word behind the address");
    }
  }
  return out;
}

Result<void> take_line(Envelope& envelope, bool& has_sender, std::string_view line, std::string_view domain) {
  std::string_view value = line;
  const std::string_view key = take_until(value, ' ');
  if (key == "sender" && !has_sender) {
    has_sender = true;
    if (value.empty()) return {};
    auto sender = complete(line, value, domain);
    if (!sender) return std::unexpected(sender.error());
    envelope.sender = std::move(*sender);
  } else if (key == "rcpt") {
    if (envelope.recipients.size() == kMaxDropRecipients) return wrong(line, "too many recipients");
    auto recipient = recipient_in(line, value, domain);
    if (!recipient) return std::unexpected(recipient.error());
    envelope.recipients.push_back(std::move(*recipient));
  } else if (key == "ret") {
    auto ret = parse_ret(value);
    if (!ret) return wrong(line, ret.error().to_string());
    envelope.ret = *ret;
  } else if (key == "envid") {
    if (auto envid = parse_envid(value); !envid) return wrong(line, envid.error().to_string());
    envelope.envid = value;
  } else if (key == "body") {
    auto body = parse_body(value);
    if (!body || *body == BodyType::kBinaryMime) return wrong(line, "BODY is 7BIT or 8BITMIME here");
    envelope.body = *body;
  } else if (key == "smtputf8") {
    envelope.smtputf8 = true;
  } else {
    return wrong(line, "unknown");
  }
  return {};
}

std::string name_of(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return std::to_string(uid);
}

}  // namespace

Result<DropEnvelope> parse_drop(std::string_view text, std::string_view domain) {
  DropEnvelope out;
  std::size_t at = 0;
  bool first = true;
  bool has_sender = false;
  while (true) {
    const std::size_t end = text.find('\n', at);
    if (end == text.npos || end > kMaxDropHeader) return fault("drop.syntax", "the envelope has no end");
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (std::exchange(first, false)) {
      if (line != kFirstLine) return wrong(line, "not the first line of a dropped message");
      continue;
    }
    if (line.empty()) break;
    if (auto taken = take_line(out.envelope, has_sender, line, domain); !taken) return std::unexpected(taken.error());
  }
  if (!has_sender) return fault("drop.syntax", "there is no sender");
  if (out.envelope.recipients.empty()) return fault("drop.syntax", "there is no recipient");
  out.length = at;
  return out;
}

void LineMender::feed(std::string_view piece, std::string& out) {
  for (const char c : piece) {
    nul_ = nul_ || c == '\0';
    if (cr_) {
      out += "\r\n";
      in_line_ = cr_ = false;
      if (c == '\n') continue;
    }
    empty_ = false;
    if (c == '\r') {
      cr_ = true;
    } else if (c == '\n') {
      out += "\r\n";
      in_line_ = false;
    } else {
      out += c;
      in_line_ = true;
    }
  }
}

void LineMender::finish(std::string& out) {
  if (cr_ || in_line_) out += "\r\n";
  cr_ = in_line_ = false;
}

Result<DropFile> DropFile::open(const std::string& path) {
  const auto failed = [&] { return fault("drop.io", path + ": " + std::strerror(errno)); };
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ELOOP) return fault("drop.refused", path + ": a symbolic link");
    if (errno == ENOENT) return fault("drop.gone", path);
    // Its writer or a mode keeps it from us, and will tomorrow.
    if (errno == EACCES || errno == EPERM || errno == ENXIO)
      return fault("drop.refused", path + ": " + std::strerror(errno));
    return failed();
  }
  DropFile out(fd);
  struct stat info{};
  if (::fstat(fd, &info) != 0) return failed();
  // A second name could be one that its owner never put here.
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1)
    return fault("drop.refused", path + ": no plain file with one name");
  out.owner_ = info.st_uid;
  out.owner_name_ = name_of(info.st_uid);
  out.size_ = static_cast<std::uint64_t>(info.st_size);
  return out;
}

DropFile::DropFile(DropFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      owner_(other.owner_),
      owner_name_(std::move(other.owner_name_)),
      size_(other.size_) {}

DropFile::~DropFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::string> DropFile::read(std::uint64_t offset, std::size_t limit) const {
  std::string out(limit, '\0');
  std::size_t have = 0;
  while (have < limit) {
    const ssize_t got = ::pread(fd_, out.data() + have, limit - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fault("drop.io", std::strerror(errno));
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  out.resize(have);
  return out;
}

}  // namespace postern::queue
