#include "content.h"

#include "postern/message.h"
#include "postern/mime.h"
#include "postern/text.h"

namespace postern::relay {

Result<Content> Content::make(MessageReader reader, const PlanStep& step) {
  Content content(std::move(reader));
  if (!step.header_edits.empty()) {
    auto edits = HeaderEdits::decode(step.header_edits);
    if (!edits) return std::unexpected(edits.error());
    content.header_ = edits->apply(HeaderBlock(content.reader_.header())).join();
  }
  content.rewind();
  return content;
}

bool Content::header_is_ascii() const {
  return is_ascii(prefix()) && is_ascii(header());
}

void Content::rewind() {
  reader_.rewind_to_body();
  at_ = At::kPrefix;
  if (downgrade_) downgrade_->restart();
}

Task<Result<std::string_view>> Content::next() {
  while (at_ != At::kEnd) {
    std::string_view raw;
    bool last = false;
    if (at_ == At::kPrefix) {
      raw = prefix();
      at_ = At::kHeader;
    } else if (at_ == At::kHeader) {
      raw = header();
      at_ = At::kBody;
    } else {
      auto piece = co_await reader_.next();
      if (!piece) co_return std::unexpected(piece.error());
      raw = *piece;
      last = raw.empty();
    }
    if (last) at_ = At::kEnd;
    if (!converted_) {
      if (raw.empty() && !last) continue;
      co_return raw;
    }
    piece_.clear();
    if (last)
      downgrade_->finish(piece_);
    else
      downgrade_->feed(raw, piece_);
    if (!piece_.empty() || last) co_return std::string_view(piece_);
  }
  co_return std::string_view();
}

Task<Result<void>> Content::convert() {
  if (!downgrade_) {
    rewind();
    MimeReader mime;
    while (true) {
      auto piece = co_await next();
      if (!piece) co_return std::unexpected(piece.error());
      if (piece->empty()) break;
      mime.feed(*piece);
    }
    downgrade_ = std::make_unique<MimePatcher>(patches_to_7bit(mime.finish()));
  }
  converted_ = true;
  rewind();
  co_return Result<void>();
}

}  // namespace postern::relay
