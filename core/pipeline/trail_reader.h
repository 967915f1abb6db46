// Finding trails and telling them: what `postern why` prints.
//
// A search goes through the files from the newest to the oldest and reads each whole; the indexed store will replace
// it. A damaged record ends its file (nothing behind it can be found), which is reported beside what was found.
//
// Thread: not a worker's: reading blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/trail_log.h"
#include "postern/env.h"

namespace postern {

struct TrailQuery {
  std::string text;  ///< message id, session id, mail address (case ignored) or the client's IP address; empty: all
  std::size_t limit = 20;  ///< records, newest first
  bool refused_only = false;
};
struct TrailFindings {
  std::vector<TrailRecord> records;  ///< newest first
  std::vector<std::string> damaged;  ///< files that could not be read to their end
};
TrailFindings find_trails(Env& env, const std::string& dir, const TrailQuery& query);

/// The story of a transaction, for somebody at a support desk: one line for each step, indented below its stage.
std::string render_story(const std::vector<TrailEntry>& entries);
/// The same with the facts of the record above it.
std::string render_story(const TrailRecord& record);

}  // namespace postern
