// The module "mailets": declares the native matchers and mailets of the standard library (pipeline.md).
#include "postern/module.h"
#include "postern/fingerprint.h"
#include "rules.h"

namespace postern::mailets {

void declare_all(RuleRegistry& rules) {
  declare_combinators(rules);
  declare_recipient_matchers(rules);
  declare_sender_matchers(rules);
  declare_client_matchers(rules);
  declare_message_matchers(rules);
  declare_part_matchers(rules);
  declare_routes(rules);
  declare_refusals(rules);
  declare_header_actions(rules);
  declare_recipient_actions(rules);
  declare_rewrite(rules);
  declare_note_actions(rules);
  declare_limit_actions(rules);
  declare_bounce_actions(rules);
  declare_forwards(rules);
  declare_notices(rules);
  declare_vacation(rules);
  declare_text_actions(rules);
  declare_part_actions(rules);
  declare_http_actions(rules);
  declare_delivery_matchers(rules);
  declare_drop_list(rules);
  declare_future(rules);
}

namespace {

class MailetsModule final : public Module {
 public:
  void describe(ConfigSchemas&) override {}  // rules have arguments, not settings
  void provide(Core& core) override { declare_all(core.services.need<RuleRegistry>()); }
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "mailets",
    .purpose = "native matchers and mailets for pipelines",
    .provides = {},
    .needs = {"rules"},
    .uses = {},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<MailetsModule>(); },
};

}  // namespace

}  // namespace postern::mailets

POSTERN_MODULE(postern::mailets::kInfo)
