#include "core/sendmail/options.h"

#include <fmt/format.h>

#include <string_view>

#include "postern/envelope.h"
#include "postern/text.h"

namespace postern::sendmail {

namespace {

// As getopt() writes it: a colon behind those with a value. -q and -d take one only when it is in the same word.
constexpr std::string_view kFlags = "A:B:b:C:D:F:f:GIh:iL:M:mN:nO:o:p:R:r:sTtUV:vX:x";

std::unexpected<Fault> usage(std::string text) {
  return fault("sendmail.usage", std::move(text));
}

bool takes_value(char flag) {
  const std::size_t at = kFlags.find(flag);
  return at != kFlags.npos && flag != ':' && at + 1 < kFlags.size() && kFlags[at + 1] == ':';
}

/// "<ann@x>" and "ann@x" are the same; "<>" is nobody.
std::string bare_address(std::string_view text) {
  text = trim(text);
  if (text.starts_with('<') && text.ends_with('>')) text = text.substr(1, text.size() - 2);
  return std::string(text);
}

Result<void> set_mode(Options& out, std::string_view value) {
  switch (value.empty() ? '\0' : value.front()) {
    case 'm':
      out.mode = Mode::kDeliver;
      return {};
    case 's':
      out.mode = Mode::kSmtp;
      return {};
    case 'p':
      out.mode = Mode::kQueueList;
      return {};
    case 'i':
      out.mode = Mode::kNewAliases;
      return {};
    case 'd':
    case 'D':
      return usage("the server is started by \"postern run\", not by -bd");
    default:
      return usage(fmt::format("-b{} is not supported: -bm, -bs, -bp and -bi are", value));
  }
}

Result<void> set_value(Options& out, char flag, const std::string& value) {
  switch (flag) {
    case 'b':
      return set_mode(out, value);
    case 'f':
    case 'r':
      out.sender = bare_address(value);
      break;
    case 'F':
      out.full_name = value;
      break;
    case 'N': {
      out.notify = to_upper(value);
      if (!parse_notify(out.notify)) return usage(fmt::format("-N {}: never, or some of success,failure,delay", value));
      break;
    }
    case 'R':
      out.ret = to_upper(value);
      if (!parse_ret(out.ret)) return usage(fmt::format("-R {}: full or hdrs", value));
      break;
    case 'V':
      out.envid = xtext_encode(value);
      if (!parse_envid(out.envid)) return usage("-V: the envelope id is empty or too long");
      break;
    case 'o':
      if (value == "i") out.ignore_dots = true;
      break;
    case 'O':
      if (equal_folded(value, "IgnoreDots") || equal_folded(value, "IgnoreDots=true")) out.ignore_dots = true;
      break;
    default:
      break;  // known to sendmail, and of no meaning here
  }
  return {};
}

void set_flag(Options& out, char flag) {
  if (flag == 't') out.recipients_from_header = true;
  if (flag == 'i') out.ignore_dots = true;
  if (flag == 'v') out.verbose = true;
}

/// One word of flags; `next` is the word behind it, which is taken (and cleared) by a flag that needs a value.
Result<void> take_word(Options& out, std::string_view word, const std::string*& next) {
  for (std::size_t at = 1; at < word.size(); ++at) {
    const char flag = word[at];
    if (flag == 'q') {
      out.mode = Mode::kQueueRun;
      return {};  // an interval or a selection in the same word has no meaning here
    }
    if (flag == 'd') return {};
    if (!takes_value(flag)) {
      if (kFlags.find(flag) == kFlags.npos) return usage(fmt::format("unknown option -{}", flag));
      set_flag(out, flag);
      continue;
    }
    std::string value(word.substr(at + 1));
    if (value.empty()) {
      if (next == nullptr) return usage(fmt::format("-{} needs a value", flag));
      value = *std::exchange(next, nullptr);
    }
    return set_value(out, flag, value);
  }
  return {};
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& arguments, std::string_view program) {
  Options out;
  if (const std::size_t slash = program.rfind('/'); slash != program.npos) program = program.substr(slash + 1);
  if (program == "mailq") out.mode = Mode::kQueueList;
  if (program == "newaliases") out.mode = Mode::kNewAliases;
  bool flags = true;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (flags && word == "--") {
      flags = false;
    } else if (flags && word.size() > 1 && word.front() == '-') {
      const std::string* next = i + 1 < arguments.size() ? &arguments[i + 1] : nullptr;
      const bool had = next != nullptr;
      if (auto taken = take_word(out, word, next); !taken) return std::unexpected(taken.error());
      if (had && next == nullptr) ++i;
    } else {
      flags = false;  // as getopt() does: what follows the first address is an address
      out.recipients.push_back(word);
    }
  }
  return out;
}

}  // namespace postern::sendmail
