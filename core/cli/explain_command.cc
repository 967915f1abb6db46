// `postern explain`: what would become of a mail, without delivering it.
//
// Hooks, gate and rules run here, with the directory of the configuration and its resolver. What they ask of databases,
// stores and web servers is not asked, since the answer might change something there: it shows in the story as not
// available. Where relayed mail goes, the running server is asked.
#include <fmt/format.h>

#include <chrono>

#include "core/cli/command.h"
#include "core/control/client.h"
#include "core/control/json_text.h"
#include "core/loader/server.h"
#include "core/offline/mail_run.h"
#include "postern/file.h"
#include "postern/nursery.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxMessage = 256U << 20;  // octets of --message
constexpr Duration kNameTimeout = 5s;

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

/// The world that rules meet: real where asking changes nothing.
struct World {
  std::unique_ptr<Runtime> runtime = make_uv_runtime({.workers = 1, .pin_workers = false});
  Metrics metrics{1};
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<Spool> spool = make_memory_spool();
  std::unique_ptr<PreparedRules> rules;
  PipelinePolicy policy{{.workers = 1, .metrics = metrics}};
};

Task<void> run_in(World* world, SpecMail mail, Result<SpecResult>* out) {
  ClientInfo& client = mail.client;
  const ReverseName name = co_await world->resolver->reverse_name(client.ip, Deadline::after(kNameTimeout));
  client.reverse_name = name.name;
  client.reverse_verified = name.confirmed();
  auto described_mail = offline_mail(mail);
  if (described_mail) {
    described_mail->reverse = SessionState::Reverse{.status = name.status};
    *out = co_await run_offline({world->policy, *world->spool}, &*described_mail);
  } else {
    *out = std::unexpected(described_mail.error());
  }
  world->resolver.reset();  // on its thread, before its executor
  world->runtime->stop();
}

Result<SpecResult> run_explained(CommandContext& context, Server& server, SpecMail mail) {
  World world;
  const Config& config = server.config();
  const Services& services = server.services();
  Executor& executor = world.runtime->worker(0);
  auto resolver = make_resolver(executor, resolver_settings(config.get<DnsConfig>()));
  if (!resolver) return std::unexpected(resolver.error());
  world.resolver = std::move(*resolver);
  Diagnostics diagnostics;  // told by the check before
  const auto* return_paths = services.find<ReturnPaths>();
  world.rules = prepare_rules(config.get<PipelineSettings>(), make_gate(config.get<RelaySettings>(), return_paths),
                              server.rules(), services.find<ScriptEngine>(), world.metrics, 1, diagnostics);
  context.report(diagnostics);
  if (!world.rules) return fault("explain.scripts", "the scripts cannot be loaded");
  world.policy.attach(services.need<Directory>(), nullptr, return_paths);
  world.policy.attach_spool(*world.spool, host_name(config.get<ServerSettings>()));
  world.policy.start(executor, *world.resolver, Log());
  world.policy.install(executor, *world.rules);
  Result<SpecResult> out = fault("explain.stopped", "it did not come to an end");
  {
    Nursery nursery(executor);
    nursery.spawn(run_in(&world, std::move(mail), &out));
    world.runtime->run();
  }
  return out;
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

/// Questions that were shown and not carried out.
std::size_t not_asked(const SpecResult& result) {
  return static_cast<std::size_t>(std::ranges::count_if(result.trail, [](const TrailEntry& entry) {
    return entry.kind == TrailEntry::Kind::kEffect &&
           (entry.name == "http" || entry.name == "sql" || entry.name.starts_with("kv."));
  }));
}

void print_json(CommandContext& context, const Config& config, const SpecResult& result) {
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
  fmt::print("{}\n", json_text(ordered_json{{"sender", result.sender},
                                            {"recipients", recipients},
                                            {"brought_in", result.brought.size()},
                                            {"not_asked", not_asked(result)},
                                            {"steps", steps}}));
}

void print_result(CommandContext& context, const Config& config, const SpecResult& result) {
  fmt::print("{}\n", result.story);
  for (const SpecOutcome& one : result.outcomes) {
    fmt::print("{}{}{}\n  {}{} {} {}{} at {}{}\n  {}\n", bold(), one.recipient, plain(),
               one.reply.positive() ? green() : red(), one.reply.code, one.reply.enhanced, one.reply.text, plain(),
               to_string(one.stage), one.rule.empty() ? "" : ", by " + one.rule, outcome_text(one));
    if (one.action == "relay") print_way(way_of(context, config, one, result.sender));
  }
  if (!result.brought.empty()) fmt::print("{} more mails would be brought in by rules\n", result.brought.size());
  if (const std::size_t count = not_asked(result))
    fmt::print(
        "{} questions to databases, stores or web servers were not carried out: their answers might change the "
        "outcome\n",
        count);
}

void explain(CommandContext& context, const ExplainOptions& options) {
  auto mail = described(options);
  if (!mail) return context.fail(mail.error(), kExitUsage);
  auto assembly = context.assemble_and_read();
  if (!assembly) return;
  auto server = Server::make(std::move(assembly), context.config, true);
  if (!server) return context.fail(server.error());
  Diagnostics diagnostics;
  const bool good = (*server)->check(diagnostics);
  context.report(diagnostics);
  if (!good) return;
  const auto result = run_explained(context, **server, std::move(*mail));
  if (!result) return context.fail(result.error());
  if (context.json)
    print_json(context, (*server)->config(), *result);
  else
    print_result(context, (*server)->config(), *result);
}

}  // namespace

void add_explain(CLI::App& app, CommandContext& context) {
  auto* command =
      add_command(app, "explain", "Tell what would become of a mail: gate, hooks, rules, route; nothing is delivered",
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
