// Octets as what a peer says before and between messages: command lines with their parameters, and PROXY headers.
//
// Beyond memory safety: what was understood holds to its limits, what was not is answered with a 5xx of ASCII, and a
// PROXY header is read the same whether it comes at once or in pieces. Links modules/smtp.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "modules/smtp/command.h"
#include "modules/smtp/parameters.h"
#include "modules/smtp/proxy.h"

using namespace postern;
using namespace postern::smtp;

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

void check(const Reply& reply) {
  require(reply.code >= 500 && reply.code < 600 && reply.enhanced.starts_with("5."));
  for (const char c : reply.text) require(static_cast<unsigned char>(c) < 0x80);
}

void arguments(const Command& command, unsigned bits) {
  const ArgumentRules rules{.esmtp = (bits & 1) != 0,
                            .lenient = (bits & 2) != 0,
                            .smtputf8 = (bits & 4) != 0,
                            .dsn = (bits & 8) != 0,
                            .prdr = (bits & 16) != 0,
                            .auth = (bits & 32) != 0};
  if (const auto mail = parse_mail(command.argument, rules)) {
    require(mail->envid.size() <= kMaxEnvid);
    require(mail->body != BodyType::kBinaryMime);
    require(!mail->sender.needs_smtputf8() || (rules.smtputf8 && mail->smtputf8));
    require(rules.esmtp || (!mail->size && !mail->smtputf8 && !mail->prdr));
  } else {
    check(mail.error());
  }
  if (const auto rcpt = parse_rcpt(command.argument, rules)) {
    require(!rcpt->address.is_null());
    require(rcpt->orcpt.size() <= kMaxOrcpt);
    require(rules.smtputf8 || !rcpt->address.needs_smtputf8());
  } else {
    check(rcpt.error());
  }
  if (const auto bdat = parse_bdat(command.argument); !bdat) check(bdat.error());
  if (const auto xclient = parse_xclient(command.argument); !xclient) check(xclient.error());
  if (!is_helo_name(command.argument)) check(helo_help("EHLO", command.argument));
}

void proxy(std::string_view octets) {
  const ProxyParse whole = parse_proxy(octets);
  if (whole.state == ProxyParse::State::kDone) require(whole.header.length <= octets.size());
  for (std::size_t size = 0; size < octets.size() && size < 128; ++size) {
    const ProxyParse part = parse_proxy(octets.substr(0, size));
    if (part.state == ProxyParse::State::kNeedMore) continue;
    require(part.state == whole.state && part.header.length == whole.header.length);
    break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 20000) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  proxy(text);
  if (has_control(text)) return 0;  // never gets as far as a parser
  const Command command = parse_command(text);
  require(command.info != nullptr && command.verb.size() + command.argument.size() <= text.size());
  arguments(command, data[0]);
  return 0;
}
