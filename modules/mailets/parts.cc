#include "parts.h"

#include <algorithm>

#include "postern/wait.h"

namespace postern::mailets {

bool seen_whole(const MimeStructure& structure) {
  if (structure.too_deep || structure.too_many || structure.broken_boundary) return false;
  // Of a multipart whose fields are known no more is wanted; of a leaf the rest of its header may have its name.
  return std::ranges::none_of(structure.parts,
                              [](const MimePart& part) { return part.header_truncated && !part.is_multipart(); });
}

Task<Result<bool>> look_through(Draft* draft, PartSeeker& seeker) {
  MimeReader reader({}, &seeker);
  if (draft) reader.feed(draft->header());
  int pieces = 0;
  for (std::uint64_t at = 0; draft && !seeker.found() && at < draft->body_size();) {
    auto piece = co_await draft->read_body(at, kPieceSize);
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    reader.feed(*piece);
    at += piece->size();
    if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
  }
  const MimeStructure structure = reader.finish();
  co_return seeker.found() || seen_whole(structure);
}

}  // namespace postern::mailets
