// What a trail can be found by: the words of a record, as a query names them and as the index keeps them.
//
// A record is found by its message (or draft) and session id, its client's address and network, its sender and each
// recipient, their domains, and the rules that selected somebody, decided or failed. Recipients are also those that
// were refused at RCPT and those that aliases led to, which stand in the trail only.
//
// Thread: any; nothing is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/trail_log.h"

namespace postern {

/// What is looked for: all that is given must hold. Addresses, domains and rules are compared without case.
struct TrailQuery {
  std::string text;  ///< message id, session id, mail address, domain, the client's IP address or network; empty: all
  std::size_t limit = 20;  ///< records, newest first
  bool refused_only = false;
  bool accepted_only = false;
  std::string message, session, sender, recipient, client, domain, rule;
  std::optional<WallTime> since, until;
};

/// Who and what a record speaks of; addresses in lower case.
struct TrailSubjects {
  std::string draft;   ///< of a mail that brought others in: they know it by this name, also where it was refused
  std::string sender;  ///< "" for the null path, and for a session without a mail
  std::vector<std::string> recipients;
  std::vector<std::string> rules;
};
TrailSubjects subjects_of(const TrailRecord& record);

/// A client's network as quotas count it: /24, with IPv6 /64; other texts as they are.
std::string source_of(std::string_view client);

bool fits(const TrailRecord& record, const TrailQuery& query);

/// Terms as numbers: equal words have equal terms; different ones may, so that what an index finds is looked at again.
using TrailTerm = std::int64_t;
std::vector<TrailTerm> terms_of(const TrailRecord& record);
/// Each inner list: one of these must be a term of the record. Empty: the query has no words, only a time.
std::vector<std::vector<TrailTerm>> terms_of(const TrailQuery& query);

}  // namespace postern
