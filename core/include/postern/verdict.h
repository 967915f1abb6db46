// Replies and verdicts: what a session says, and what a hook or a pipeline decided.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "postern/time.h"

namespace postern {

/// An SMTP reply as a value (RFC 5321 §4.2, RFC 3463). `text` may hold several lines, separated by LF.
struct Reply {
  int code = 250;
  std::string enhanced;  ///< "5.7.1"; empty: none (greeting, 354, EHLO)
  std::string text;

  bool positive() const { return code < 400; }
  bool temporary() const { return code >= 400 && code < 500; }
  bool permanent() const { return code >= 500; }
  /// As the wire wants it: "550 5.7.1 text\r\n", each line of several with its code; control characters become spaces.
  std::string wire() const;
  bool operator==(const Reply&) const = default;
};

/// What a hook or an action decided. Nothing decided (kContinue) lets the next rule go on.
struct Verdict {
  enum class Kind : std::uint8_t {
    kContinue,
    kAccept,      ///< ends this hook's rules well
    kReject,      ///< 5xx
    kDefer,       ///< 4xx
    kDisconnect,  ///< the reply (421 or 5xx), then the end
    kDiscard,     ///< 250, then to nobody; traced with its reason
    kQuarantine,  ///< kept for an operator
    kHold,        ///< kept, then goes on by itself
  };
  Kind kind = Kind::kContinue;
  Reply reply;         ///< of reject, defer, disconnect
  std::string reason;  ///< of discard, quarantine, and for the log
  Duration hold{};
  std::string rule;  ///< name of the rule that decided

  bool decided() const { return kind != Kind::kContinue; }
  bool refuses() const { return kind == Kind::kReject || kind == Kind::kDefer || kind == Kind::kDisconnect; }

  static Verdict reject(int code, std::string enhanced, std::string text) {
    Verdict v;
    v.kind = Kind::kReject;
    v.reply = {code, std::move(enhanced), std::move(text)};
    return v;
  }
  static Verdict defer(int code, std::string enhanced, std::string text) {
    Verdict v = reject(code, std::move(enhanced), std::move(text));
    v.kind = Kind::kDefer;
    return v;
  }
};

}  // namespace postern
