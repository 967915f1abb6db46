// A file of the drop folder: an envelope in lines of text, then the message.
//
//   postern-drop 1
//   sender ann@example.org            (alone: the null sender)
//   rcpt bob@far.example NOTIFY=FAILURE,DELAY ORCPT=rfc822;bob@far.example
//   ret HDRS                          ret, envid, body, smtputf8: as in SMTP, each at most once, may be missing
//   envid xtext
//   body 8BITMIME
//   smtputf8
//                                     (empty line)
//   From: ...
//
// Names: "tmp.*" is being written; "new.*" is whole; "claim.ID.*" is on its way into the spool as ID; "bad.*" could not
// be read and waits for an administrator. Any local user may write here, so nothing in a file is trusted: its owner (of
// the file, as the system tells) is the submitter, and line ends are mended on the way in.
//
// Pure but for DropFile; any thread. Errors: drop.syntax, drop.io (the disk or a shortage, try again), drop.refused (no
// regular file, several names, not ours to read).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "postern/envelope.h"
#include "postern/error.h"

namespace postern::queue {

inline constexpr std::size_t kMaxDropHeader = 1 << 20;  ///< octets of the envelope lines
inline constexpr std::size_t kMaxDropRecipients = 10'000;
inline constexpr std::size_t kDropChunk = 64 * 1024;

/// The envelope, and where the message begins. `domain` completes names without one ("root").
struct DropEnvelope {
  Envelope envelope;
  std::size_t length = 0;
};
Result<DropEnvelope> parse_drop(std::string_view text, std::string_view domain);

/// Makes all line ends CR LF, in pieces, and the last line whole: a lone CR or LF becomes a line end as well, so that
/// no later server sees lines where we saw none.
class LineMender {
 public:
  void feed(std::string_view piece, std::string& out);
  void finish(std::string& out);
  bool nul() const { return nul_; }

 private:
  bool cr_ = false;
  bool empty_ = true;
  bool in_line_ = false;
  bool nul_ = false;
};

/// A file of the folder, opened. Blocks: for the disk pool.
class DropFile {
 public:
  static Result<DropFile> open(const std::string& path);
  DropFile(DropFile&& other) noexcept;
  DropFile& operator=(DropFile&&) = delete;
  ~DropFile();

  std::uint32_t owner() const { return owner_; }
  const std::string& owner_name() const { return owner_name_; }  ///< "ann", or the number
  std::uint64_t size() const { return size_; }
  /// Up to `limit` octets from `offset`; empty at the end.
  Result<std::string> read(std::uint64_t offset, std::size_t limit) const;

 private:
  explicit DropFile(int fd) : fd_(fd) {}
  int fd_;
  std::uint32_t owner_ = 0;
  std::string owner_name_;
  std::uint64_t size_ = 0;
};

}  // namespace postern::queue
