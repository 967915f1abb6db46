// What trails keep of a mail under way (core/pipeline/policy_queue.cc), in words: the end of a story.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/pipeline/trail_log.h"

namespace postern {

/// Whether the record is about mail in the queue, and no session's.
bool is_of_queue(const TrailRecord& record);

/// "ann@far.example: taken by mx.far.example, which said "250 2.0.0 ok"."
std::string queue_sentence(const TrailRecord& record);

nlohmann::ordered_json queue_event_json(const TrailRecord& record);

}  // namespace postern
