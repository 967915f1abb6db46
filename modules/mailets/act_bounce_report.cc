// classify_bounce: what a delivery report that came in says about its recipients (RFC 3464).
#include "parts.h"
#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxReport = 64 * 1024;  // octets of the machine-readable part
constexpr std::size_t kMaxGroups = 1'000;      // of fields in it, one for each recipient
constexpr std::size_t kMaxStatus = 16;         // octets of "5.1.1" and its like

/// The machine-readable part of the report itself, not of one that is attached to it.
class ReportSeeker final : public PartSeeker {
 public:
  void on_part(const MimePart& part) override {
    const bool mine = part.parent == 0 && part.type == "message" &&
                      (part.subtype == "delivery-status" || part.subtype == "global-delivery-status");
    if (mine && !found_) decoder_.emplace(part.encoding);
  }
  void on_body(const MimePart&, std::string_view piece) override {
    if (decoder_ && text_.size() < kMaxReport) decoder_->feed(piece, text_);
  }
  void on_part_end(const MimePart&) override {
    if (!decoder_) return;
    decoder_->finish(text_);
    decoder_.reset();
    found_ = true;
  }
  const std::string& text() const { return text_; }

 private:
  std::optional<BodyDecoder> decoder_;
  std::string text_;
};

struct Kind {
  enum class Hardness : std::uint8_t { kNone, kSoft, kHard } hardness = Hardness::kNone;
  std::string status;
};

/// "5.1.1" of "5.1.1 (no such user)"; empty when it is no status (RFC 3463 §2).
std::string status_of(std::string_view value) {
  value = trim(value);
  const std::string_view status = value.substr(0, value.find_first_of(" \t("));
  const bool shaped = status.size() >= 5 && status.size() <= kMaxStatus && status[1] == '.' &&
                      status.find_first_not_of("0123456789.") == std::string_view::npos;
  return shaped ? std::string(status) : std::string();
}

/// Permanent refusals that speak of the moment, not of the address: a mailbox or a system that is full.
bool may_pass(std::string_view status) {
  return status.starts_with("4.") || status == "5.2.2" || status == "5.3.1";
}

Kind kind_of(const HeaderBlock& fields) {
  const std::string action = parse_parameters(fields.value("Action")).value;
  Kind kind{Kind::Hardness::kNone, status_of(fields.value("Status"))};
  if (action == "delayed") kind.hardness = Kind::Hardness::kSoft;
  if (action == "failed") kind.hardness = may_pass(kind.status) ? Kind::Hardness::kSoft : Kind::Hardness::kHard;
  return kind;
}

/// The worst that is said of any recipient. The first group of fields is about the message (RFC 3464 §2.1).
Kind worst_of(std::string_view report) {
  Kind worst;
  for (std::size_t group = 0; !report.empty() && group < kMaxGroups; ++group) {
    const HeaderBlock fields(report);
    Kind kind = kind_of(fields);
    if (kind.hardness > worst.hardness) worst = std::move(kind);
    report.remove_prefix(std::max<std::size_t>(fields.body_offset(), 1));
  }
  return worst;
}

class ClassifyBounce final : public Action {
 public:
  explicit ClassifyBounce(std::string note) : note_(std::move(note)) {}
  std::string name() const override { return "classify_bounce"; }
  Done run(RuleCall call) override {
    // A report is several parts; the text of other mail need not be read.
    const std::string type = parse_parameters(HeaderBlock(call.transaction.headers()).value("Content-Type")).value;
    if (!type.starts_with("multipart/")) co_return ActionResult{};
    ReportSeeker seeker;
    auto looked = co_await look_through(call.transaction.draft, seeker);
    if (!looked) co_return std::unexpected(std::move(looked).error());
    Kind kind = worst_of(seeker.text());
    if (kind.hardness == Kind::Hardness::kNone) co_return ActionResult{};
    auto& notes = call.transaction.notes;  // of the mail: what it says does not depend on who reads it
    const std::string word = kind.hardness == Kind::Hardness::kHard ? "hard" : "soft";
    notes.insert_or_assign(note_, word);
    if (!kind.status.empty()) notes.insert_or_assign(note_ + "_status", kind.status);
    call.effects.trail().fact(call.stage, note_, kind.status.empty() ? word : word + " " + kind.status);
    co_return ActionResult{};
  }

 private:
  std::string note_;
};

}  // namespace

void declare_bounce_actions(RuleRegistry& rules) {
  declare_action(
      rules, "classify_bounce",
      "Notes whether a delivery report (RFC 3464) is about a `hard` failure or a `soft` one that may pass.",
      "act.classify_bounce", "spool.*: the body cannot be read back",
      {{"note", "string",
        "the mail's note for it; bounce unless given. The status, such as 5.1.1, is in the note of that name "
        "with _status behind it. Mail that is no such report gets neither",
        false, 0}},
      [](Arguments& arguments) {
        std::string note = arguments.text("note", "bounce");
        if (note.empty()) arguments.complain("note must not be empty");
        return std::make_shared<ClassifyBounce>(std::move(note));
      });
}

}  // namespace postern::mailets
