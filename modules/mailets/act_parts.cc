// Mailets that change which parts a message has, or how they are encoded: strip_attachment, only_text, convert_to_7bit.
#include <fmt/format.h>

#include <algorithm>

#include "arguments.h"
#include "body.h"
#include "file_masks.h"
#include "parts.h"
#include "postern/text.h"

namespace postern::mailets {
namespace {

// --- strip_attachment -----------------------------------------------------------------------------------------------

struct StripTerms {
  FileMasks masks{{}};
  std::vector<std::string> types;
  std::string text;
  std::string note;
};

class StripAttachment final : public Action {
 public:
  explicit StripAttachment(StripTerms terms) : terms_(std::move(terms)) {}
  std::string name() const override { return "strip_attachment"; }

  Done run(RuleCall call) override {
    if (!call.transaction.draft) co_return ActionResult{};
    auto structure = co_await structure_of(call.transaction.draft);
    if (!structure) co_return std::unexpected(std::move(structure).error());
    // What cannot be seen whole cannot be made clean.
    if (!seen_whole(*structure))
      co_return fault("mime.limit", "the message has parts that cannot be seen: too many, too deep, or ill-formed");
    MimePatcher patches;
    std::string names;
    std::uint64_t taken = 0;  // everything before it is in a part that went
    for (const MimePart& part : structure->parts) {
      if (part.header_start < taken || !fits(part)) continue;
      const std::string name = name_of(part);
      if (const auto why = guarded(*structure, is_whole_mail(part) ? part.index : part.parent)) {
        call.effects.trail().fact(call.stage, "strip_attachment", fmt::format("{} is left: {}", name, *why));
        continue;
      }
      replace(patches, *structure, part, name);
      taken = part.end;
      names += (names.empty() ? "" : ", ") + name;
      call.effects.trail().edit(call.stage, "strip_attachment", "without " + name);
    }
    if (patches.empty()) co_return ActionResult{};
    if (!terms_.note.empty()) call.transaction.notes.insert_or_assign(terms_.note, names.substr(0, kMaxNames));
    co_return co_await rewritten(call, std::move(patches));
  }

 private:
  static constexpr std::size_t kMaxNames = 1000;

  bool fits(const MimePart& part) const {
    if (part.is_multipart() || part.header_truncated) return false;
    if (terms_.masks.empty() && terms_.types.empty()) return part.is_attachment();
    const std::string type = part.type + "/" + part.subtype;
    if (std::ranges::any_of(terms_.types, [&](const std::string& one) {
          return one == type || (one.ends_with("/*") && part.type == one.substr(0, one.size() - 2));
        }))
      return true;
    const std::string* typed = part.parameter("name");
    return terms_.masks.fit(part.file_name()) || (typed && terms_.masks.fit(decode_words(*typed)));
  }

  /// What S/MIME wraps a mail in is no attachment, though it says so, unless it bears another name or was asked for.
  bool is_whole_mail(const MimePart& part) const {
    if (!terms_.masks.empty() || !terms_.types.empty()) return false;
    const std::string* typed = part.parameter("name");
    return (part.file_name().empty() || wrappings_.fit(part.file_name())) && (!typed || wrappings_.fit(*typed));
  }

  static std::string name_of(const MimePart& part) {
    const std::string name = scrub_utf8(part.file_name());
    return name.empty() ? part.type + "/" + part.subtype : name;
  }

  /// A text stands in the part's place, so that the others keep theirs.
  void replace(MimePatcher& patches, const MimeStructure& structure, const MimePart& part,
               const std::string& name) const {
    std::string text = terms_.text;
    if (const std::size_t at = text.find("%s"); at != std::string::npos) text.replace(at, 2, name);
    const std::string fields =
        with_content(part,
                     "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
                     "Content-Disposition: inline\r\n");
    std::string body = encode_quoted_printable(text);
    // A part whose header ran into a delimiter has no empty line of its own.
    const bool bare = part.body_start == part.header_start + part.header.size();
    patches.replace(part.header_start, part.header_start + part.header.size(), fields);
    if (part.end >= structure.root().end) body += "\r\n";
    patches.replace(part.body_start, part.end, bare ? "\r\n" + body : body);
  }

  StripTerms terms_;
  FileMasks wrappings_{{"*.p7m", "*.p7z"}};
};

std::shared_ptr<Action> strip_attachment(Arguments& arguments) {
  StripTerms terms;
  std::vector<std::string> masks = arguments.texts("masks", false);
  for (const std::string& mask : masks)
    if (mask.empty() || mask.size() > FileMasks::kMaxMask || mask.find_first_of("/\\") != std::string::npos)
      arguments.complain("\"" + mask + "\" is not a mask for names of files");
  terms.masks = FileMasks(std::move(masks));
  if (arguments.named("types")) terms.types = arguments.texts("types");
  for (std::string& type : terms.types) {
    lower_in_place(type);
    if (std::ranges::count(type, '/') != 1 || type.starts_with("multipart/"))
      arguments.complain("\"" + type + "\" is not the type of an attachment");
  }
  terms.text = arguments.named("text") ? arguments.text("text") : "The attachment \"%s\" was removed.";
  if (!is_valid_utf8(terms.text)) arguments.complain("text is not UTF-8");
  if (arguments.named("note")) terms.note = arguments.text("note");
  return std::make_shared<StripAttachment>(std::move(terms));
}

// --- only_text ------------------------------------------------------------------------------------------------------

class OnlyText final : public Action {
 public:
  std::string name() const override { return "only_text"; }
  Done run(RuleCall call) override {
    if (!call.transaction.draft) co_return ActionResult{};
    auto structure = co_await structure_of(call.transaction.draft);
    if (!structure) co_return std::unexpected(std::move(structure).error());
    const auto texts = shown_texts(*structure);
    auto chosen =
        std::ranges::find_if(texts, [&](std::uint32_t one) { return structure->parts[one].subtype == "plain"; });
    if (chosen == texts.end()) chosen = texts.begin();
    Trail& trail = call.effects.trail();
    if (chosen == texts.end()) {
      trail.fact(call.stage, "only_text", "the mail has no text");
      co_return ActionResult{};
    }
    if (*chosen == 0) co_return ActionResult{};  // that is all there is
    if (const auto why = guarded(*structure, *chosen)) {
      trail.fact(call.stage, "only_text", fmt::format("the mail is left: {}", *why));
      co_return ActionResult{};
    }
    const MimePart& root = structure->root();
    const MimePart& part = structure->parts[*chosen];
    std::string content;
    for (const HeaderField& field : HeaderBlock(part.header))
      if (starts_with_folded(field.name, "Content-")) content += field.raw;
    if (!content.empty() && !content.ends_with('\n')) content += "\r\n";
    MimePatcher patches;
    patches.replace(root.header_start, root.header_start + root.header.size(), with_content(root, content));
    patches.replace(root.body_start, part.body_start, "");
    patches.replace(part.end, root.end, part.end < root.end ? "\r\n" : "");
    trail.edit(call.stage, "only_text",
               fmt::format("{}/{} of {} parts", part.type, part.subtype, structure->parts.size()));
    co_return co_await rewritten(call, std::move(patches));
  }
};

// --- convert_to_7bit ------------------------------------------------------------------------------------------------

/// Whether no octets but 7-bit ones are left: a leaf that claims another encoding than it has keeps them, as do headers
/// of parts and what is no leaf.
bool becomes_7bit(const MimeStructure& structure) {
  return std::ranges::all_of(structure.parts, [](const MimePart& part) {
    const bool leaf = part.is_leaf() && !part.is_multipart() && !part.is_message();
    const bool plain = part.encoding == TransferEncoding::k7Bit || part.encoding == TransferEncoding::k8Bit ||
                       part.encoding == TransferEncoding::kBinary;
    if (part.header_truncated || (part.index != 0 && !is_ascii(part.header))) return false;
    return (leaf && plain) || (!part.has_8bit && !part.has_nul);
  });
}

class ConvertTo7Bit final : public Action {
 public:
  std::string name() const override { return "convert_to_7bit"; }
  Done run(RuleCall call) override {
    if (!call.transaction.draft) co_return ActionResult{};
    auto structure = co_await structure_of(call.transaction.draft);
    if (!structure) co_return std::unexpected(std::move(structure).error());
    for (const MimePart& part : structure->parts) {
      // Also those that only declare it: their header is signed with them.
      const bool converts = part.has_8bit || part.has_nul || part.encoding == TransferEncoding::k8Bit ||
                            part.encoding == TransferEncoding::kBinary;
      const auto why = converts ? guarded(*structure, part.index) : std::nullopt;
      if (!why) continue;
      call.effects.trail().fact(call.stage, "convert_to_7bit", fmt::format("the mail is left: {}", *why));
      co_return ActionResult{};
    }
    MimePatcher patches = patches_to_7bit(*structure);
    if (patches.empty()) co_return ActionResult{};
    call.effects.trail().edit(call.stage, "convert_to_7bit", "7 bits");
    auto result = co_await rewritten(call, std::move(patches));
    if (result && call.recipients.full() && becomes_7bit(*structure)) call.transaction.envelope.body = BodyType::k7Bit;
    co_return result;
  }
};

}  // namespace

void declare_part_actions(RuleRegistry& rules) {
  static constexpr std::string_view kErrors =
      "spool.*: the message cannot be read or written; body.limit: too many bodies of one mail. What is signed or "
      "encrypted is left, and the trail says so";
  declare_action(
      rules, "strip_attachment",
      "Puts a text in the place of attachments, by name or by type; all unless any are named.",
      "act.strip_attachment { \"*.exe\", \"*.js\", note = \"stripped\" }",
      "mime.limit: too many, too deep or ill-formed parts to be sure; spool.*: the message cannot be read or written; "
      "body.limit. "
      "What is signed or encrypted is left, and the trail says so",
      {{"masks", "list of strings", "names; * is any run of characters, ? is one; shown inline or attached", false, 0},
       {"types", "list of strings", "types; \"image/*\" takes a family"},
       {"text", "string", "what stands there instead; %s is the name"},
       {"note", "string", "a note of the mail that gets the names of what went"}},
      strip_attachment);
  declare_action(rules, "only_text",
                 "Leaves of the mail its plain text, as it is encoded; its HTML where it has no plain text.",
                 "act.only_text", kErrors, {}, [](Arguments&) { return std::make_shared<OnlyText>(); });
  declare_action(rules, "convert_to_7bit",
                 "Encodes what is 8-bit or binary, so that every server can take the mail (RFC 6152 section 3).",
                 "act.convert_to_7bit", kErrors, {}, [](Arguments&) { return std::make_shared<ConvertTo7Bit>(); });
}

}  // namespace postern::mailets
