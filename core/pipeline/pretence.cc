#include "core/pipeline/pretence.h"

#include <algorithm>

#include "core/pipeline/effect_texts.h"
#include "postern/executor.h"
#include "postern/text.h"
#include "postern/wait.h"

namespace postern {
namespace {

/// A statement's words, in lower case, without what stands in quotes and comments; a word before "(" ends in it. What
/// cannot be told apart for sure gives the word "?".
class SqlWords {
 public:
  explicit SqlWords(std::string_view text) : text_(text) {}

  std::vector<std::string> all() {
    std::vector<std::string> out;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (is_word(c)) {
        out.push_back(word());
      } else if (c == '\'' || c == '"' || c == '`') {
        skip_quoted(c);
        // A quoted name may be that of a function, too.
        if (c != '\'' && opens()) out.emplace_back("?");
      } else if (c == ';' || c == '$' || c == '[' || c == '\\' || starts("--") || starts("/*")) {
        // The end of the statement; or what databases read differently (dollar quotes, arrays, comments).
        if (c != ';' || text_.find_first_not_of(" \t\r\n;", at_) != std::string_view::npos) out.emplace_back("?");
        ++at_;
      } else {
        ++at_;
      }
    }
    return out;
  }

 private:
  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
  }
  bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool opens() const {
    const std::size_t next = text_.find_first_not_of(" \t\r\n", at_);
    return next != std::string_view::npos && text_[next] == '(';
  }
  std::string word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    std::string out = to_lower(text_.substr(begin, at_ - begin));
    if (opens()) out += '(';
    return out;
  }
  void skip_quoted(char quote) {
    const std::size_t end = text_.find(quote, at_ + 1);
    at_ = end == std::string_view::npos ? text_.size() : end + 1;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Words that make a statement write or lock, wherever they stand.
constexpr std::string_view kWriting =
    " ? insert update delete merge into create drop alter truncate grant revoke call do copy lock share attach pragma "
    "vacuum exec begin commit set prepare execute notify listen reindex ";
/// Words before a "(" that are SQL's own: keywords, and functions that only compute.
constexpr std::string_view kComputing =
    " select from where and or not in exists values as on using join union all any some case when then else between "
    "having by limit offset like over filter cast count sum min max avg total lower upper length substr substring trim "
    "ltrim rtrim replace coalesce ifnull nullif abs round instr now date time datetime strftime julianday unixepoch "
    "extract concat position split_part group_concat string_agg hex char_length octet_length greatest least floor ceil "
    "to_char date_trunc varchar char numeric decimal ";

bool among(std::string_view words, std::string_view word) {
  return words.find(" " + std::string(word) + " ") != std::string_view::npos;
}

bool may_change(std::string_view word) {
  const bool called = word.ends_with('(');
  if (called) word.remove_suffix(1);
  return among(kWriting, word) || (called && !among(kComputing, word));
}

}  // namespace

Result<std::int64_t> incremented(const std::optional<std::string>& value, std::int64_t by) {
  const auto number = value ? to_number<std::int64_t>(*value) : std::optional<std::int64_t>(0);
  std::int64_t out = 0;
  if (!number || __builtin_add_overflow(*number, by, &out)) return fault("kv.type", "the value is no whole number");
  return out;
}

bool Pretence::only_reads(std::string_view statement) {
  const std::vector<std::string> words = SqlWords(statement).all();
  // Whether a backslash ends a text or not depends on the database.
  if (words.empty() || statement.find('\\') != std::string_view::npos) return false;
  const std::string& first = words.front();
  if (first != "select" && first != "select(" && first != "values" && first != "values(" && first != "show")
    return false;
  return std::ranges::none_of(words, may_change);
}

void Pretence::note(Stage stage, std::string_view effect, std::string question) {
  if (deeds_.size() < kMaxDeeds) deeds_.push_back({stage, std::string(effect), std::move(question)});
}

HttpResponse Pretence::http(Stage stage, const HttpRequest& request) {
  note(stage, "http", http_question(request));
  HttpResponse out;
  out.status = 200;
  out.url = request.url;
  return out;
}

SqlRows Pretence::sql(Stage stage, const std::string& database, std::string_view statement,
                      const std::vector<SqlArgument>& arguments) {
  note(stage, "sql", sql_question(database, statement, arguments));
  SqlRows out;
  out.changed = 1;
  return out;
}

Task<Result<std::optional<std::string>>> Pretence::look(std::string name, KeyValueStore* store, std::string key,
                                                        Deadline deadline) {
  if (const auto found = written_.find({name, key}); found != written_.end()) co_return found->second;
  Executor& executor = co_await this_executor();
  const Instant patience = executor.now() + kConnectPatience;
  while (true) {
    auto reply = co_await store->ask({.key = key}, deadline);
    if (reply) co_return std::move(reply->value);
    if (reply.error().code != "kv.connect" || executor.now() >= patience) co_return std::unexpected(reply.error());
    co_await sleep_for(50ms);
  }
}

Task<Result<KeyValueReply>> Pretence::kv(Stage stage, std::string name, KeyValueStore* store, KeyValueRequest request,
                                         Deadline deadline) {
  using Kind = KeyValueRequest::Kind;
  KeyValueReply reply;
  if (!only_reads(request)) note(stage, kv_effect(request.kind), kv_question(name, request));
  if (request.kind == Kind::kSet) {
    written_.insert_or_assign({name, request.key}, std::move(request.value));
    co_return reply;
  }
  auto before = co_await look(name, store, request.key, deadline);
  if (!before) co_return std::unexpected(before.error());
  if (request.kind == Kind::kGet) {
    reply.value = std::move(*before);
    co_return reply;
  }
  if (request.kind == Kind::kRemove) {
    reply.number = *before ? 1 : 0;
    written_.insert_or_assign({name, request.key}, std::nullopt);
    co_return reply;
  }
  const auto number = incremented(*before, request.by);
  if (!number) co_return std::unexpected(number.error());
  reply.number = *number;
  written_.insert_or_assign({name, request.key}, std::to_string(*number));
  co_return reply;
}

}  // namespace postern
