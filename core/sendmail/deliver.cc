#include "core/sendmail/deliver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "postern/random.h"

namespace postern::sendmail {

namespace {

constexpr mode_t kFileMode = 0640;  // the folder gives the file to the server's group, which reads it

std::unexpected<Fault> drop_fault(const std::string& what, int error) {
  return fault("sendmail.drop", fmt::format("{}: {}", what, std::strerror(error)));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

/// The name must survive as the octets do. Who may not read the folder cannot sync it; then the file's own sync takes
/// the rename along (both are in one transaction of the file system), as far as this system can promise it.
bool sync_name(const std::string& folder, int file) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int good = ::fsync(fd < 0 ? file : fd);
  if (fd >= 0) ::close(fd);
  return good == 0;
}

}  // namespace

std::string drop_header(const Envelope& envelope) {
  std::string out = "postern-drop 1\n";
  out += fmt::format("sender {}\n", envelope.sender.to_string());
  for (const Recipient& one : envelope.recipients) {
    out += "rcpt " + one.address.to_string();
    if (one.notify != kNotifyUnset) out += " NOTIFY=" + format_notify(one.notify);
    if (!one.orcpt.empty()) out += " ORCPT=" + one.orcpt;
    out += '\n';
  }
  if (envelope.ret != DsnReturn::kUnset) out += envelope.ret == DsnReturn::kFull ? "ret FULL\n" : "ret HDRS\n";
  if (!envelope.envid.empty()) out += fmt::format("envid {}\n", envelope.envid);
  if (envelope.body == BodyType::k8BitMime) out += "body 8BITMIME\n";
  if (envelope.smtputf8) out += "smtputf8\n";
  return out + "\n";
}

Result<void> drop(const std::string& folder, const Submission& mail) {
  const std::string stem = random_base32(26);
  const std::string part = folder + "/tmp." + stem;
  const std::string whole = folder + "/new." + stem;
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode);
  if (fd < 0) return drop_fault("the drop folder " + folder, errno);
  // Whatever the caller's umask is, the server's group reads it and nobody else does.
  bool good = ::fchmod(fd, kFileMode) == 0 && write_all(fd, drop_header(mail.envelope)) &&
              write_all(fd, mail.message) && ::fsync(fd) == 0 && ::rename(part.c_str(), whole.c_str()) == 0;
  int error = errno;
  if (good && !sync_name(folder, fd)) {
    error = errno;
    good = ::unlink(whole.c_str()) != 0;  // not gone: the server has it already
  }
  ::close(fd);
  if (good) return {};
  ::unlink(part.c_str());
  return drop_fault(folder, error);
}

Result<void> deliver(const Settings& settings, const Submission& mail, bool verbose) {
  auto sent = send_over_socket(settings.socket, mail, verbose);
  if (!sent) return std::unexpected(sent.error());
  if (*sent == Sent::kYes) return {};
  if (verbose) std::fprintf(stderr, "into the drop folder %s\n", settings.drop.c_str());
  return drop(settings.drop, mail);
}

}  // namespace postern::sendmail
