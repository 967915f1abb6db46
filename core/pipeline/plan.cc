// Bytes of a Plan: one version octet, the number of steps, then each step with its length in front, so that a newer
// server may add fields at a step's end. All texts carry their length; recipients are ascending differences.
#include "core/mail/record.h"
#include "postern/pipeline.h"

namespace postern {
namespace {

using mail::put_text;
using mail::put_varint;
using mail::RecordReader;

constexpr std::uint8_t kPlanVersion = 1;
constexpr std::size_t kMaxPlanSteps = kMaxEnvelopeRecipients;
constexpr std::size_t kMaxStepItems = 256;  // flags, options

void encode_step(std::string& out, const PlanStep& step) {
  out += static_cast<char>(step.kind);
  put_varint(out, step.recipients.size());
  std::int64_t last = 0;
  for (const std::uint32_t number : step.recipients) {
    put_varint(out, mail::zigzag(static_cast<std::int64_t>(number) - last));
    last = number;
  }
  put_text(out, step.account);
  put_text(out, step.folder);
  put_varint(out, step.flags.size());
  for (const std::string& flag : step.flags) put_text(out, flag);
  put_varint(out, step.options.size());
  for (const auto& [key, value] : step.options) {
    put_text(out, key);
    put_text(out, value);
  }
  put_text(out, step.reason);
  put_text(out, step.header_edits);
  put_varint(out, mail::zigzag(step.not_before.time_since_epoch().count()));
}

Result<PlanStep> decode_step(std::string_view bytes) {
  RecordReader in(bytes);
  PlanStep step;
  const std::uint8_t kind = in.octet();
  if (kind < static_cast<std::uint8_t>(PlanStep::Kind::kDeliver) ||
      kind > static_cast<std::uint8_t>(PlanStep::Kind::kBounce))
    return fault("plan.version", "a step of a kind that this server does not know");
  step.kind = static_cast<PlanStep::Kind>(kind);
  const std::uint64_t recipients = in.varint();
  if (recipients > bytes.size()) return fault("plan.damaged", "more recipients than octets");
  step.recipients.reserve(recipients);
  std::int64_t last = 0;
  for (std::uint64_t i = 0; i < recipients && !in.failed(); ++i) {
    const std::int64_t step_size = mail::unzigzag(in.varint());
    if (step_size < -static_cast<std::int64_t>(kMaxEnvelopeRecipients) ||
        step_size > static_cast<std::int64_t>(kMaxEnvelopeRecipients))
      return fault("plan.damaged", "a recipient's number is out of range");
    last += step_size;
    if (last < 0 || last >= static_cast<std::int64_t>(kMaxEnvelopeRecipients))
      return fault("plan.damaged", "a recipient's number is out of range");
    step.recipients.push_back(static_cast<std::uint32_t>(last));
  }
  step.account = in.text();
  step.folder = in.text();
  const std::uint64_t flags = in.varint();
  if (flags > kMaxStepItems) return fault("plan.limit", "too many flags");
  for (std::uint64_t i = 0; i < flags && !in.failed(); ++i) step.flags.emplace_back(in.text());
  const std::uint64_t options = in.varint();
  if (options > kMaxStepItems) return fault("plan.limit", "too many options");
  for (std::uint64_t i = 0; i < options && !in.failed(); ++i) {
    std::string key(in.text());
    step.options.insert_or_assign(std::move(key), std::string(in.text()));
  }
  step.reason = in.text();
  step.header_edits = in.text();
  step.not_before = WallTime(WallTime::duration(mail::unzigzag(in.varint())));
  if (in.failed()) return fault("plan.damaged", "a step ends too early");
  return step;
}

}  // namespace

void Plan::encode(std::string& out) const {
  out += static_cast<char>(kPlanVersion);
  put_varint(out, steps.size());
  std::string bytes;
  for (const PlanStep& step : steps) {
    bytes.clear();
    encode_step(bytes, step);
    put_text(out, bytes);
  }
}

Result<Plan> Plan::decode(std::string_view bytes) {
  RecordReader in(bytes);
  const std::uint8_t version = in.octet();
  if (in.failed()) return fault("plan.damaged", "no octets");
  if (version != kPlanVersion) return fault("plan.version", "version " + std::to_string(version));
  const std::uint64_t count = in.varint();
  if (in.failed()) return fault("plan.damaged", "the plan ends too early");
  if (count > kMaxPlanSteps) return fault("plan.limit", "too many steps");
  Plan plan;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view body = in.text();
    if (in.failed()) return fault("plan.damaged", "the plan ends too early");
    auto step = decode_step(body);
    if (!step) return std::unexpected(std::move(step).error());
    plan.steps.push_back(std::move(*step));
  }
  if (!in.at_end()) return fault("plan.damaged", "octets after the last step");
  return plan;
}

}  // namespace postern
