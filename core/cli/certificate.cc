// `postern certificate`: a self-signed certificate to begin with.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/cli/command.h"
#include "postern/tls.h"

namespace postern {

namespace {

/// Writes a new file; never over an old one, since a key that is gone is gone.
Result<void> write_new(const std::string& path, const std::string& text, int mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return fault("certificate.write", path + ": " + std::strerror(errno));
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) return fault("certificate.write", path + ": " + std::strerror(error));
  return {};
}

}  // namespace

void add_certificate(CLI::App& app, CommandContext& context) {
  auto* command = add_command(app, "certificate", "Make a self-signed certificate and its key (PEM)",
                              "postern certificate mail.example.org --out /etc/postern/mail");
  auto names = std::make_shared<std::vector<std::string>>();
  auto out = std::make_shared<std::string>();
  auto days = std::make_shared<int>(365);
  command->add_option("names", *names, "Host names and addresses that it is for")->required();
  command->add_option("--out", *out, "Writes OUT.crt and OUT.key")->required();
  command->add_option("--days", *days, "How long it is good")->check(CLI::Range(1, 3650))->capture_default_str();
  command->callback([&context, names, out, days] {
    auto made = make_self_signed(*names, *days);
    if (!made) return context.fail(made.error());
    if (auto written = write_new(*out + ".key", made->key, 0600); !written) return context.fail(written.error());
    if (auto written = write_new(*out + ".crt", made->certificate, 0644); !written)
      return context.fail(written.error());
    fmt::print("{}.crt\n{}.key\n", *out, *out);
  });
}

}  // namespace postern
