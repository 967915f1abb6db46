#include "core/pipeline/settings.h"

#include "postern/address.h"

namespace postern {

void describe(Schema<PipelineSettings>& s) {
  s.table("pipeline", "What happens to mail: scripts with hooks and pipelines.");
  s.applies(Apply::kLive);
  s.field("scripts", &PipelineSettings::scripts,
          "Lua files, run in this order. None: mail for local accounts goes to INBOX, mail that the gate lets out is "
          "relayed.")
      .items(0, 64)
      .example("scripts/default.lua");
  s.field("time_limit", &PipelineSettings::time_limit,
          "How long all rules and hooks of one stage may take together, with their waits for DNS and the like.")
      .range(1s, 10min)
      .example("30s");
  s.field("postmaster", &PipelineSettings::postmaster,
          "Address that gets the mail for postmaster when no account or alias has that name (RFC 5321 section 4.5.1). "
          "Empty: it is kept in quarantine.")
      .length(0, kMaxPath)
      .check([](const std::string& text) -> std::optional<std::string> {
        if (text.empty() || Address::parse(text)) return std::nullopt;
        return "is not a mail address";
      })
      .example("admin@example.org");
  s.field("kv", &PipelineSettings::kv,
          "The store in which rules keep values when they name none: [memory] is \"memory\", a [[redis]] has its name.")
      .length(1, 64)
      .example("memory");
  s.field("specs", &PipelineSettings::specs,
          "A reload runs the specs (*_spec.lua) that lie beside the scripts, and is refused when one fails. The start "
          "runs them too, and only warns: a broken spec never keeps a server down.");
  s.field("specs_time_limit", &PipelineSettings::specs_time_limit,
          "How long all of them may take together; what is over it counts as failed.")
      .range(1s, 1h);
}

void describe(Schema<NamedNetworkSettings>& s) {
  s.table("network", "A network that is more than the rest of the world.");
  s.field("network", &NamedNetworkSettings::network, "Address or network.").required().example("192.0.2.0/24");
  s.field("reason", &NamedNetworkSettings::reason, "Why it is listed; shown by postern check and postern relaycheck.")
      .required()
      .length(1, 200)
      .example("the office");
}

void describe(Schema<RelaySettings>& s) {
  s.table("relay",
          "The relay gate: who may send mail to domains that are not ours. Nobody may by default but "
          "those who have logged in; private networks are no exception.");
  s.applies(Apply::kLive);
  s.field("authenticated", &RelaySettings::authenticated, "Clients that have logged in may relay.");
  s.field(
      "forward_aliases", &RelaySettings::forward_aliases,
      "Aliases of ours may lead to addresses elsewhere, whoever sends to them. Only targets that the directory fixes: "
      "where the sender chooses the name at the other domain, relaying must be allowed to the sender.");
  s.table_field("network", &RelaySettings::networks, "Networks whose clients may relay without logging in.", 0, 1000);
  s.table_field(
      "proxy", &RelaySettings::proxies,
      "Hosts whose PROXY and XCLIENT words about a client are believed. A client behind them has its own address; "
      "what they send without such words counts as a stranger's.",
      0, 100);
}

void describe(Schema<TrailSettings>& s) {
  s.table("trail",
          "Trails: what every rule said about every mail, for postern why. Those of accepted mail are also kept "
          "with the mail itself.");
  s.field("accepted", &TrailSettings::accepted,
          "Keep the trails of accepted mail here, too, after it has left the spool.");
  s.field(
      "silent", &TrailSettings::silent,
      "Keep a trail of sessions that left before MAIL and were refused nothing, as port scans and monitors do. Those "
      "that were refused anything leave one in any case: postern why tells of both by the client's address.");
  s.field("keep_bytes", &TrailSettings::keep_bytes, "The oldest trails go when all take more room than this.")
      .range(1_MiB, Size{1ULL << 40});
  s.field("keep_for", &TrailSettings::keep_for, "Trails older than this go.").range(1h, 24h * 3650);
  s.field("segment", &TrailSettings::segment, "Size at which a new file is begun.").range(64_KiB, 1_GiB);
  s.field("rate", &TrailSettings::rate,
          "Octets of trails written in a second, over all workers; what is more is counted, not kept.")
      .range(4_KiB, 1_GiB);
  s.field("source_rate", &TrailSettings::source_rate,
          "Octets of trails written in a second for one source, which is a client's /24 or, with IPv6, /64: never more "
          "than half of a worker's part of rate. What is more is counted and told in a line of its own.")
      .range(1_KiB, 1_GiB);
  s.field("source_day", &TrailSettings::source_day,
          "Octets of trails written in a day for one source, so that a flood cannot push out what is known of others.")
      .range(64_KiB, Size{1ULL << 40});
  s.field("sources", &TrailSettings::sources, "Sources that are counted apart, on each worker; the busiest stay.")
      .range(64, 1'000'000);
  s.field("trusted_sources", &TrailSettings::trusted_sources,
          "Networks to which source_rate and source_day do not apply: our own hosts, and those that send us most.")
      .items(0, 1000)
      .example("192.0.2.0/24");
}

void describe(Schema<ArchiveSettings>& s) {
  s.table("archive",
          "Messages kept as they came, refused ones too, so that postern replay can run changed scripts over them. "
          "Nothing is kept by default.");
  s.field("keep", &ArchiveSettings::keep, "Which: none, a sample, or all.")
      .names({{"none", ArchiveKeep::kNone}, {"sample", ArchiveKeep::kSample}, {"all", ArchiveKeep::kAll}});
  s.field("sample", &ArchiveSettings::sample,
          "The part of all messages that keep = \"sample\" keeps: 0.01 is one in 100.")
      .range(0.0, 1.0);
  s.field("keep_for", &ArchiveSettings::keep_for, "Messages older than this go.").range(1h, 24h * 3650);
  s.field("keep_bytes", &ArchiveSettings::keep_bytes, "The oldest go when all take more room than this.")
      .range(1_MiB, Size{1ULL << 44});
  s.field("largest", &ArchiveSettings::largest, "Larger messages are not kept.").range(1_KiB, 8_MiB);
  s.field("except", &ArchiveSettings::except,
          "Addresses, and domains as @example.org, whose mail is never kept, sent or received.")
      .items(0, 1000)
      .length(2, 320)
      .check([](const std::string& text) -> std::optional<std::string> {
        if (text.find('@') != std::string::npos) return std::nullopt;
        return "is neither an address nor a domain with an @ before it";
      })
      .example("@example.org");
}

void describe_pipeline(ConfigSchemas& schemas) {
  schemas.add<PipelineSettings>();
  schemas.add<RelaySettings>();
  schemas.add<TrailSettings>();
  schemas.add<ArchiveSettings>();
}

GateConfig make_gate(const RelaySettings& settings, const ReturnPaths* return_paths) {
  GateConfig gate;
  if (return_paths) gate.return_paths = return_paths->terms();
  gate.authenticated = settings.authenticated;
  gate.forward_aliases = settings.forward_aliases;
  for (const NamedNetworkSettings& one : settings.networks)
    gate.networks.push_back({one.network, one.reason, one.origin("network")});
  for (const NamedNetworkSettings& one : settings.proxies)
    gate.proxies.push_back({one.network, one.reason, one.origin("network")});
  return gate;
}

}  // namespace postern
