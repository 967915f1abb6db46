// The plugin "postgresql": provides a Database for each [[postgresql]], under its name.
#include <algorithm>

#include "database.h"
#include "postern/file.h"
#include "postern/fingerprint.h"
#include "postern/module.h"
#include "postern/text.h"
#include "settings.h"

namespace postern::postgresql {
namespace {

constexpr std::size_t kMaxPasswordFile = 4096;

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

/// What a connection string says, by keyword.
Result<std::map<std::string, std::string>> parse_connection(const std::string& text) {
  std::map<std::string, std::string> out;
  if (text.empty()) return out;
  char* why = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(PQconninfoParse(text.c_str(), &why));
  if (!options) {
    const std::string said(trim(why ? why : "it cannot be read"));
    PQfreemem(why);
    return fault("sql.connection", said);
  }
  for (const PQconninfoOption* one = options.get(); one->keyword; ++one)
    if (one->val) out[one->keyword] = one->val;
  if (out["host"].find(',') != std::string::npos) return fault("sql.connection", "one host, please");
  if (out.contains("service"))  // libpq would look its host up by itself, which blocks
    return fault("sql.connection", "no service, please: say host, port and so on here");
  if (out["host"].empty()) out.erase("host");
  return out;
}

void put(std::map<std::string, std::string>& out, const char* name, const std::string& value) {
  if (!value.empty()) out[name] = value;
}

DatabaseOptions options_of(const ServerSettings& settings) {
  std::map<std::string, std::string> all =
      parse_connection(settings.connection).value_or(std::map<std::string, std::string>{});
  put(all, "host", settings.host);
  if (settings.is_set("port") || !all.contains("port")) all["port"] = std::to_string(settings.port);
  put(all, "user", settings.user);
  put(all, "dbname", settings.database);
  if (settings.is_set("tls") || !all.contains("sslmode")) all["sslmode"] = settings.tls;
  put(all, "sslrootcert", settings.ca_file.string());
  all["client_encoding"] = "UTF8";
  all.try_emplace("application_name", "postern");
  all.try_emplace("gssencmode", "disable");  // with a Kerberos ticket libpq would wait for its servers
  const auto limit = std::chrono::ceil<std::chrono::milliseconds>(settings.timeout).count();
  std::string& options = all["options"];
  if (!options.empty()) options += ' ';
  options += "-c statement_timeout=" + std::to_string(limit);
  if (settings.read_only) options += " -c default_transaction_read_only=on";
  return {.connection = {.parameters = std::move(all), .connect_timeout = settings.timeout},
          .timeout = settings.timeout,
          .connections = settings.connections,
          .waiting = settings.waiting};
}

class PostgresqlModule final : public Module {
 public:
  void describe(ConfigSchemas& schemas) override { schemas.add<PostgresqlSettings>(); }

  void provide(Core& core) override {
    resolvers_ = core.services.find<Resolvers>();
    for (const ServerSettings& one : core.config->get<PostgresqlSettings>().servers) {
      const bool known = core.services.find<Database>(one.name) != nullptr;
      if (known) twice_.push_back(one.name);
      databases_.push_back(std::make_unique<PostgresqlDatabase>(core.runtime.workers(), options_of(one)));
      if (!known) core.services.provide<Database>(*databases_.back(), one.name);
    }
  }

  void check(Core& core, Diagnostics& diagnostics) override {
    for (const ServerSettings& one : core.config->get<PostgresqlSettings>().servers) {
      if (std::ranges::find(twice_, one.name) != twice_.end())
        diagnostics.error(one.origin("name"), "there are two databases with this name");
      if (auto parsed = parse_connection(one.connection); !parsed)
        diagnostics.error(one.origin("connection"), parsed.error().detail);
    }
  }

  Result<void> prepare(Core& core, Log&) override {
    const auto& servers = core.config->get<PostgresqlSettings>().servers;
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (servers[i].password_file.empty()) continue;
      auto text = read_regular_file(servers[i].password_file, kMaxPasswordFile);
      if (!text) return fault(text.error().code, servers[i].password_file.string() + ": " + text.error().detail);
      databases_[i]->set_password(std::string(trim(*text)));
    }
    return {};
  }

  void start(Worker& worker) override {
    for (const auto& database : databases_)
      database->start(worker.executor, resolvers_ ? &resolvers_->of(worker.executor) : nullptr);
  }
  void stop() override {
    for (const auto& database : databases_) database->stop();
  }

 private:
  Resolvers* resolvers_ = nullptr;
  std::vector<std::unique_ptr<PostgresqlDatabase>> databases_;
  std::vector<std::string> twice_;
};

const ModuleInfo kInfo{
    .fingerprint = POSTERN_FINGERPRINT,
    .name = "postgresql",
    .purpose = "PostgreSQL databases that scripts may ask",
    .provides = {"database"},
    .needs = {},
    .uses = {"dns"},
    .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<PostgresqlModule>(); },
};

}  // namespace
}  // namespace postern::postgresql

POSTERN_MODULE(postern::postgresql::kInfo)
