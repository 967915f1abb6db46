// What the mailets that change a message's body share: its structure, its texts, and the new message that comes of it.
//
// The message is read for its structure, the parts to be edited are read whole (up to kMaxEditedText octets each), and
// the message is read once more and written as another one, piece by piece, with patches (postern/mime_edit.h). What is
// not edited keeps its octets. Nothing is changed in what is signed or encrypted (S/MIME, PGP), nor in messages inside
// the message: the trail says what was left, and why.
//
// Thread: the worker of the transaction. Errors: those of the spool, as the rule's fault.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/mime.h"
#include "postern/mime_edit.h"
#include "postern/pipeline.h"
#include "rules.h"

namespace postern::mailets {

inline constexpr std::uint64_t kMaxEditedText = 1 << 20;  ///< octets of a text that is edited, as it is encoded

Task<Result<MimeStructure>> structure_of(Draft* draft);
/// A part's body as it stands in the message.
Task<Result<std::string>> read_part(Draft* draft, const MimePart& part);
/// The message with its patches, for ActionResult::body.
Task<Result<ActionResult>> rewritten(RuleCall call, MimePatcher patches);

/// Why nothing may be changed in a part, itself or for what it lies in: "it is signed"; nothing when it may.
std::optional<std::string_view> guarded(const MimeStructure& structure, std::uint32_t part);
/// The texts that a reader is shown first: of alternatives each, of other multiparts those in the first part that has
/// any. Numbers of text/plain and text/html leaves; no attachments, nothing in messages inside.
std::vector<std::uint32_t> shown_texts(const MimeStructure& structure);

/// A text as UTF-8; nothing when its charset is not known, or its octets are not of it.
std::optional<std::string> decode_text(const MimePart& part, std::string_view raw);
/// What 7bit and 8bit cannot carry: NUL, a CR or LF alone, lines of more than 998 octets.
bool has_odd_lines(std::string_view text);

struct EditedText {
  std::string text;  ///< UTF-8
  std::vector<std::pair<std::string, std::string>>
      parameters{};  ///< of Content-Type, set; an empty value takes it away
};
/// Replaces a text part's header and body: the transfer encoding stays where it can, the charset where the text allows.
void patch_text(MimePatcher& patches, const MimeStructure& structure, const MimePart& part, const EditedText& edited);

/// A part's fields without those named Content-..., then `content`; the root says that it is MIME.
std::string with_content(const MimePart& part, std::string_view content);

/// Runs `edit` over the shown texts, and writes the message anew if any changed.
using TextEditor = std::function<std::optional<EditedText>(const MimePart& part, const std::string& text)>;
Task<Result<ActionResult>> edit_texts(RuleCall call, std::string mailet, const TextEditor& edit);

}  // namespace postern::mailets
