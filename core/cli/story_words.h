// The plain words of a story for what stands in a trail in the words of the field. story.cc puts them in order.
//
// Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/trail.h"

namespace postern::story {

/// "It is a mailbox of ours.": what the gate found out about a recipient, and what follows.
std::string gate_sentence(const TrailEntry& entry);
/// Whether the gate lets this recipient in.
bool gate_accepts(const TrailEntry& entry);
/// "We asked the DNS for the addresses of x: 192.0.2.1 (12 ms)."; empty for what nobody wants to read.
std::string effect_sentence(const TrailEntry& entry);
/// A fact about the session or the mail; empty for what the story tells otherwise.
std::string fact_sentence(const TrailEntry& entry);
/// "refused it: 550 5.7.1 no"; of a verdict without its recipients.
std::string verdict_words(std::string_view verdict);
/// The same as what it means for a recipient: "was refused: 550 5.7.1 no".
std::string verdict_meaning(std::string_view verdict);
/// What a step of the plan means for a recipient; nothing when it is none.
std::optional<std::string> plan_meaning(std::string_view plan);

/// "relay [0-2]" into "relay" and {0, 1, 2}.
std::string_view split_numbers(std::string_view text, std::vector<std::size_t>& numbers);
std::vector<std::size_t> parse_numbers(std::string_view set);
/// "a", "a and b", "a, b and c"
std::string list_of(const std::vector<std::string>& names);

}  // namespace postern::story
