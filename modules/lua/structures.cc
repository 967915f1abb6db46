#include "structures.h"

#include <algorithm>

#include "postern/wait.h"

namespace postern::lua {
namespace {

std::size_t memory_of(const MimeStructure& mime) {
  std::size_t out = sizeof(MessageStructure);
  for (const MimePart& part : mime.parts) {
    out += sizeof part + part.header.size();
    out += (part.parameters.size() + part.disposition_parameters.size()) * sizeof(Parameter);
  }
  return out;
}

}  // namespace

std::shared_ptr<const MessageStructure> StructureCache::find(MessageId id) const {
  const auto found = std::ranges::find(kept_, id, [](const auto& one) { return one->id; });
  return found == kept_.end() ? nullptr : *found;
}

void StructureCache::keep(std::shared_ptr<const MessageStructure> structure) {
  if (find(structure->id)) return;  // two functions of postern.all asked at the same time
  kept_.push_back(std::move(structure));
  std::size_t memory = 0;
  for (const auto& one : kept_) memory += one->memory;
  while (kept_.size() > 1 && (kept_.size() > kMaxKept || memory > kMaxMemory)) {
    memory -= kept_.front()->memory;
    kept_.erase(kept_.begin());
  }
}

Task<Result<std::shared_ptr<const MessageStructure>>> read_structure(Draft* draft) {
  auto out = std::make_shared<MessageStructure>();
  out->id = draft->id();
  MimeReader reader;
  reader.feed(draft->header());
  int pieces = 0;
  for (std::uint64_t at = 0; at < draft->body_size();) {
    auto piece = co_await draft->read_body(at, kBodyPiece);
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    reader.feed(*piece);
    at += piece->size();
    if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
  }
  out->mime = reader.finish();
  out->memory = memory_of(out->mime);
  co_return out;
}

Task<Result<PartContent>> read_part(Draft* draft, std::uint64_t begin, std::uint64_t end, TransferEncoding encoding,
                                    std::size_t limit) {
  PartContent out;
  BodyDecoder decoder(encoding);
  const std::uint64_t header = draft->header().size();  // a part's body is never in there, but may be empty at its end
  std::uint64_t at = std::max(begin, header) - header;
  const std::uint64_t stop = std::max(end, header) - header;
  int pieces = 0;
  while (at < stop && out.text.size() <= limit) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(stop - at, kBodyPiece));
    auto piece = co_await draft->read_body(at, wanted);
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return fault("spool.damaged", "the body ends before its end");
    decoder.feed(*piece, out.text);
    at += piece->size();
    out.read += piece->size();
    if (++pieces % kPiecesPerTurn == 0) co_await yield_now();
  }
  if (at >= stop) decoder.finish(out.text);
  out.more = out.text.size() > limit;
  if (out.more) out.text.resize(limit);
  co_return out;
}

}  // namespace postern::lua
