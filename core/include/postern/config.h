// Configuration as a typed schema (architecture.md, decision 11).
//
// A module declares a plain struct with its defaults, and a describe() that names each member. That one declaration
// gives parsing with range checks, the manual, the annotated sample, a JSON schema, and `show config` with the origin
// of values.
//
//   struct Pop3Settings : Located {                    // Located is optional: it remembers where each value was
//   written
//     Duration idle_timeout = 10min;
//     std::vector<std::string> hosts;
//     bool apop = false;
//   };
//   inline void describe(Schema<Pop3Settings>& s) {    // found by argument-dependent lookup: same namespace as the
//   struct
//     s.table("pop3", "POP3 server (RFC 1939).");
//     s.field("idle_timeout", &Pop3Settings::idle_timeout, "How long a silent client is kept.")
//         .range(10min, 24h).applies(Apply::kNewSessions).example("10m");
//     s.field("hosts", &Pop3Settings::hosts, "Names under which the server is reached.").items(0, 16).length(1, 255);
//     s.check([](const Pop3Settings& settings, Diagnostics& d) {    // what no single field can say
//       if (settings.apop && settings.hosts.empty()) d.error(settings.origin("apop"), "apop needs hosts");
//     });
//   }
//   schemas.add<Pop3Settings>();  ...  const Pop3Settings& mine = config->get<Pop3Settings>();
//
// Members: bool, any integer, double, std::string, Size, Duration, Endpoint, IpAddress, IpNetwork,
// std::filesystem::path (relative to the main file's folder), enums (with names()); std::optional and std::vector of
// these; std::map<std::string, of these>. Tables: a struct with its own describe() (tables inside tables) as a member,
// std::optional, std::vector ([[name]]) or std::map<std::string, struct> ([name.key]).
//
// Owner:  main owns ConfigSchemas; each load makes a new immutable Config, shared by those who run with it.
// Thread: loading is single-threaded; a Config may be read from any thread.
// Errors: everything wrong with the files goes to Diagnostics. A wrong declaration throws Error at start.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <typeinfo>
#include <vector>

#include "postern/diagnostics.h"
#include "postern/schema.h"

namespace postern {

/// The schemas of all modules, in the order in which manuals print them.
class ConfigSchemas {
 public:
  ConfigSchemas();
  /// Errors: throws Error when two modules declare the same key, or a field is declared wrongly.
  template <class T>
  void add() {
    auto schema = std::make_shared<Schema<T>>();
    describe(*schema);
    add(std::move(schema), typeid(T));
  }
  struct Entry {
    std::shared_ptr<const SchemaBase> schema;
    std::type_index type;
  };
  const std::vector<Entry>& entries() const { return entries_; }

  std::string render_sample() const;       ///< postern.toml, every setting commented out at its default
  std::string render_manual() const;       ///< Markdown
  std::string render_json_schema() const;  ///< JSON Schema draft 7, for editors

 private:
  void add(std::shared_ptr<const SchemaBase> schema, std::type_index type);
  std::vector<Entry> entries_;
};

/// A setting that differs between two configurations.
struct ConfigChange {
  std::string path;  ///< "pop3.idle_timeout", "listener[0].address"
  std::string before, after;
  Apply apply = Apply::kRestart;
};

/// One loaded configuration: every module's settings, immutable.
class Config {
 public:
  static constexpr std::size_t kMaxFileBytes = 4 << 20;
  static constexpr std::size_t kMaxFiles = 256;  ///< the main file and what it includes

  /// Reads the file and those it includes. Nothing when anything is wrong; warnings alone do not stop it.
  static std::shared_ptr<const Config> load(const ConfigSchemas& schemas, const std::filesystem::path& file,
                                            Diagnostics& diagnostics);
  /// The same from a text; `include` works relative to `folder`, and is an error without one.
  static std::shared_ptr<const Config> parse(const ConfigSchemas& schemas, std::string name, std::string text,
                                             Diagnostics& diagnostics, const std::filesystem::path& folder = {});

  template <class T>
  const T& get() const {
    return *static_cast<const T*>(find(typeid(T)));
  }  ///< throws Error when T was never added

  /// Every setting as it is in force, secrets hidden, as TOML; with a comment of its origin when asked for.
  std::string render(bool with_origins) const;
  /// One value as TOML, by its path ("auth.users_file"), for those who know a setting by name only; empty when there is
  /// no such setting, or it is secret.
  std::string text(std::string_view path) const;
  /// What a reload to `next` would change.
  std::vector<ConfigChange> compare(const Config& next) const;

 private:
  friend class ConfigReader;
  struct Part {
    std::shared_ptr<const SchemaBase> schema;
    std::type_index type;
    std::shared_ptr<void> settings;
    std::map<std::string, Origin, std::less<>> origins;  // by full path of each key that a file sets
  };
  const void* find(std::type_index type) const;
  std::vector<Part> parts_;
};

}  // namespace postern
