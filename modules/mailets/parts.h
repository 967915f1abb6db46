// Looking at the parts of a message while rules run: the body is read back from the draft piece by piece, and nothing
// of it is kept but what a seeker keeps.
//
// Each look reads the message from its start until the seeker has what it wants; a mail without a body (no draft, as in
// tests of scripts) has one empty part. A message of more parts, or deeper ones, than MimeLimits has is not seen whole.
//
// A message inside that is encoded (RFC 2046 §5.2.1 forbids it, some programs show it all the same) is decoded and
// looked through as well, by a seeker of its own, kMaxEncoded of them in each other.
//
// Thread: the worker of the transaction. Errors: those of Draft::read_body ("spool.*"), as the rule's fault.
// Cost:   linear in the message; other work of the loop runs between each kPiecesPerTurn pieces.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "postern/mime.h"
#include "postern/pipeline.h"

namespace postern::mailets {

/// What is looked for. `found_` ends the look.
class PartSeeker : public MimeSink {
 public:
  virtual ~PartSeeker() = default;
  bool found() const { return found_; }
  /// It has been found elsewhere.
  void find() { found_ = true; }
  /// One that looks for the same in an encoded message inside; nothing: that is not looked into.
  virtual std::unique_ptr<PartSeeker> another() const { return nullptr; }
  void on_part(const MimePart&) override {}
  void on_body(const MimePart&, std::string_view) override {}
  void on_part_end(const MimePart&) override {}

 protected:
  bool found_ = false;
};

inline constexpr std::size_t kPieceSize = 64 * 1024;  ///< octets of a body read at once
inline constexpr int kMaxEncoded = 4;     ///< encoded messages in each other; a deeper one counts as not seen
inline constexpr int kPiecesPerTurn = 4;  ///< of a body in memory, before others on the loop have their turn

/// False: a limit of the reader, or a header or boundary that it cannot read, kept a part from being seen. Other
/// programs may see what is there.
bool seen_whole(const MimeStructure& structure);
/// Shows a message to `seeker`, until it has found something. False: it was not seen whole, and nothing was found.
Task<Result<bool>> look_through(Draft* draft, PartSeeker& seeker);

}  // namespace postern::mailets
