// Finding trails: what `postern why` stands on.
//
// Sealed files are asked through the index (trail_index.h), the one that is being written and those that the index does
// not know are read whole, from the newest to the oldest. Without an index everything is read, which is slow and finds
// the same. A damaged record ends its file (nothing behind it can be found), which is reported beside what was found.
//
// Thread: not a worker's: reading blocks. A server may write meanwhile.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/trail_terms.h"
#include "postern/env.h"

namespace postern {

struct TrailFindings {
  std::vector<TrailRecord> records;  ///< newest first
  std::vector<std::string> damaged;  ///< files that could not be read to their end
  std::uint64_t scanned = 0;         ///< files that were read whole
};
TrailFindings find_trails(Env& env, const std::string& dir, const TrailQuery& query);

/// A text of a peer, for a terminal: no control characters, which stand as \x1b.
std::string printable(std::string_view text);
/// Each step on a line of its own with what it took, indented below its stage: everything that was written down.
std::string render_story(const std::vector<TrailEntry>& entries);
/// The same with the facts of the record above it.
std::string render_story(const TrailRecord& record);

/// "2h", "1d" before `now`; "2026-01-02", "2026-01-02T03:04:05Z" or with an offset (RFC 3339). Nothing on other texts.
std::optional<WallTime> parse_when(std::string_view text, WallTime now);

}  // namespace postern
