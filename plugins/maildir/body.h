// One message read from its file, in pieces of at most kPiece octets, with CRLF line ends.
//
// The first piece comes with the opening, in one pool job, so a small message costs one. Further ones are read where
// the coroutine is when the page cache has them (preadv2 with RWF_NOWAIT), else on the disk pool.
//
// Owner:  who reads. Thread: its worker. Errors: store.io, store.gone.
#pragma once

#include <memory>
#include <string>

#include "files.h"
#include "line_ends.h"
#include "postern/mailstore.h"

namespace postern::maildir {

class FileBody final : public MessageBody {
 public:
  static constexpr std::size_t kPiece = 64U << 10;
  static constexpr std::size_t kFirst = 16U << 10;  ///< most messages whole

  /// Blocks: pool threads only. `file` is below `dir`, and is set anew when it was renamed.
  static Result<std::unique_ptr<FileBody>> open(const std::string& dir, std::string& file);

  Task<Result<std::string_view>> next() override;

 private:
  bool read_now();
  void read_waiting() noexcept;

  Descriptor file_;
  std::string raw_;
  std::string wire_;
  std::uint64_t offset_ = 0;
  std::ptrdiff_t got_ = 0;  ///< octets in raw_, or -errno
  bool fresh_ = false;      ///< raw_ has not been given out yet
  bool at_end_ = false;
  ToWire ends_;
};

}  // namespace postern::maildir
