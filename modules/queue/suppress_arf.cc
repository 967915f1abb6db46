#include "suppress_arf.h"

#include <algorithm>

#include "postern/message.h"
#include "postern/mime.h"
#include "postern/text.h"
#include "suppress_proof.h"

namespace postern::queue {

namespace {

/// The bodies of a message's first parts, decoded.
class Bodies final : public MimeSink {
 public:
  void on_part(const MimePart& part) override {
    part_ = &part;
    decoder_.emplace(part.encoding);
  }
  void on_body(const MimePart& part, std::string_view piece) override {
    if (part.parent == 0 && is_wanted(part) && text(part).size() < kMaxArf) decoder_->feed(piece, text(part));
  }
  void on_part_end(const MimePart& part) override {
    if (part.parent == 0 && is_wanted(part) && decoder_) decoder_->finish(text(part));
  }
  std::string feedback, headers;

 private:
  static bool is_feedback(const MimePart& part) { return part.type == "message" && part.subtype == "feedback-report"; }
  static bool is_wanted(const MimePart& part) {
    return is_feedback(part) || (part.type == "text" && part.subtype == "rfc822-headers");
  }
  std::string& text(const MimePart& part) { return is_feedback(part) ? feedback : headers; }
  const MimePart* part_ = nullptr;
  std::optional<BodyDecoder> decoder_;
};

std::optional<Address> address_in(std::string_view value) {
  value = trim(value);
  if (value.starts_with('<') && value.ends_with('>')) value = value.substr(1, value.size() - 2);
  if (starts_with_folded(value, "rfc822;")) value = trim(value.substr(7));
  auto parsed = Address::parse(value);
  if (!parsed || parsed->domain().empty()) return std::nullopt;
  return *parsed;
}

void add(std::vector<Address>& to, Address address, std::size_t limit) {
  if (to.size() < limit && std::ranges::find(to, address) == to.end()) to.push_back(std::move(address));
}

void read_feedback(ArfReport& out, const HeaderBlock& fields) {
  out.feedback_type = to_lower(fields.value("feedback-type"));
  out.user_agent = fields.value("user-agent");
  if (auto from = address_in(fields.value("original-mail-from"))) add(out.senders, std::move(*from), kMaxArfSenders);
  for (const HeaderField& field : fields) {
    if (!field.is("original-rcpt-to") && !field.is("removal-recipient")) continue;
    if (auto to = address_in(field.value())) add(out.recipients, std::move(*to), kMaxArfRecipients);
  }
}

/// What the report did not say, the returned message may.
void read_original(ArfReport& out, const HeaderBlock& original) {
  const auto ids = parse_message_ids(original.value("message-id"));
  if (!ids.empty()) out.message_id = ids.front();
  for (const char* name : {"return-path", "sender", "from"})
    for (const HeaderAddress& one : parse_address_list(original.value(name)).items)
      if (auto found = one.address()) add(out.senders, std::move(*found), kMaxArfSenders);
  for (const char* name : {"to", "cc"})
    for (const HeaderAddress& one : parse_address_list(original.value(name)).items)
      if (auto found = one.address()) add(out.recipients, std::move(*found), kMaxArfRecipients);
  for (const HeaderField& field : original)
    if (field.is(to_lower(FeedbackProof::kField)) && out.proofs.size() < kMaxArfProofs)
      out.proofs.emplace_back(trim(field.value()));
}

}  // namespace

bool ArfReport::is_complaint() const {
  static constexpr std::string_view kComplaints[] = {"abuse",        "fraud",          "virus", "opt-out",
                                                     "opt-out-list", "miscategorized", "other"};
  return std::ranges::find(kComplaints, feedback_type) != std::end(kComplaints);
}

Result<ArfReport> parse_arf(std::string_view message) {
  message = message.substr(0, kMaxArf);
  Bodies bodies;
  MimeReader reader({}, &bodies);
  reader.feed(message);
  const MimeStructure structure = reader.finish();
  const MimePart& root = structure.root();
  const std::string* type = root.parameter("report-type");
  if (root.type != "multipart" || root.subtype != "report" || type == nullptr ||
      !equal_folded(*type, "feedback-report"))
    return fault("arf.syntax", "it is no multipart/report of type feedback-report");
  if (bodies.feedback.empty()) return fault("arf.syntax", "there is no message/feedback-report in it");
  ArfReport out;
  read_feedback(out, HeaderBlock(bodies.feedback));
  if (out.feedback_type.empty()) return fault("arf.syntax", "it has no Feedback-Type");
  for (const std::uint32_t index : structure.children(0)) {
    const MimePart& part = structure.parts[index];
    if (part.is_message() && part.first_child != MimePart::kNone)
      read_original(out, HeaderBlock(structure.parts[part.first_child].header));
  }
  if (!bodies.headers.empty()) read_original(out, HeaderBlock(bodies.headers));
  return out;
}

}  // namespace postern::queue
