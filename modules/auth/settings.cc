#include "settings.h"

#include "postern/address.h"

namespace postern::auth {

namespace {

std::optional<std::string> not_a_domain(const std::string& text) {
  auto parsed = Domain::parse(text);
  if (!parsed) return "is not a domain: " + parsed.error().to_string();
  return std::nullopt;
}

}  // namespace

void describe(Schema<AuthSettings>& s) {
  s.table("auth", "Log-ins: where accounts are kept besides [[account]], and how guessing is slowed down.");
  s.applies(Apply::kLive);
  s.field("users_file", &AuthSettings::users_file,
          "A file of accounts, one \"name:hash\" a line, as `postern user` writes it. Read again on reload.")
      .example("users");
  s.field("default_domain", &AuthSettings::default_domain,
          "The domain of names without one (log-ins, postmaster). Unless set, the first local [[domain]].")
      .check([](const std::string& text) { return text.empty() ? std::nullopt : not_a_domain(text); });
  s.field("recipient_delimiter", &AuthSettings::recipient_delimiter,
          "Characters that begin a sub-address: mail for user+tag goes to user. Empty: no sub-addresses.")
      .length(0, 8);
  s.field("postmaster", &AuthSettings::postmaster,
          "Who gets mail for postmaster@ a local domain that has no such account or alias (RFC 5321 section 4.5.1).")
      .example("admin@example.org");
  s.field("cache_time", &AuthSettings::cache_time,
          "How long a right password is remembered (as a keyed digest, in memory), so that polling does not hash each "
          "time. 0: never.")
      .range(0s, 24h);
  s.field("cache_size", &AuthSettings::cache_size, "How many right passwords each worker remembers.")
      .range(1, 10'000'000);
  s.field("free_failures", &AuthSettings::free_failures, "Wrong passwords that cost a client or an account no delay.")
      .range(0, 1000);
  s.field("first_delay", &AuthSettings::first_delay, "Delay of the first attempt after those; it doubles each time.")
      .range(0s, 1min);
  s.field("max_delay", &AuthSettings::max_delay, "No attempt is delayed longer than this.").range(0s, 2min);
  s.field("block_after", &AuthSettings::block_after,
          "Wrong passwords after which a client address (IPv6: its /64) is refused unchecked, until failure_window "
          "passed.")
      .range(1, 1'000'000);
  s.field("failure_window", &AuthSettings::failure_window, "How long failures are remembered after the last one.")
      .range(1s, 24h * 7);
  s.field("throttle_size", &AuthSettings::throttle_size,
          "How many addresses and accounts each worker remembers failures of.")
      .range(16, 10'000'000);
}

void describe(Schema<DomainSettings>& s) {
  s.field("name", &DomainSettings::name, "The domain.").required().check(not_a_domain).example("example.org");
  s.field("kind", &DomainSettings::kind, "local: mailboxes are here. relay: accepted and handed to another server.")
      .names({{"local", DomainKind::kLocal}, {"relay", DomainKind::kRelay}});
  s.field("catch_all", &DomainSettings::catch_all,
          "Who gets mail for addresses of a local domain that do not exist. Unless set, they are refused.")
      .example("admin@example.org");
}

void describe(Schema<AccountSettings>& s) {
  s.field("name", &AccountSettings::name, "user@domain, of a local domain; without @domain: of the default domain.")
      .required()
      .length(1, 320)
      .example("alice@example.org");
  s.field(
       "password", &AccountSettings::password,
       "Hash of the password: argon2id ($argon2id$), yescrypt ($y$), bcrypt ($2b$) or SHA-512 ($6$). \"!\": no log-in.")
      .required()
      .secret()
      .length(1, 512);
  s.field("apop_secret", &AccountSettings::apop_secret,
          "Shared secret for POP3's APOP; kept in the clear, so better not.")
      .secret()
      .length(0, 255);
  s.field("aliases", &AccountSettings::aliases, "More addresses of this account.").items(0, 1000).length(1, 320);
}

void describe(Schema<AliasSettings>& s) {
  s.field("from", &AliasSettings::from, "The address, of a local or relay domain.").required().length(1, 320);
  s.field("to", &AliasSettings::to, "Who gets its mail instead.").required().items(1, 1000).length(1, 320);
}

void describe(Schema<DirectorySettings>& s) {
  s.table("", "Domains, accounts and aliases.");
  s.applies(Apply::kLive);
  s.table_field("domain", &DirectorySettings::domains, "A domain that is ours.");
  s.table_field("account", &DirectorySettings::accounts, "An account with its password and mailbox.");
  s.table_field("alias", &DirectorySettings::aliases, "An address whose mail goes to others.");
}

}  // namespace postern::auth
