// The trail of one transaction: every rule that ran, every question that was asked of the world with its answer, every
// verdict and edit, in order (architecture.md decision 8). core/pipeline/TRAIL.md is the contract of its bytes.
//
// Appending costs a few dozen nanoseconds and no allocation while the buffer lasts; secrets are redacted by type before
// they get here (append functions take Secret where one may occur). Bounded: past kLimit octets only a count is kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/error.h"
#include "postern/time.h"

namespace postern {

enum class Stage : std::uint8_t {
  kConnect,
  kEhlo,
  kStarttls,
  kAuth,
  kMail,
  kRcpt,
  kData,
  kMessage,
  kQueued,
  kRoute,
  kAttempt,
  kDelivered,
  kDeferred,
  kBounced,
  kDisconnect,
  kLogin,
  kAppend,
  kExpunge,
  kFlags,
};
std::string_view to_string(Stage stage);

/// One entry, decoded.
struct TrailEntry {
  enum class Kind : std::uint8_t {
    kStart = 1,
    kFact,
    kGate,
    kRule,
    kEffect,
    kEdit,
    kVerdict,
    kReply,
    kError,
    kOmitted
  };
  Kind kind{};
  Stage stage{};
  std::uint32_t micros = 0;  ///< how long a rule or an effect took
  std::string name;          ///< rule ("root#2"), effect ("dns.a"), fact ("ehlo")
  std::string place;         ///< file:line of a rule
  std::string question;      ///< of an effect; recipients in of a rule ("0-3,7")
  std::string answer;        ///< of an effect; recipients out of a rule; verdict's words; fact's value
};

class Trail {
 public:
  static constexpr std::size_t kLimit = 64 * 1024;
  static constexpr std::size_t kMaxText = 4096;  ///< of one text of an entry; the rest is cut
  static constexpr std::uint8_t kVersion = 1;

  void start(WallTime when, std::string_view session, std::uint64_t config_hash);
  void fact(Stage stage, std::string_view name, std::string_view value);
  void gate(Stage stage, std::string_view recipient, std::string_view cell, std::string_view answer);
  void rule(Stage stage, std::string_view name, std::string_view place, std::string_view in, std::string_view out,
            std::uint32_t micros);
  void effect(Stage stage, std::string_view name, std::string_view question, std::string_view answer,
              std::uint32_t micros);
  void edit(Stage stage, std::string_view rule, std::string_view what);
  void verdict(Stage stage, std::string_view rule, std::string_view words);
  void reply(Stage stage, int code, std::string_view text);
  void error(Stage stage, std::string_view rule, std::string_view what);

  const std::string& bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  void clear() {
    bytes_.clear();
    omitted_ = 0;
    omitted_at_ = 0;
  }

  /// Decodes for `postern why`; bounded, for bytes that may be damaged.
  static Result<std::vector<TrailEntry>> decode(std::string_view bytes);

 private:
  void append(TrailEntry::Kind kind, Stage stage, std::uint32_t micros, std::string_view a, std::string_view b,
              std::string_view c, std::string_view d);
  void omit();
  std::string bytes_;
  std::uint32_t omitted_ = 0;
  std::uint32_t omitted_at_ = 0;  ///< where in bytes_ the count of omitted entries stands
};

}  // namespace postern
