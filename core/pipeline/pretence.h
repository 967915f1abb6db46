// A world that rules may look at and not change: what would change it is noted and answered as if it had been done.
//
// For:    `postern explain`. Questions go to the databases, stores and web servers of the configuration; these do not:
//           http   any method but GET and HEAD: answered 200 without a body
//           sql    whatever is not sure to read only (only_reads()): no rows, one changed
//           kv     set, incr and remove, which are kept here, so that the rules behind find what those before wrote
// Owner:  whoever explains; PolicyWorker points to it (PipelinePolicy::pretend). Thread: that of the worker.
// Errors: those of the store that is looked at; "kv.type" for an increment of what is no whole number.
// Limits: kMaxDeeds are remembered; all are answered.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/database.h"
#include "postern/http.h"
#include "postern/key_value.h"
#include "postern/trail.h"

namespace postern {

/// The number that an increment makes of a value; without one it counts from 0. Errors: "kv.type".
Result<std::int64_t> incremented(const std::optional<std::string>& value, std::int64_t by);

class Pretence {
 public:
  static constexpr std::size_t kMaxDeeds = 1000;
  /// A store that was just opened has no connection yet; so long its first question is asked again.
  static constexpr Duration kConnectPatience = 2s;

  /// Something that would have been done.
  struct Deed {
    Stage stage;
    std::string effect, question;  ///< as trails have them
  };

  static bool only_reads(const HttpRequest& request) { return request.method == "GET" || request.method == "HEAD"; }
  /// Whether a statement certainly changes nothing: one SELECT, VALUES or SHOW, in which no word can write and each
  /// function is one of SQL's own. A view or an operator that writes is not seen.
  static bool only_reads(std::string_view statement);
  static bool only_reads(const KeyValueRequest& request) { return request.kind == KeyValueRequest::Kind::kGet; }

  HttpResponse http(Stage stage, const HttpRequest& request);
  SqlRows sql(Stage stage, const std::string& database, std::string_view statement,
              const std::vector<SqlArgument>& arguments);
  /// All that is asked of a kv store, reading too. `store` is the true one, of this name.
  Task<Result<KeyValueReply>> kv(Stage stage, std::string name, KeyValueStore* store, KeyValueRequest request,
                                 Deadline deadline);

  const std::vector<Deed>& deeds() const { return deeds_; }

 private:
  Task<Result<std::optional<std::string>>> look(std::string name, KeyValueStore* store, std::string key,
                                                Deadline deadline);
  void note(Stage stage, std::string_view effect, std::string question);

  std::vector<Deed> deeds_;
  std::map<std::pair<std::string, std::string>, std::optional<std::string>> written_;  ///< by store and key
};

}  // namespace postern
