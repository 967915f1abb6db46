// A trail as a story: what `postern why` prints, for somebody at a support desk to read and to forward.
//
// Whole sentences in the order of events: who connected and what he said, what was asked of the world and what it
// answered, which rule decided and where it stands, what the sender was told, what that means for each recipient, and
// what the queue made of it. Rules that did not apply, clocks and dice are left out: the list of all steps is
// render_story() in core/pipeline/trail_reader.h.
//
// Recipients are numbered in a trail as the mail had them at that moment; the story follows aliases, and names them.
//
// Thread: any; nothing is kept. What peers wrote is printed without control characters.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/pipeline/trail_reader.h"  // printable()

namespace postern {

struct StoryLine {
  std::optional<WallTime> at;  ///< when this part began; nothing: it goes on with what stands above
  std::string text;            ///< a sentence, or several
};

/// What became of one recipient when the mail was taken in.
struct StoryFate {
  std::string recipient;
  std::string words;  ///< "was to be put into the folder INBOX of bob"
  std::string rule;   ///< that decided; empty when no rule did
  std::string place;  ///< file:line of it
};

struct Story {
  std::string title;  ///< one line: what came of it, and when
  std::vector<StoryLine> lines;
  std::vector<StoryFate> fates;
};

Story tell(const TrailRecord& record);

/// What the queue knows now, asked of the running server.
struct QueueNews {
  enum class State : std::uint8_t { kNotAsked, kNoServer, kGone, kWaiting };
  State state = State::kNotAsked;
  std::vector<nlohmann::ordered_json> recipients{};  ///< rows of queue.show
  std::vector<TrailRecord> events{};                 ///< what trails have of it, oldest first
};
std::vector<std::string> tell_queue(const QueueNews& news);

std::string render(const TrailRecord& record, const Story& story, const QueueNews& news);
nlohmann::ordered_json story_json(const TrailRecord& record, const Story& story, const QueueNews& news);

/// "2026-01-02 10:00:03"
std::string story_time(WallTime when);

}  // namespace postern
