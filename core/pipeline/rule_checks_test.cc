// What `postern check` says about rules that cannot work, or hardly as they were meant: the whole text, with carets.
#include "core/pipeline/rule_checks.h"

#include <doctest/doctest.h>

#include <memory>
#include <utility>

namespace postern {
namespace {

class Named final : public Matcher {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  Task<Result<RecipientSet>> match(RuleCall call) override {
    return Task<Result<RecipientSet>>::ready(call.recipients);
  }
  std::string name() const override { return name_; }

 private:
  std::string name_;
};

class Does final : public Action {
 public:
  explicit Does(std::string name, std::string target = {}) : name_(std::move(name)), target_(std::move(target)) {}
  Task<Result<ActionResult>> run(RuleCall) override { return Task<Result<ActionResult>>::ready(ActionResult{}); }
  std::string name() const override { return name_; }
  bool is_final() const override { return name_ != "set_header" && name_ != "function"; }
  std::string goes_to() const override { return target_; }

 private:
  std::string name_, target_;
};

/// Rules as a script writes them, so that the places are true: a line is `pipeline NAME`, `waive CODE`, or a rule
/// `WHEN -> ACTION ...`; `go:NAME` is an action, and a `?` before the rule is on_error = "skip".
struct Script {
  RuleSet rules;
  std::shared_ptr<const SourceText> source;

  explicit Script(const std::string& text) : source(std::make_shared<SourceText>("test.lua", text)) {
    PipelineRules* pipeline = nullptr;
    for (std::uint32_t line = 1; !source->line(line).empty(); ++line) {
      std::string words(source->line(line));
      const auto column = static_cast<std::uint32_t>(words.find_first_not_of(' ') + 1);
      const Origin origin{source, line, column};
      words.erase(0, column - 1);
      if (words.starts_with("pipeline ")) {
        pipeline = &rules.pipelines[words.substr(9)];
        pipeline->name = words.substr(9);
        pipeline->origin = origin;
      } else if (words.starts_with("waive ")) {
        rules.waivers.emplace_back(words.substr(6), "a reason");
        rules.waiver_origins.push_back(origin);
      } else {
        pipeline->rules.push_back(rule(words, origin, *pipeline));
      }
    }
  }
  std::string said() const {
    Diagnostics diagnostics;
    check_rules(rules, diagnostics);
    return diagnostics.render();
  }

 private:
  static Rule rule(std::string words, const Origin& origin, const PipelineRules& pipeline) {
    Rule out;
    out.origin = origin;
    out.name = pipeline.name + "#" + std::to_string(pipeline.rules.size() + 1);
    if (words.starts_with('?')) {
      out.on_error = OnError::kSkip;
      words.erase(0, 1);
    }
    const std::size_t arrow = words.find("->");
    if (arrow > 0) out.when = std::make_shared<Named>(words.substr(0, arrow - 1));
    words.erase(0, arrow + 2);
    while (!words.empty()) {
      words.erase(0, 1);
      const std::string word = words.substr(0, words.find(' '));
      words.erase(0, word.size());
      out.actions.push_back(word.starts_with("go:") ? std::make_shared<Does>("go", word.substr(3))
                                                    : std::make_shared<Does>(word));
    }
    return out;
  }
};

TEST_CASE("rules that are well say nothing") {
  CHECK(Script("pipeline root\n"
               "  relay_limit -> bounce\n"
               "  recipient_is_local -> go:local\n"
               "  relay_allowed -> relay\n"
               "  -> bounce\n"
               "pipeline local\n"
               "  ?is_marked_as_spam -> deliver\n"
               "  all -> set_header deliver\n")
            .said()
            .empty());
}

TEST_CASE("all errors come at once, each with its line and a caret") {
  CHECK(Script("pipeline root\n"
               "  relay_limit -> bounce\n"
               "  sender_is -> go:locl\n"
               "  sender_is -> deliver set_header\n"
               "  size_over ->\n"
               "  -> go:local\n"
               "  has_header -> deliver\n"
               "pipeline local\n"
               "  sender_is -> go:outbound\n"
               "  has_header -> function\n"
               "pipeline outbound\n"
               "  -> go:local\n")
            .said() ==
        "test.lua:3:3: error: there is no pipeline \"locl\"\n"
        "  3 |   sender_is -> go:locl\n"
        "    |   ^\n"
        "  did you mean \"local\"?\n"
        "test.lua:4:3: error: action 2 of rule \"root#3\" is never reached: the one before it ends the mail\n"
        "  4 |   sender_is -> deliver set_header\n"
        "    |   ^\n"
        "test.lua:5:3: error: rule \"root#4\" has no action\n"
        "  5 |   size_over ->\n"
        "    |   ^\n"
        "test.lua:7:3: error: rule \"root#6\" is never reached: \"root#5\" takes everything\n"
        "  7 |   has_header -> deliver\n"
        "    |   ^\n"
        "test.lua:10:3: error: pipeline \"local\" does not end: its last rule must take everything and end it\n"
        "  10 |   has_header -> function\n"
        "     |   ^\n"
        "  add a last rule without `when`, for instance { act.bounce(\"5.7.1\", \"not accepted\") }\n"
        "test.lua:12:3: error: rule \"outbound#1\" goes in a circle: local -> outbound -> local\n"
        "  12 |   -> go:local\n"
        "     |   ^\n");
}

TEST_CASE("lints stand at the rule that they are about, with what to do") {
  CHECK(Script("pipeline root\n"
               "  relay_allowed -> relay\n"
               "  relay_limit -> bounce\n"
               "  all_of(recipient_is, all) -> bounce\n"
               "  recipient_domain_is -> go:refuse\n"
               "  ?-> deliver\n"
               "pipeline refuse\n"
               "  sender_is -> bounce\n"
               "  -> reject\n"
               "pipeline idle\n"
               "  -> relay\n")
            .said() ==
        "test.lua:2:3: warning: rule \"root#1\" sends mail on, and nothing before it stops one that goes in circles "
        "(RFC 5321 section 6.3) [lint.no_loop_guard]\n"
        "  2 |   relay_allowed -> relay\n"
        "    |   ^\n"
        "  begin root with { when = match.relay_limit(100), act.bounce(\"5.4.6\", \"mail loop\") }\n"
        "test.lua:4:3: warning: rule \"root#3\" refuses recipients after their RCPT was answered with 250 "
        "[lint.denial_after_acceptance]\n"
        "  4 |   all_of(recipient_is, all) -> bounce\n"
        "    |   ^\n"
        "  refuse them in a hook: postern.on(\"rcpt\", ...)\n"
        "test.lua:5:3: warning: rule \"root#4\" refuses recipients after their RCPT was answered with 250 "
        "[lint.denial_after_acceptance]\n"
        "  5 |   recipient_domain_is -> go:refuse\n"
        "    |   ^\n"
        "  refuse them in a hook: postern.on(\"rcpt\", ...)\n"
        "test.lua:6:3: warning: where rule \"root#5\" fails it is skipped, and no rule follows it [lint.skip_at_end]\n"
        "  6 |   ?-> deliver\n"
        "    |   ^\n"
        "  such mail is deferred all the same; leave on_error out, or add a rule\n"
        "test.lua:10:1: warning: no rule leads from root to pipeline \"idle\" [lint.unused_pipeline]\n"
        "  10 | pipeline idle\n"
        "     | ^\n");
}

TEST_CASE("a loop guard counts where mail passes it before it is sent on") {
  const std::string late =
      "pipeline root\n  sender_is -> go:out\n  relay_limit -> bounce\n  -> deliver\npipeline out\n";
  CHECK(Script(late + "  -> relay\n").said().find("test.lua:6:3: warning: rule \"out#1\" sends mail on") !=
        std::string::npos);
  CHECK(Script(late + "  any_of(relay_limit, all) -> bounce\n  -> relay\n").said().empty());
  CHECK(Script("pipeline root\n  -> deliver\n").said().find("test.lua:1:1: warning: nothing stops a mail") !=
        std::string::npos);
  CHECK(Script("pipeline root\n  none_of(relay_limit) -> relay\n  -> bounce\n").said().empty());
}

TEST_CASE("a loop guard on one way does not speak for another way to the same pipeline") {
  // Mail for lists passes the guard; all other mail comes to the same relay without it, and two servers with these
  // rules that name each other as gateway send it to and fro.
  CHECK(Script("pipeline root\n"
               "  has_header -> go:lists\n"
               "  -> go:out\n"
               "pipeline lists\n"
               "  relay_limit -> bounce\n"
               "  -> go:out\n"
               "pipeline out\n"
               "  -> relay\n")
            .said() ==
        "test.lua:8:3: warning: rule \"out#1\" sends mail on, and on the way root -> out nothing before it stops one "
        "that goes in circles (RFC 5321 section 6.3) [lint.no_loop_guard]\n"
        "  8 |   -> relay\n"
        "    |   ^\n"
        "  begin root with { when = match.relay_limit(100), act.bounce(\"5.4.6\", \"mail loop\") }\n");
  // With the guard before both ways nothing is wrong.
  CHECK(Script("pipeline root\n"
               "  relay_limit -> bounce\n"
               "  has_header -> go:lists\n"
               "  -> go:out\n"
               "pipeline lists\n"
               "  -> go:out\n"
               "pipeline out\n"
               "  -> relay\n")
            .said()
            .empty());
}

TEST_CASE("a circle that is seen on two ways is told once") {
  const std::string said = Script(
                               "pipeline root\n"
                               "  has_header -> go:lists\n"
                               "  -> go:out\n"
                               "pipeline lists\n"
                               "  relay_limit -> bounce\n"
                               "  -> go:out\n"
                               "pipeline out\n"
                               "  -> go:back\n"
                               "pipeline back\n"
                               "  -> go:out\n")
                               .said();
  const std::size_t first = said.find("goes in a circle: out -> back -> out");
  REQUIRE(first != std::string::npos);
  CHECK(said.find("goes in a circle", first + 1) == std::string::npos);
}

TEST_CASE("each lint can be waived by its code, and a waiver that silences nothing is told") {
  const std::string rules =
      "pipeline root\n"
      "  recipient_is -> bounce\n"
      "  ?-> deliver\n"
      "pipeline idle\n"
      "  -> deliver\n";
  CHECK(Script(rules + "waive lint.no_loop_guard\nwaive lint.denial_after_acceptance\nwaive lint.skip_at_end\nwaive "
                       "lint.unused_pipeline\n")
            .said()
            .empty());
  const std::string guarded = "pipeline root\n  relay_limit -> bounce\n  -> deliver\n";
  CHECK(Script(guarded + "waive lint.no_loop_guard\n").said() ==
        "test.lua:4:1: warning: there is no warning lint.no_loop_guard that this waiver silences "
        "[lint.unused_waiver]\n"
        "  4 | waive lint.no_loop_guard\n"
        "    | ^\n"
        "  take it out\n");
  CHECK(Script(guarded + "waive lint.no_loop_guard\nwaive lint.unused_waiver\n").said().empty());
  CHECK(Script(guarded + "waive lint.no_loop_gard\nwaive auth.no-postmaster\n").said() ==
        "test.lua:4:1: error: there is no lint \"lint.no_loop_gard\" that a script could waive\n"
        "  4 | waive lint.no_loop_gard\n"
        "    | ^\n"
        "  did you mean \"lint.no_loop_guard\"?\n"
        "test.lua:5:1: error: there is no lint \"auth.no-postmaster\" that a script could waive\n"
        "  5 | waive auth.no-postmaster\n"
        "    | ^\n");
}

TEST_CASE("without root there is nothing to check, and the nearest name is shown") {
  CHECK(Script("pipeline rot\n  -> deliver\n").said() ==
        "error: there is no pipeline \"root\": every mail begins there\n  did you mean \"rot\"?\n");
}

}  // namespace
}  // namespace postern
