// Mailets that edit the texts of a message: add_footer, replace_content, wrap, unwrap.
#include <fmt/format.h>
#include <re2/re2.h>

#include <memory>

#include "arguments.h"
#include "body.h"
#include "bring.h"
#include "flowed.h"
#include "postern/message.h"
#include "postern/text.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxFooter = 64 * 1024;
constexpr std::size_t kMaxGrowth = 4 << 20;  ///< octets of a text after replacements
constexpr std::size_t kMaxPattern = 1000;

/// An edit of texts that is the same for every mail.
class EditsTexts : public Action {
 public:
  EditsTexts(std::string name, TextEditor edit) : name_(std::move(name)), edit_(std::move(edit)) {}
  std::string name() const override { return name_; }
  Done run(RuleCall call) override { return edit_texts(call, name_, edit_); }

 private:
  std::string name_;
  TextEditor edit_;
};

// --- add_footer -----------------------------------------------------------------------------------------------------

std::string with_line_ends(std::string_view text, std::string_view eol) {
  std::string out;
  for (const char c : text) {
    if (c == '\r') continue;
    if (c == '\n')
      out += eol;
    else
      out += c;
  }
  return out;
}

/// UTF-8 as HTML that is ASCII: every charset can hold it.
std::string ascii_html(std::string_view utf8) {
  std::string out;
  for (std::size_t i = 0; i < utf8.size();) {
    const auto first = static_cast<unsigned char>(utf8[i]);
    const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 1 || i + length > utf8.size()) {
      out += utf8[i++];
      continue;
    }
    std::uint32_t code = first & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) code = code << 6 | (static_cast<unsigned char>(utf8[i + k]) & 0x3fU);
    out += fmt::format("&#{};", code);
    i += length;
  }
  return out;
}

std::string html_of(std::string_view text) {
  std::string out = "<p>";
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '\n')
      out += "<br>\n";
    else if (c != '\r')
      out += c;
  }
  return out + "</p>";
}

std::string_view eol_of(std::string_view text) {
  return text.contains('\n') && !text.contains("\r\n") ? "\n" : "\r\n";
}

std::string plain_with_footer(const std::string& text, const std::string& footer) {
  const std::string_view eol = eol_of(text);
  const bool ended = text.empty() || text.ends_with('\n');
  std::string out = text;
  if (!ended) out += eol;
  std::string tail = with_line_ends(footer, eol);
  if (tail.ends_with('\n')) tail.erase(tail.size() - eol.size());
  out += tail;
  if (ended) out += eol;
  return out;
}

/// The last place of an element's end, in any case.
std::size_t last_of_folded(std::string_view text, std::string_view what) {
  for (std::size_t at = text.size() < what.size() ? 0 : text.size() - what.size() + 1; at-- > 0;)
    if (equal_folded(text.substr(at, what.size()), what)) return at;
  return std::string_view::npos;
}

std::string html_with_footer(const std::string& text, const std::string& footer) {
  const std::string_view eol = eol_of(text);
  std::size_t at = last_of_folded(text, "</body");
  if (at == std::string::npos) at = last_of_folded(text, "</html");
  const std::string tail = with_line_ends(footer, eol);
  if (at != std::string::npos) return text.substr(0, at) + tail + std::string(eol) + text.substr(at);
  return plain_with_footer(text, footer);
}

std::shared_ptr<Action> add_footer(Arguments& arguments) {
  const std::string text = arguments.text("text");
  std::string html = arguments.text("html", "");
  if (text.size() > kMaxFooter || html.size() > kMaxFooter) arguments.complain("the footer is too long");
  if (!is_valid_utf8(text) || !is_valid_utf8(html)) arguments.complain("the footer is not UTF-8");
  html = ascii_html(html.empty() ? html_of(text) : html);
  return std::make_shared<EditsTexts>("add_footer", [text, html](const MimePart& part, const std::string& old) {
    const bool plain = part.subtype == "plain";
    return std::optional(EditedText{plain ? plain_with_footer(old, text) : html_with_footer(old, html)});
  });
}

// --- replace_content ------------------------------------------------------------------------------------------------

struct Replacement {
  std::shared_ptr<RE2> pattern;
  std::string with;
};
using Replacements = std::vector<Replacement>;

Replacements replacements(Arguments& arguments, std::string_view key) {
  Replacements out;
  for (const auto& [pattern, with] : arguments.replacements(key)) {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);
    auto compiled = std::make_shared<RE2>(pattern, options);
    std::string error;
    if (pattern.size() > kMaxPattern || !compiled->ok())
      arguments.complain(fmt::format("\"{}\" is not a pattern: {}", pattern, compiled->error()));
    else if (!compiled->CheckRewriteString(with, &error))
      arguments.complain(fmt::format("\"{}\" does not fit its pattern: {}", with, error));
    out.push_back({std::move(compiled), with});
  }
  return out;
}

/// Whether anything was replaced. What would grow past all bounds is left.
bool replace_all(const Replacements& list, std::string& text) {
  bool changed = false;
  for (const Replacement& one : list) {
    std::string next = text;
    if (RE2::GlobalReplace(&next, *one.pattern, one.with) == 0 || next.size() > kMaxGrowth) continue;
    text = std::move(next);
    changed = true;
  }
  return changed;
}

class ReplaceContent final : public EditsTexts {
 public:
  ReplaceContent(Replacements subject, Replacements text, Replacements html)
      : EditsTexts("replace_content",
                   [text, html](const MimePart& part, const std::string& old) -> std::optional<EditedText> {
                     std::string changed = old;
                     if (!replace_all(part.subtype == "plain" ? text : html, changed) || changed == old)
                       return std::nullopt;
                     return EditedText{std::move(changed)};
                   }),
        subject_(std::move(subject)),
        bodies_(!text.empty() || !html.empty()) {}

  Done run(RuleCall call) override {
    const std::string header = subject_.empty() ? std::string() : header_now(call);
    std::string subject = HeaderBlock(header).decoded("Subject");
    const std::string before = subject;
    if (replace_all(subject_, subject) && subject != before) {
      const bool done = call.transaction.edits.replace("Subject", 0, encode_words(subject));
      if (done) call.effects.trail().edit(call.stage, "replace_content", "Subject: " + subject);
    }
    if (!bodies_) return Done::ready(ActionResult{});
    return EditsTexts::run(call);
  }

 private:
  Replacements subject_;
  bool bodies_;
};

std::shared_ptr<Action> replace_content(Arguments& arguments) {
  Replacements subject = replacements(arguments, "subject");
  Replacements text = replacements(arguments, "text");
  Replacements html = replacements(arguments, "html");
  if (subject.empty() && text.empty() && html.empty()) arguments.complain("needs subject, text or html");
  return std::make_shared<ReplaceContent>(std::move(subject), std::move(text), std::move(html));
}

// --- wrap and unwrap ------------------------------------------------------------------------------------------------

bool is_flowed(const MimePart& part) {
  const std::string* format = part.parameter("format");
  return part.subtype == "plain" && format && equal_folded(*format, "flowed");
}

std::shared_ptr<Action> wrap(Arguments& arguments) {
  const auto columns = static_cast<std::size_t>(arguments.integer("columns", 20, 990).value_or(76));
  return std::make_shared<EditsTexts>(
      "wrap", [columns](const MimePart& part, const std::string& old) -> std::optional<EditedText> {
        if (part.subtype != "plain" || is_flowed(part) || !has_wide_line(old, columns)) return std::nullopt;
        return EditedText{to_flowed(old, columns), {{"format", "flowed"}, {"delsp", ""}}};
      });
}

std::shared_ptr<Action> unwrap(Arguments&) {
  return std::make_shared<EditsTexts>(
      "unwrap", [](const MimePart& part, const std::string& old) -> std::optional<EditedText> {
        if (!is_flowed(part)) return std::nullopt;
        const std::string* delsp = part.parameter("delsp");
        return EditedText{from_flowed(old, delsp && equal_folded(*delsp, "yes")), {{"format", ""}, {"delsp", ""}}};
      });
}

}  // namespace

void declare_text_actions(RuleRegistry& rules) {
  static constexpr std::string_view kErrors =
      "spool.*: the message cannot be read or written; body.limit: too many bodies of one mail. Texts that are signed, "
      "encrypted, over 1 MiB or of an unknown charset are left, and the trail says so";
  declare_action(rules, "add_footer",
                 "Puts a text under the texts of the mail: plain and HTML, of alternatives each, in their charset "
                 "(UTF-8 where that has no room for it) and "
                 "transfer encoding.",
                 "act.add_footer { text = \"Example Inc.\", html = \"<p>Example Inc.</p>\" }", kErrors,
                 {{"text", "string", "for plain texts, and for HTML unless html is given", true, 0},
                  {"html", "string", "for HTML, before the end of its body"}},
                 add_footer);
  declare_action(rules, "replace_content",
                 "Replaces what fits a pattern (RE2) in the subject and in the texts of the mail.",
                 "act.replace_content { subject = { pattern = \"(?i)\\\\[spam\\\\] *\", with = \"\" } }", kErrors,
                 {{"subject", "table", "pattern and with (\\1 is the first group), or a list of such tables"},
                  {"text", "table", "the same, for plain texts"},
                  {"html", "table", "the same, for the source of HTML"}},
                 replace_content);
  declare_action(rules, "wrap",
                 "Breaks long lines of plain texts so that readers can join them (format=flowed, RFC 3676).",
                 "act.wrap(76)", kErrors, {{"columns", "integer", "from 20 to 990; 76 unless given", false, 0}}, wrap);
  declare_action(rules, "unwrap", "Joins the lines of plain texts that came as format=flowed.", "act.unwrap", kErrors,
                 {}, unwrap);
}

}  // namespace postern::mailets
