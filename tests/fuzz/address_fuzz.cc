// Fuzzes what reads one line of an SMTP peer or a record of the spool: paths, addresses, parameters, envelopes.
//
// What parses must write back to something that parses to the same value; nothing may crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "postern/envelope.h"
#include "postern/mail_date.h"

using namespace postern;

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

void paths(std::string_view text, unsigned bits) {
  const PathOptions options{.allow_utf8 = (bits & 1) != 0,
                            .allow_missing_brackets = (bits & 2) != 0,
                            .allow_null = (bits & 4) != 0,
                            .allow_postmaster = (bits & 8) != 0};
  const Parsed<Path> path = parse_path(text, options);
  if (!path) {
    require(!path.error().what.empty());
    return;
  }
  require(path->length <= text.size());
  const std::string written = path->address.path();
  const Parsed<Path> again = parse_path(written, {.allow_utf8 = true, .allow_null = true, .allow_postmaster = true});
  require(again && again->address == path->address && again->length == written.size());
  require(path->address.needs_smtputf8() == again->address.needs_smtputf8());
  (void)path->address.display();
  (void)path->address.without_tag("+-");
}

void parameters(std::string_view text) {
  const WallTime now{};
  if (const auto decoded = xtext_decode(text)) require(*xtext_decode(xtext_encode(*decoded)) == *decoded);
  if (const auto orcpt = parse_orcpt(text); orcpt && is_valid_utf8(orcpt->address)) {
    const auto again = parse_orcpt(format_orcpt(orcpt->type, orcpt->address));
    require(!again ? again.error().too_long : again->address == orcpt->address);
  }
  if (const auto notify = parse_notify(text)) require(*parse_notify(format_notify(*notify)) == *notify);
  (void)parse_envid(text);
  (void)parse_declared_size(text);
  (void)parse_priority(text);
  (void)parse_deliver_by(text, now);
  (void)parse_hold_for(text, now);
  (void)parse_hold_until(text);
}

template <class T>
void records(std::string_view text) {
  const Result<T> value = T::decode(text);
  if (!value) return;
  std::string bytes;
  value->encode(bytes);
  const Result<T> again = T::decode(bytes);
  require(again && *again == *value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  paths(text, data[0]);
  parameters(text);
  records<Envelope>(text);
  records<ClientInfo>(text);
  if (const auto domain = Domain::parse(text)) require(Domain::parse(domain->ascii()) == *domain);
  return 0;
}
