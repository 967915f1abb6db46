// `postern explain`: what would become of a mail, without delivering it.
//
// Hooks, gate and rules run here, with the directory of the configuration, its resolver, databases, kv stores and web
// servers (explain_world.h). What would change something there is not done: it is answered as if it had been, and told.
// Where relayed mail goes, the running server is asked.
#include <fmt/format.h>

#include <chrono>

#include "core/cli/command.h"
#include "core/cli/explain_world.h"
#include "core/control/client.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"
#include "core/offline/mail_run.h"
#include "postern/file.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxMessage = 256U << 20;  // octets of --message

struct ExplainOptions {
  std::string from, ip, ehlo = "client.example", auth, listener, message, role = "mx";
  std::vector<std::string> to;
  bool tls = false;
};

Result<SpecMail> described(const ExplainOptions& options) {
  SpecMail mail;
  const auto ip = IpAddress::parse(options.ip);
  if (!ip) return fault("explain.ip", fmt::format("\"{}\" is no address", options.ip));
  mail.client.ip = *ip;
  mail.client.ehlo = options.ehlo;
  mail.client.esmtp = true;
  mail.client.auth_user = options.auth;
  if (!options.auth.empty()) mail.client.auth_mechanism = "PLAIN";
  if (options.tls) mail.client.tls_version = "TLSv1.3", mail.client.tls_cipher = "TLS_AES_256_GCM_SHA384";
  mail.client.listener = options.listener;
  for (const SessionRole role :
       {SessionRole::kMx, SessionRole::kSubmission, SessionRole::kSubmissions, SessionRole::kLmtp, SessionRole::kLocal})
    if (to_string(role) == options.role) mail.client.role = role;
  mail.sender = options.from;
  mail.recipients = options.to;
  mail.text = "Subject: explain\n\nexplain\n";
  if (options.message.empty()) return mail;
  auto text = read_regular_file(options.message, kMaxMessage);
  if (!text) return fault(text.error().code, fmt::format("{}: {}", options.message, text.error().detail));
  mail.text = std::move(*text);
  return mail;
}

/// What the running server says of one outcome's way, or why it says nothing.
ordered_json way_of(CommandContext& context, const Config& config, const SpecOutcome& outcome,
                    const std::string& sender) {
  const std::string socket =
      context.socket.empty() ? control_socket(config.get<ServerSettings>()).string() : context.socket;
  std::map<std::string, std::string> arguments{{"recipient", outcome.recipient}, {"sender", sender}};
  for (const char* option : {"gateway", "tls"})
    if (const auto found = outcome.options.find(option); found != outcome.options.end())
      arguments[option] = found->second;
  ordered_json out{{"rows", ordered_json::array()}};
  const auto take = [&](const std::string& row) { out["rows"].push_back(ordered_json::parse(row, nullptr, false)); };
  if (auto asked = ask_server(socket, "relay.explain", arguments, take); !asked) {
    out["error"] = asked.error().code == "control.unreachable" ? "no server runs: route, hosts and TLS are not known"
                                                               : asked.error().detail;
    return out;
  }
  ordered_json waiting = ordered_json::array();
  const std::string domain = outcome.recipient.substr(outcome.recipient.rfind('@') + 1);
  static_cast<void>(
      ask_server(socket, "queue.list", {{"destination", domain}, {"limit", "3"}},
                 [&](const std::string& row) { waiting.push_back(ordered_json::parse(row, nullptr, false)); }));
  out["waiting"] = waiting;
  out["retry"] = config.text("queue.retry");
  return out;
}

std::string outcome_text(const SpecOutcome& one) {
  if (one.action == "deliver") return fmt::format("delivered to {} in {}", one.account, one.folder);
  if (one.action == "reject" || one.action == "defer") return fmt::format("{}: nothing happens to it here", one.action);
  std::string out = one.action;
  for (const auto& [name, value] : one.options) out += fmt::format(" {}={}", name, value);
  if (!one.reason.empty()) out += " (" + one.reason + ")";
  return out;
}

std::string field(const ordered_json& row, const char* name) {
  if (!row.contains(name)) return {};
  return row[name].is_string() ? row[name].get<std::string>() : json_text(row[name]);
}

void print_way(const ordered_json& way) {
  if (way.contains("error")) return fmt::print("    {}\n", field(way, "error"));
  for (const ordered_json& row : way["rows"]) {
    if (field(row, "row") == "way")
      fmt::print(
          "    way: {} by {}{}{}, tls {}; {} of {} connections in use, {} wait{}{}\n", field(row, "destination"),
          field(row, "by"), field(row, "route").empty() ? "" : ", route ", field(row, "route"),
          field(row, "tls").empty() ? "as [delivery] says" : field(row, "tls"), field(row, "connections"),
          field(row, "connections_limit"), field(row, "waiting"),
          row.contains("closed_for_seconds") ? fmt::format("; closed for {} s", field(row, "closed_for_seconds")) : "",
          row.contains("why") ? ": " + field(row, "why") : "");
    else
      fmt::print("    host {} ({}): {}, tls {} {}\n", field(row, "host"), field(row, "preference"),
                 field(row, "endpoints"), field(row, "tls"), field(row, "tls_why"));
    for (const char* problem : {"refusal", "dead_end"})
      if (row.contains(problem)) fmt::print("      {}{}{}\n", red(), field(row, problem), plain());
  }
  for (const ordered_json& row : way["waiting"])
    fmt::print("    waits already: {} next attempt {} {}\n", field(row, "id"), field(row, "next"), field(row, "why"));
  if (const std::string retry = field(way, "retry"); !retry.empty())
    fmt::print("    after a failure it is tried again: {}\n", retry);
}

ordered_json outcome_json(const SpecOutcome& one) {
  return {{"recipient", one.recipient},     {"stage", to_string(one.stage)}, {"code", one.reply.code},
          {"enhanced", one.reply.enhanced}, {"text", one.reply.text},        {"rule", one.rule},
          {"action", one.action},           {"account", one.account},        {"folder", one.folder},
          {"options", one.options},         {"reason", one.reason},          {"header", one.header}};
}

constexpr std::string_view kMemoryEmpty =
    "the store \"memory\" is in the running server and was empty here: what it holds might change the outcome";

void print_json(CommandContext& context, const Config& config, const SpecResult& result, const ExplainWorld& world) {
  ordered_json steps = ordered_json::array();
  for (const TrailEntry& entry : result.trail)
    steps.push_back({{"stage", to_string(entry.stage)},
                     {"name", entry.name},
                     {"place", entry.place},
                     {"question", entry.question},
                     {"answer", entry.answer}});
  ordered_json recipients = ordered_json::array();
  for (const SpecOutcome& one : result.outcomes) {
    recipients.push_back(outcome_json(one));
    if (one.action == "relay") recipients.back()["way"] = way_of(context, config, one, result.sender);
  }
  ordered_json deeds = ordered_json::array(), missing = ordered_json::array();
  for (const Pretence::Deed& one : world.deeds())
    deeds.push_back({{"stage", to_string(one.stage)}, {"effect", one.effect}, {"question", one.question}});
  for (const Fault& one : world.missing()) missing.push_back(one.detail);
  if (ExplainWorld::asked_memory(result)) missing.push_back(kMemoryEmpty);
  fmt::print("{}\n", json_text(ordered_json{{"sender", result.sender},
                                            {"recipients", recipients},
                                            {"brought_in", result.brought.size()},
                                            {"would_do", deeds},
                                            {"missing", missing},
                                            {"steps", steps}}));
}

void print_result(CommandContext& context, const Config& config, const SpecResult& result, const ExplainWorld& world) {
  fmt::print("{}\n", result.story);
  for (const SpecOutcome& one : result.outcomes) {
    fmt::print("{}{}{}\n  {}{} {} {}{} at {}{}\n  {}\n", bold(), one.recipient, plain(),
               one.reply.positive() ? green() : red(), one.reply.code, one.reply.enhanced, one.reply.text, plain(),
               to_string(one.stage), one.rule.empty() ? "" : ", by " + one.rule, outcome_text(one));
    if (one.action == "relay") print_way(way_of(context, config, one, result.sender));
  }
  if (!result.brought.empty()) fmt::print("{} more mails would be brought in by rules\n", result.brought.size());
  if (!world.deeds().empty()) fmt::print("not done here, but by a server:\n");
  for (const Pretence::Deed& one : world.deeds())
    fmt::print("  would be done at {}: {} {}\n", to_string(one.stage), one.effect, one.question);
  for (const Fault& one : world.missing()) fmt::print("not asked: {}\n", one.detail);
  if (ExplainWorld::asked_memory(result)) fmt::print("{}\n", kMemoryEmpty);
}

void explain(CommandContext& context, const ExplainOptions& options) {
  auto mail = described(options);
  if (!mail) return context.fail(mail.error(), kExitUsage);
  auto assembly = context.assemble_and_read();
  if (!assembly) return;
  const Assembly& parts = *assembly;  // the server's from here on
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  Diagnostics diagnostics;
  const bool good = (*server)->check(diagnostics);
  context.report(diagnostics);
  if (!good) return;
  ExplainWorld world(parts, **server);
  Diagnostics repeated;  // told by the check before, but for what went wrong since
  const auto result = world.run(std::move(*mail), repeated);
  if (repeated.has_errors()) context.report(repeated);
  if (!result) return context.fail(result.error());
  if (context.json)
    print_json(context, (*server)->config(), *result, world);
  else
    print_result(context, (*server)->config(), *result, world);
}

}  // namespace

void add_explain(CLI::App& app, CommandContext& context) {
  auto* command = add_command(
      app, "explain",
      "Tell what would become of a mail: gate, hooks, rules, route; nothing is delivered, and nothing is changed",
      "postern explain --from ann@example.net --to bob@example.org --ip 192.0.2.1");
  auto options = std::make_shared<ExplainOptions>();
  command->add_option("--from", options->from, "The sender; empty for a bounce");
  command->add_option("--to", options->to, "A recipient; may be given again")->required();
  command->add_option("--ip", options->ip, "The client's address")->required();
  command->add_option("--ehlo", options->ehlo, "What the client calls itself")->capture_default_str();
  command->add_option("--auth", options->auth, "The account that it has logged in to");
  command->add_option("--role", options->role, "Of the listener that it comes to")
      ->check(CLI::IsMember({"mx", "submission", "submissions", "lmtp", "local"}))
      ->capture_default_str();
  command->add_option("--listener", options->listener, "That listener's name");
  command->add_flag("--tls", options->tls, "The session is encrypted");
  command->add_option("--message", options->message, "A file with the message; else a short one");
  command->callback([&context, options] { explain(context, *options); });
}

}  // namespace postern
