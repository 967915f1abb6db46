// The MIME structure of a message, found once and shared by all rules in Lua that ask for it.
//
// It is read from the body piece by piece, with turns for others between; a draft's id names its text for good, since a
// mailet that changes the text makes another draft. Kept are the newest few, so that messages under way at the same
// time do not read theirs again with each rule; what is kept is never a state that scripts could tell.
//
// Owner: ScriptState. Thread: that of the state. Errors: those of Draft::read_body.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "postern/mime.h"
#include "postern/spool.h"
#include "postern/task.h"

namespace postern::lua {

inline constexpr std::size_t kBodyPiece = 64 * 1024;  ///< octets of a body that are read at once
inline constexpr int kPiecesPerTurn = 2;              ///< before others on the loop have their turn

struct MessageStructure {
  MessageId id{};
  MimeStructure mime;
  std::size_t memory = 0;  ///< octets that it holds, about
};

class StructureCache {
 public:
  static constexpr std::size_t kMaxKept = 16;
  static constexpr std::size_t kMaxMemory = std::size_t{4} << 20;

  std::shared_ptr<const MessageStructure> find(MessageId id) const;
  void keep(std::shared_ptr<const MessageStructure> structure);

 private:
  std::vector<std::shared_ptr<const MessageStructure>> kept_;  ///< the oldest first
};

/// Reads the structure of `draft`, which outlives the task.
Task<Result<std::shared_ptr<const MessageStructure>>> read_structure(Draft* draft);

/// What was read of one part.
struct PartContent {
  std::string text;        ///< its transfer encoding undone, or as it came
  std::uint64_t read = 0;  ///< octets of the message that it took
  bool more = false;       ///< the part has more than was asked for
};
/// The content of one part, up to `limit` octets of it.
Task<Result<PartContent>> read_part(Draft* draft, std::uint64_t begin, std::uint64_t end, TransferEncoding encoding,
                                    std::size_t limit);

}  // namespace postern::lua
