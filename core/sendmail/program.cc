#include "core/sendmail/program.h"

#include <fmt/format.h>
#include <sysexits.h>

#include <chrono>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/control/client.h"
#include "core/sendmail/deliver.h"
#include "core/sendmail/smtp_server.h"
#include "postern/random.h"

namespace postern::sendmail {

namespace {

constexpr std::size_t kPiece = 64 * 1024;

int exit_code(const Fault& why) {
  if (why.code == "sendmail.usage" || why.code == "sendmail.no_recipients") return EX_USAGE;
  if (why.code == "sendmail.config") return EX_CONFIG;
  if (why.code == "sendmail.address" || why.code == "sendmail.too_large") return EX_DATAERR;
  if (why.code == "sendmail.no_user") return EX_NOUSER;
  if (why.code == "sendmail.input") return EX_IOERR;
  return why.code == "sendmail.drop" ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

Result<std::string> read_all(std::istream& in, std::uint64_t limit) {
  std::string out;
  while (in) {
    const std::size_t had = out.size();
    out.resize(had + kPiece);
    in.read(out.data() + had, kPiece);
    out.resize(had + static_cast<std::size_t>(in.gcount()));
    if (out.size() > limit)
      return fault("sendmail.too_large", fmt::format("the message is larger than {} octets", limit));
  }
  if (in.bad()) return fault("sendmail.input", "the message could not be read");
  return out;
}

Result<void> deliver_one(const Options& options, const Settings& settings, const Facts& facts, std::istream& in) {
  if (options.recipients.empty() && !options.recipients_from_header)
    return fault("sendmail.usage", "no recipient: name one, or give -t to take them from the message");
  auto input = read_all(in, settings.max_message_size);
  if (!input) return std::unexpected(input.error());
  auto mail = compose(options, std::move(*input), facts);
  if (!mail) return std::unexpected(mail.error());
  return deliver(settings, *mail, options.verbose);
}

std::string size_text(std::uint64_t octets) {
  return octets < 10'240 ? fmt::format("{}", octets) : fmt::format("{}K", octets / 1024);
}

/// mailq. The server tells its queue to administrators only.
Result<void> list_queue(const Settings& settings, std::ostream& out) {
  std::size_t count = 0;
  auto asked = ask_server(settings.control, "queue.list", {{"limit", "1000000"}}, [&](const std::string& text) {
    const auto row = nlohmann::json::parse(text, nullptr, false);
    if (row.is_discarded() || !row.is_object()) return;
    if (count++ == 0)
      out << fmt::format("{:<14} {:>8} {:>8}  {:<8} {:>5}  {}\n", "id", "age s", "size", "state", "rcpts", "why");
    out << fmt::format("{:<14} {:>8} {:>8}  {:<8} {:>5}  {}\n", row.value("id", ""), row.value("age", 0ULL),
                       size_text(row.value("size", 0ULL)), row.value("state", ""), row.value("recipients", 0ULL),
                       row.value("why", ""));
  });
  if (!asked)
    return fault("sendmail.queue", fmt::format("the server's queue cannot be asked: {}", asked.error().detail));
  if (count == 0)
    out << "Mail queue is empty\n";
  else
    out << fmt::format("{} messages\n", count);
  return {};
}

/// Every message, which is what a retry without a selection means.
Result<void> run_queue(const Settings& settings) {
  auto asked = ask_server(settings.control, "queue.retry", {}, [](const std::string&) {});
  if (!asked)
    return fault("sendmail.queue", fmt::format("the server's queue cannot be asked: {}", asked.error().detail));
  return {};
}

}  // namespace

int run(const std::string& program, const std::vector<std::string>& arguments, std::istream& in, std::ostream& out,
        std::ostream& err) {
  const auto failed = [&](const Fault& why) {
    err << program << ": " << why.detail << "\n";
    return exit_code(why);
  };
  const auto options = parse_options(arguments, program);
  if (!options) return failed(options.error());
  if (options->mode == Mode::kNewAliases) return EX_OK;  // aliases are part of the configuration: postern reload
  const auto settings = read_settings();
  if (!settings) return failed(settings.error());
  const Facts facts{.domain = settings->domain,
                    .caller = this_caller(),
                    .now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()),
                    .random = random_u64()};
  Result<void> done;
  switch (options->mode) {
    case Mode::kQueueList:
      done = list_queue(*settings, out);
      break;
    case Mode::kQueueRun:
      done = run_queue(*settings);
      break;
    case Mode::kSmtp:
      serve_smtp(in, out, *settings, facts,
                 [&](const Submission& mail) { return deliver(*settings, mail, options->verbose); });
      break;
    default:
      done = deliver_one(*options, *settings, facts, in);
      break;
  }
  return done ? EX_OK : failed(done.error());
}

}  // namespace postern::sendmail
