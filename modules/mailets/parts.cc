#include "parts.h"

#include "postern/wait.h"

namespace postern::mailets {

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
  co_return seeker.found() || !(structure.too_deep || structure.too_many);
}

}  // namespace postern::mailets
