#include "core/offline/recorded_mail.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/pipeline/described.h"
#include "postern/text.h"

namespace postern {
namespace {

Address address_of(std::string_view path) {
  if (path.starts_with('<') && path.ends_with('>')) path = path.substr(1, path.size() - 2);
  Address::Options options;
  options.allow_postmaster = true;
  options.max_local_part = kMaxPath;
  auto parsed = path.empty() ? Parsed<Address>(Address()) : Address::parse(path, options);
  return parsed ? std::move(*parsed) : Address();
}

SessionRole role_of(std::string_view text) {
  for (const SessionRole role :
       {SessionRole::kSubmission, SessionRole::kSubmissions, SessionRole::kLmtp, SessionRole::kLocal})
    if (to_string(role) == text) return role;
  return SessionRole::kMx;
}

ReverseName::Status reverse_of(std::string_view text) {
  for (const auto status :
       {ReverseName::Status::kConfirmed, ReverseName::Status::kUnconfirmed, ReverseName::Status::kNone})
    if (to_string(status) == text) return status;
  return ReverseName::Status::kTryLater;
}

/// Goes through the entries in order and gathers what they say.
class Reader {
 public:
  explicit Reader(RecordedMail& out) : out_(out), mail_(out.mail) {}

  void read(const TrailEntry& entry) {
    out_.reached_message = out_.reached_message || entry.stage == Stage::kMessage;
    if (entry.kind == TrailEntry::Kind::kStart) return start(entry);
    if (entry.kind == TrailEntry::Kind::kGate && entry.stage == Stage::kRcpt) return recipient(entry.question);
    if (entry.kind == TrailEntry::Kind::kEffect && entry.name == "dns.reverse") return reverse(entry.answer);
    if (entry.kind != TrailEntry::Kind::kFact) return;
    if (entry.stage == Stage::kConnect) connect(entry.name, entry.answer);
    if (entry.stage == Stage::kEhlo) hello(entry.name, entry.answer);
    if (entry.stage == Stage::kStarttls) step(Stage::kStarttls);
    if (entry.stage == Stage::kAuth) login(entry.name, entry.answer);
    if (entry.stage == Stage::kMail) envelope(entry.name, entry.answer);
    if (entry.stage == Stage::kRcpt && entry.name == "parameters") parameters_ = entry.answer;
  }

  /// TLS that stands from the first octet on was noted with the first greeting only.
  void finish() {
    auto& steps = mail_.steps;
    const auto first = std::ranges::find(steps, Stage::kEhlo, &OfflineMail::Step::stage);
    if (first == steps.end() || steps.front().client.role != SessionRole::kSubmissions) return;
    for (auto at = steps.begin(); at != first; ++at) {
      at->client.tls_version = first->client.tls_version;
      at->client.tls_cipher = first->client.tls_cipher;
      at->client.tls_sni = first->client.tls_sni;
      at->client.tls_peer = first->client.tls_peer;
    }
  }

 private:
  void start(const TrailEntry& entry) {
    mail_.session = entry.name;
    out_.when = WallTime(WallTime::duration(to_number<std::int64_t>(entry.answer).value_or(0)));
    std::from_chars(entry.place.data(), entry.place.data() + entry.place.size(), out_.rules, 16);
  }
  void step(Stage stage) { mail_.steps.push_back({stage, now_}); }
  /// What is said of a connection after it was made holds for all of it.
  template <class Change>
  void amend(const Change& change) {
    change(now_);
    for (std::size_t at = connected_; at < mail_.steps.size(); ++at) change(mail_.steps[at].client);
  }

  void connect(std::string_view name, const std::string& value) {
    if (name == "client") {
      now_ = ClientInfo();
      now_.ip = IpAddress::parse(value).value_or(IpAddress());
      connected_ = mail_.steps.size();
      mail_.proxy.reset();
      mail_.reverse.reset();
      return step(Stage::kConnect);
    }
    if (name == "proxy") mail_.proxy = IpAddress::parse(value);
    if (name == "role") amend([&](ClientInfo& client) { client.role = role_of(value); });
    if (name == "listener") amend([&](ClientInfo& client) { client.listener = value; });
    if (name == "user") amend([&](ClientInfo& client) { client.auth_user = value; });
    if (name == "ports") ports(value);
    if (name == "name" || name == "claimed name")
      amend([&](ClientInfo& client) {
        client.reverse_name = value;
        client.reverse_verified = name == "name";
      });
  }
  void ports(std::string_view text) {
    const auto words = split_words(text);
    if (words.size() != 3) return;
    amend([&](ClientInfo& client) {
      client.port = to_number<std::uint16_t>(words[0]).value_or(0);
      client.local_port = to_number<std::uint16_t>(words[1]).value_or(0);
      client.local_ip = IpAddress::parse(words[2]).value_or(IpAddress());
    });
  }
  void reverse(std::string_view answer) {
    const std::string_view word = take_until(answer, ' ');
    mail_.reverse = SessionState::Reverse{.status = reverse_of(word)};
    amend([&](ClientInfo& client) {
      client.reverse_name = answer;
      client.reverse_verified = mail_.reverse->status == ReverseName::Status::kConfirmed;
    });
  }
  void hello(std::string_view name, const std::string& value) {
    if (name == "tls") now_.tls_version = value;
    if (name == "cipher") now_.tls_cipher = value;
    if (name == "sni") now_.tls_sni = value;
    if (name == "certificate") now_.tls_peer = value;
    if (name != "ehlo" && name != "helo") return;
    now_.ehlo = value;
    now_.esmtp = name == "ehlo";
    step(Stage::kEhlo);
  }
  void login(std::string_view name, const std::string& value) {
    if (name == "user") {
      now_.auth_user = value;
      return step(Stage::kAuth);
    }
    if (name != "mechanism") return;
    now_.auth_mechanism = value;
    if (!mail_.steps.empty()) mail_.steps.back().client.auth_mechanism = value;
  }
  void envelope(std::string_view name, const std::string& value) {
    if (name == "sender") {
      mail_.mails = true;
      mail_.envelope.sender = address_of(value);
    }
    if (name == "parameters") read_mail_parameters(value, mail_.envelope, mail_.answers_each);
    if (name != "note") return;
    if (auto note = read_note(value)) mail_.notes.push_back(std::move(*note));
  }
  void recipient(std::string_view asked) {
    Recipient recipient{address_of(asked), "", kNotifyUnset};
    read_recipient_parameters(std::exchange(parameters_, {}), recipient);
    mail_.recipients.push_back(std::move(recipient));
  }

  RecordedMail& out_;
  OfflineMail& mail_;
  ClientInfo now_;
  std::size_t connected_ = 0;
  std::string parameters_;
};

}  // namespace

Result<RecordedMail> recorded_mail(const TrailRecord& record, std::optional<std::string> text) {
  RecordedMail out;
  auto entries = Trail::decode(record.trail);
  if (!entries) return fault("replay.damaged", entries.error().detail);
  out.entries = std::move(*entries);
  out.mail.mails = false;
  out.name = record.message;
  Reader reader(out);
  for (const TrailEntry& entry : out.entries) {
    if (entry.kind == TrailEntry::Kind::kOmitted) return fault("replay.cut", "the trail was full");
    if (entry.kind == TrailEntry::Kind::kFact && entry.name == "brought-by")
      return fault("replay.brought", "it came with another mail");
    if (entry.kind == TrailEntry::Kind::kFact && entry.name == "beside" && entry.answer.ends_with("the main mail"))
      return fault("replay.brought", "it is another body of another mail");
    if (entry.kind == TrailEntry::Kind::kFact && entry.name == "draft" && out.name.empty()) out.name = entry.answer;
    reader.read(entry);
  }
  reader.finish();
  if (out.mail.steps.empty()) return fault("replay.other", "it tells of no client");
  out.mail.text = std::move(text);
  return out;
}

}  // namespace postern
