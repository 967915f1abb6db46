// ARF: a complaint about a message, as mailbox providers send it ("this is spam" was pressed).
//
//   multipart/report; report-type=feedback-report
//     text/plain
//     message/feedback-report       Feedback-Type, Original-Mail-From, Original-Rcpt-To ...
//     message/rfc822 | text/rfc822-headers
//
// Providers leave the addresses out, or write them only into the returned header, where the message may have been for
// several people. All that could be meant are collected; the proof that the header returns (suppress_proof.h) tells
// which of them are. Anybody can write such a report: without a proof it is nobody's word.
//
// Pure; any thread. Errors: "arf.syntax". RFC: 5965, 6591 (auth-failure, which is no complaint), 6650.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/error.h"

namespace postern::queue {

inline constexpr std::size_t kMaxArf = 1 << 20;       ///< octets of a report that is looked at
inline constexpr std::size_t kMaxArfRecipients = 20;  ///< that are taken from one report
inline constexpr std::size_t kMaxArfSenders = 4;
inline constexpr std::size_t kMaxArfProofs = 2;

struct ArfReport {
  std::string feedback_type;  ///< lower case: "abuse", "fraud", "opt-out", "not-spam", "other" ...
  std::string user_agent;
  std::vector<Address> senders;     ///< who may be meant: Original-Mail-From, then Return-Path, Sender, From
  std::vector<Address> recipients;  ///< who may have complained: Original-Rcpt-To, then To and Cc
  std::vector<std::string> proofs;  ///< fields of ours in the returned header
  std::string message_id;           ///< of the returned message

  bool is_complaint() const;  ///< not-spam, auth-failure and dmarc reports are none
};

Result<ArfReport> parse_arf(std::string_view message);

}  // namespace postern::queue
