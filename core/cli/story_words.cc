#include "core/cli/story_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/cli/story.h"

namespace postern::story {
namespace {

constexpr std::uint32_t kWorthTelling = 1000;  // microseconds of a question that took time
constexpr std::size_t kLongest = 300;          // octets of an answer in a story; --steps has it whole
constexpr std::size_t kMaxNumbers = 1000;      // recipients that a story names; damaged bytes may claim any number

struct Words {
  std::string_view word, meaning;
};

std::string_view meaning_of(std::string_view word, std::initializer_list<Words> table) {
  for (const Words& one : table)
    if (one.word == word) return one.meaning;
  return {};
}

std::string shortened(std::string_view text) {
  std::string out = printable(text.substr(0, kLongest));
  if (text.size() > kLongest) out += " …";
  return out;
}

std::string took(std::uint32_t micros) {
  if (micros < kWorthTelling) return {};
  return micros < 10'000'000 ? fmt::format(" (this took {} ms)", micros / 1000)
                             : fmt::format(" (this took {} s)", micros / 1'000'000);
}

std::string dns_question(std::string_view effect, const std::string& name) {
  const std::string_view what = meaning_of(effect.substr(4), {{"a", "the address of"},
                                                              {"aaaa", "the IPv6 address of"},
                                                              {"mx", "the mail servers of"},
                                                              {"txt", "the text of"},
                                                              {"ptr", "the name of"},
                                                              {"tlsa", "the certificates of"}});
  return what.empty() ? fmt::format("{} {}", effect, name) : fmt::format("{} {}", what, name);
}

std::string dns_answer(std::string_view answer) {
  const std::string_view known = meaning_of(answer, {{"nxdomain", "there is no such name"},
                                                     {"nodata", "it has none"},
                                                     {"timeout", "no answer came in time"},
                                                     {"servfail", "the DNS could not say"}});
  return known.empty() ? shortened(answer) : std::string(known);
}

std::string reverse_sentence(const TrailEntry& entry) {
  const std::string_view answer = entry.answer;
  const std::size_t blank = answer.find(' ');
  const std::string name = blank == std::string_view::npos ? "" : printable(answer.substr(blank + 1));
  const std::string_view status = answer.substr(0, blank);
  if (status == "confirmed") return fmt::format("Its name in the DNS is {}, and this name leads back to it.", name);
  if (!name.empty()) return fmt::format("It claims the name {} in the DNS, which does not lead back to it.", name);
  if (status == "none") return "It has no name in the DNS.";
  return "Its name in the DNS could not be found out.";
}

std::string_view client_words(std::string_view cell) {
  return meaning_of(cell.substr(0, cell.find('/')), {{"stranger", "a stranger"},
                                                     {"relay network", "a host of a network that may relay"},
                                                     {"silent proxy", "a proxy that does not say for whom it speaks"},
                                                     {"false proxy", "a host that nobody lets speak for others"}});
}

std::string_view recipient_words(std::string_view cell) {
  return meaning_of(cell.substr(cell.rfind('/') + 1),
                    {{"account", "has a mailbox here"},
                     {"postmaster", "is the postmaster, who is always heard"},
                     {"alias", "is an alias here, and all that it leads to is ours"},
                     {"alias to foreign", "is an alias here that leads to an address elsewhere"},
                     {"wild alias to foreign", "is an alias here whose target the sender would choose"},
                     {"no such user", "does not exist here"},
                     {"directory down", "could not be looked up just now"},
                     {"relay domain", "is at a domain that we take mail for and pass on"},
                     {"routed at relay domain", "hides the way to another server in its name"},
                     {"routed at local domain", "hides the way to another server in its name"},
                     {"foreign", "is not one of ours"},
                     {"address literal", "is an address of numbers that is not ours"},
                     {"return path", "is a return address that we have made ourselves"},
                     {"return path, no report", "is a return address of ours, which takes only delivery reports"}});
}

}  // namespace

bool gate_accepts(const TrailEntry& entry) {
  return entry.answer == "deliver" || entry.answer == "relay";
}

std::string gate_sentence(const TrailEntry& entry) {
  const std::string_view cell = entry.name;
  const bool logged_in = cell.find("/authenticated/") != std::string_view::npos;
  const std::string_view known = recipient_words(cell);
  std::string out =
      known.empty() ? fmt::format("It is in the class \"{}\"", printable(cell)) : fmt::format("It {}", known);
  if (entry.answer == "deliver") return out + ".";
  if (entry.answer == "relay")
    return fmt::format("{}; the sender may have us pass mail on, as {}.", out,
                       logged_in ? std::string_view("somebody who has logged in") : client_words(cell));
  if (entry.answer == "550 refused" && cell.ends_with("foreign"))
    return fmt::format("{}, and we do not pass on mail of {}.", out,
                       logged_in ? std::string_view("this user") : client_words(cell));
  if (entry.answer == "530 log in first") return "This entrance serves only those who have logged in, and nobody had.";
  return out + ".";
}

std::string effect_sentence(const TrailEntry& entry) {
  const std::string& name = entry.name;
  if (name == "clock.now" || name == "random" || name == "directory.domain" || name == "directory.find")
    return {};  // what the directory said of a recipient is told by the gate and by the alias
  if (name == "dns.reverse") return reverse_sentence(entry);
  const std::string question = shortened(entry.question);
  if (name.starts_with("dns."))
    return fmt::format("We asked the DNS for {}: {}{}.", dns_question(name, question), dns_answer(entry.answer),
                       took(entry.micros));
  const std::string answer = shortened(entry.answer.substr(0, entry.answer.find('\n')));
  if (name.starts_with("directory."))
    return fmt::format("We looked up {} among our users: {}{}.", question, answer, took(entry.micros));
  if (name.starts_with("http"))
    return fmt::format("We asked another service, {}: {}{}.", question, answer, took(entry.micros));
  if (name.starts_with("sql"))
    return fmt::format("We asked the database, {}: {}{}.", question, answer, took(entry.micros));
  if (name.starts_with("kv."))
    return fmt::format("We looked at what is remembered, {} {}: {}{}.", name.substr(3), question, answer,
                       took(entry.micros));
  if (name == "at_most") return fmt::format("This is mail number {} of those that a rule lets through.", answer);
  if (name == "rate_limit") return fmt::format("We counted the mails of {}: {}.", question, answer);
  return fmt::format("We asked {} {}: {}{}.", printable(name), question, answer, took(entry.micros));
}

std::string fact_sentence(const TrailEntry& entry) {
  const std::string value = printable(entry.answer);
  const std::string& name = entry.name;
  if (name == "ehlo" || name == "helo") return fmt::format("It introduced itself as {}.", value);
  if (name == "tls") return fmt::format("The connection was encrypted from here on ({}).", value);
  if (name == "user") return fmt::format("It logged in as {}.", value);
  if (name == "proxy") return fmt::format("The connection came through the proxy {}.", value);
  if (name == "name") return fmt::format("Its name is {}.", value);
  if (name == "claimed name") return fmt::format("It claims the name {}.", value);
  if (name == "archived") return "A copy of the mail as it came was put into the archive.";
  if (name == "return-path") return fmt::format("The return address was rewritten: {}.", value);
  if (name == "report-about") return fmt::format("This is our own report about the mail {}.", value);
  if (name == "brought-by") return fmt::format("A rule of ours wrote this mail: {}.", value);
  if (name == "brought") return fmt::format("A rule brought in a further mail: {}.", value);
  if (name == "beside") return fmt::format("It was taken in together with the mail {}.", value);
  if (name == "body") return fmt::format("The text was replaced: {}.", value);
  if (name == "client" || name == "listener" || name == "ports" || name == "role" || name == "sender" ||
      name == "alias" || name == "rewrite" || name == "plan" || name == "draft")
    return {};
  return fmt::format("Noted: {} is {}.", printable(name), value);
}

std::string verdict_words(std::string_view verdict) {
  const std::size_t blank = verdict.find(' ');
  const std::string rest = blank == std::string_view::npos ? "" : printable(verdict.substr(blank + 1));
  if (verdict.starts_with("reject ")) return fmt::format("refused it with the words \"{}\"", rest);
  if (verdict.starts_with("defer "))
    return fmt::format("asked the sender to try again later, with the words \"{}\"", rest);
  if (verdict.starts_with("disconnect ")) return fmt::format("ended the connection with the words \"{}\"", rest);
  if (verdict.starts_with("discard:")) return fmt::format("took it and threw it away ({})", rest);
  if (verdict.starts_with("quarantine:")) return fmt::format("put it into quarantine ({})", rest);
  if (verdict.starts_with("hold ")) return fmt::format("held it back for {}", rest);
  if (verdict == "accept") return "was content, so that no further check was made";
  return fmt::format("decided: {}", printable(verdict));
}

std::string verdict_meaning(std::string_view verdict) {
  const std::size_t blank = verdict.find(' ');
  const std::string rest = blank == std::string_view::npos ? "" : printable(verdict.substr(blank + 1));
  if (verdict.starts_with("reject ")) return fmt::format("was refused; the sender was told \"{}\"", rest);
  if (verdict.starts_with("defer "))
    return fmt::format("was put off; the sender's server was told \"{}\" and should try again", rest);
  if (verdict.starts_with("disconnect ")) return fmt::format("was refused and the connection ended: \"{}\"", rest);
  if (verdict.starts_with("discard:"))
    return fmt::format("gets nothing: the mail was accepted and thrown away ({})", rest);
  if (verdict.starts_with("quarantine:")) return fmt::format("does not get it for now: it is in quarantine ({})", rest);
  return verdict_words(verdict);
}

std::optional<std::string> plan_meaning(std::string_view plan) {
  if (plan.starts_with("deliver to ")) {
    const std::string_view rest = plan.substr(11);
    const std::size_t folder = rest.rfind(" folder ");
    if (folder == std::string_view::npos) return "goes to a mailbox here";
    return fmt::format("goes into the folder {} of the mailbox {}", printable(rest.substr(folder + 8)),
                       printable(rest.substr(0, folder)));
  }
  if (plan.starts_with("relay")) return "is passed on to the recipient's own mail server";
  if (plan.starts_with("discard")) return "gets nothing: the mail was accepted and thrown away";
  if (plan.starts_with("quarantine")) return "does not get it for now: it is in quarantine";
  if (plan.starts_with("bounce")) return "does not get it; the sender gets a report that says so";
  return std::nullopt;
}

std::vector<std::size_t> parse_numbers(std::string_view set) {
  std::vector<std::size_t> out;
  while (!set.empty() && out.size() < kMaxNumbers) {
    const std::string_view part = set.substr(0, set.find(','));
    set.remove_prefix(std::min(set.size(), part.size() + 1));
    std::size_t from = 0, to = 0;
    const auto first = std::from_chars(part.data(), part.data() + part.size(), from);
    if (first.ec != std::errc()) return {};
    to = from;
    if (first.ptr != part.data() + part.size() && *first.ptr == '-')
      std::from_chars(first.ptr + 1, part.data() + part.size(), to);
    for (std::size_t i = from; i <= to && out.size() < kMaxNumbers; ++i) out.push_back(i);
  }
  return out;
}

std::string_view split_numbers(std::string_view text, std::vector<std::size_t>& numbers) {
  const std::size_t open = text.rfind(" [");
  if (open == std::string_view::npos || !text.ends_with(']')) return text;
  numbers = parse_numbers(text.substr(open + 2, text.size() - open - 3));
  return text.substr(0, open);
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 8;
  std::string out;
  const std::size_t shown = std::min(names.size(), kMost);
  for (std::size_t i = 0; i < shown; ++i) {
    if (i != 0) out += i + 1 == names.size() ? " and " : ", ";
    out += names[i];
  }
  if (names.size() > kMost) out += fmt::format(" and {} more", names.size() - kMost);
  return out;
}

}  // namespace postern::story
