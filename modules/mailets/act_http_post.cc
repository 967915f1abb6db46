// http_post: shows a mail to a service, its header or all of it, and goes on when that takes it.
#include <fmt/format.h>

#include "arguments.h"
#include "bring.h"
#include "parts.h"
#include "postern/http.h"
#include "postern/message.h"
#include "postern/text.h"
#include "postern/wait.h"
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::uint64_t kMaxPosted = 10 << 20;  ///< octets: a request is held whole
constexpr std::size_t kMaxNamed = 100;          ///< recipients in the request's header

struct Terms {
  std::string url;
  bool whole = false;
  std::uint64_t limit = kMaxPosted;
  Duration timeout = 10s;
  std::string note;
};

class HttpPost final : public Action {
 public:
  explicit HttpPost(Terms terms) : terms_(std::move(terms)) {}
  std::string name() const override { return "http_post"; }

  Done run(RuleCall call) override {
    HttpRequest request;
    request.method = "POST";
    request.url = terms_.url;
    request.timeout = terms_.timeout;
    request.headers = {{"Content-Type", terms_.whole ? "message/rfc822" : "text/rfc822-headers"},
                       {"X-Postern-Sender", encode_words(call.transaction.envelope.sender.path())},
                       {"X-Postern-Recipients", recipients(call)}};
    if (terms_.whole) {
      auto text = co_await whole(call);
      if (!text) co_return std::unexpected(std::move(text).error());
      if (text->empty()) co_return ActionResult{};
      request.body = std::move(*text);
    } else {
      request.body = header_now(call);
    }
    auto response = co_await call.effects.http(std::move(request));
    if (!response) co_return std::unexpected(std::move(response).error());
    if (!terms_.note.empty()) call.transaction.notes.insert_or_assign(terms_.note, std::int64_t{response->status});
    // Which one says the effect before, in the trail, without what a URL may have of secrets.
    if (response->status < 200 || response->status > 299)
      co_return fault("http_post.status", fmt::format("the service answered {}", response->status));
    co_return ActionResult{};
  }

 private:
  static std::string recipients(const RuleCall& call) {
    std::string out;
    std::size_t named = 0;
    for (std::size_t i = 0; i < call.recipients.size() && named < kMaxNamed; ++i) {
      if (!call.recipients.contains(i)) continue;
      if (named++) out += ", ";
      out += recipient_address(call, i).path();
    }
    return encode_words(out);
  }

  /// Header and body; nothing when they are too long, which the trail says.
  Task<Result<std::string>> whole(RuleCall call) const {
    Draft* draft = call.transaction.draft;
    std::string out = header_now(call);
    const std::uint64_t size = out.size() + (draft ? draft->body_size() : 0);
    if (size > terms_.limit) {
      call.effects.trail().fact(call.stage, "http_post", fmt::format("not shown: {} octets are too many", size));
      co_return std::string();
    }
    int pieces = 0;
    for (std::uint64_t at = 0; draft && at < draft->body_size();) {
      auto piece = co_await draft->read_body(at, kPieceSize);
      if (!piece) co_return std::unexpected(std::move(piece).error());
      if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
      out += *piece;
      at += piece->size();
      if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
    }
    co_return out;
  }

  Terms terms_;
};

std::shared_ptr<Action> http_post(Arguments& arguments) {
  Terms terms;
  terms.url = arguments.text("url");
  if (!starts_with_folded(terms.url, "https://") && !starts_with_folded(terms.url, "http://"))
    arguments.complain("url must begin with https:// or http://");
  const std::string send = arguments.text("send", "headers");
  if (send != "headers" && send != "message") arguments.complain("send must be headers or message");
  terms.whole = send == "message";
  terms.limit = arguments.size("limit").value_or(kMaxPosted);
  if (terms.limit > kMaxPosted) arguments.complain("limit must be at most 10 MiB");
  terms.timeout = arguments.duration("timeout").value_or(10s);
  if (terms.timeout <= Duration::zero()) arguments.complain("timeout must be above 0");
  terms.note = arguments.text("note", "");
  return std::make_shared<HttpPost>(std::move(terms));
}

}  // namespace

void declare_http_actions(RuleRegistry& rules) {
  declare_action(
      rules, "http_post",
      "Posts the mail's header, or all of it, to a service, and goes on. Sender and recipients are in X-Postern-Sender "
      "and X-Postern-Recipients.",
      "act.http_post { url = \"https://hooks.example.net/mail\", send = \"message\" }",
      "http.*: nobody answered; http_post.status: another status than 2xx; spool.*: the body cannot be read back",
      {{"url", "string", "where", true, 0},
       {"send", "string", "headers or message; headers unless given"},
       {"limit", "size", "a message that is larger is not shown; 10 MiB, the most, unless given"},
       {"timeout", "duration", "for all of it, within [pipeline] time_limit; 10s unless given"},
       {"note", "string", "a note of the mail that gets the status"}},
      http_post);
}

}  // namespace postern::mailets
