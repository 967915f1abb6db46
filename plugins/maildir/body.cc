#include "body.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "mailbox.h"
#include "postern/sync.h"

namespace postern::maildir {

Result<std::unique_ptr<FileBody>> FileBody::open(const std::string& dir, std::string& file) {
  auto body = std::make_unique<FileBody>();
  for (int tries = 0; tries < 3; ++tries) {
    const std::string path = dir + '/' + file;
    body->file_ = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (body->file_) {
      body->raw_.resize(kFirst);
      body->read_waiting();
      body->fresh_ = true;
      return body;
    }
    if (errno != ENOENT) return std::unexpected(disk_fault(errno, path));
    auto now = find_again(dir, file);
    if (!now) break;
    file = std::move(*now);
  }
  return fault("store.gone", file);
}

void FileBody::read_waiting() noexcept {
  do {
    got_ = ::pread(file_.get(), raw_.data(), raw_.size(), static_cast<off_t>(offset_));
  } while (got_ < 0 && errno == EINTR);
  if (got_ < 0) got_ = -errno;
}

bool FileBody::read_now() {
  struct iovec into = {raw_.data(), raw_.size()};
  got_ = ::preadv2(file_.get(), &into, 1, static_cast<off_t>(offset_), RWF_NOWAIT);
  return got_ >= 0;  // what cannot be said at once (not cached, not supported, an error) is asked again on the pool
}

Task<Result<std::string_view>> FileBody::next() {
  if (at_end_) co_return std::string_view();
  if (!fresh_) {
    raw_.resize(kPiece);
    if (!read_now()) co_await run_blocking(Pool::kDisk, [this] { read_waiting(); });
  }
  fresh_ = false;
  if (got_ < 0) co_return std::unexpected(disk_fault(static_cast<int>(-got_), "reading a message"));
  at_end_ = got_ == 0;
  offset_ += static_cast<std::uint64_t>(got_);
  wire_.clear();
  ends_.feed(std::string_view(raw_).substr(0, static_cast<std::size_t>(got_)), wire_);
  co_return std::string_view(wire_);
}

}  // namespace postern::maildir
