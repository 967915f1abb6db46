#include "parts.h"

#include <algorithm>

#include "postern/message.h"
#include "postern/wait.h"

namespace postern::mailets {

namespace {

/// Shows parts to a seeker, and what is in an encoded message to another one, while its octets stream by.
class Opener final : public MimeSink {
 public:
  Opener(PartSeeker& seeker, int depth) : seeker_(seeker), depth_(depth) {}
  bool seen_whole() const { return whole_; }

  void on_part(const MimePart& part) override {
    seeker_.on_part(part);
    const bool encoded =
        part.encoding == TransferEncoding::kBase64 || part.encoding == TransferEncoding::kQuotedPrintable;
    if (seeker_.found() || !part.is_message() || !encoded) return;
    auto seeker = seeker_.another();
    if (!seeker) return;
    if (depth_ >= kMaxEncoded)
      whole_ = false;
    else
      inner_ = std::make_unique<Inner>(std::move(seeker), part.encoding, depth_ + 1);
  }
  void on_body(const MimePart& part, std::string_view piece) override {
    seeker_.on_body(part, piece);
    if (!inner_) return;
    octets_.clear();
    inner_->decoder.feed(piece, octets_);
    pass_on();
  }
  void on_part_end(const MimePart& part) override {
    seeker_.on_part_end(part);
    if (!inner_) return;
    octets_.clear();
    inner_->decoder.finish(octets_);
    pass_on();
    whole_ = postern::mailets::seen_whole(inner_->reader.finish()) && inner_->opener->seen_whole() && whole_;
    if (inner_->seeker->found()) seeker_.find();
    inner_.reset();
  }

 private:
  struct Inner {
    Inner(std::unique_ptr<PartSeeker> the_seeker, TransferEncoding encoding, int depth)
        : seeker(std::move(the_seeker)),
          decoder(encoding),
          opener(std::make_unique<Opener>(*seeker, depth)),
          reader({}, opener.get()) {}
    std::unique_ptr<PartSeeker> seeker;
    BodyDecoder decoder;
    std::unique_ptr<Opener> opener;
    MimeReader reader;
  };
  void pass_on() {
    inner_->reader.feed(octets_);
    if (inner_->seeker->found()) seeker_.find();
  }
  PartSeeker& seeker_;
  int depth_;
  bool whole_ = true;
  std::unique_ptr<Inner> inner_;
  std::string octets_;
};

/// Whether a field may have more parameters than are kept of it: one of those behind may be the name.
bool has_many_parameters(const MimePart& part) {
  const auto many = [](std::string_view text) {
    return std::ranges::count(text, ';') >= std::ptrdiff_t{kMaxParameters};
  };
  if (!many(part.header)) return false;
  return std::ranges::any_of(HeaderBlock(part.header), [&](const HeaderField& field) {
    return (field.is("Content-Type") || field.is("Content-Disposition")) && many(field.raw);
  });
}

/// Of a multipart whose fields are known no more is wanted, if there is but one word for where its parts begin; of a
/// leaf the rest of its header may have its name.
bool is_clear(const MimePart& part) {
  if (has_many_parameters(part)) return false;
  if (part.is_multipart()) return std::ranges::count(part.parameters, "boundary", &Parameter::name) <= 1;
  return !part.header_truncated;
}

}  // namespace

bool seen_whole(const MimeStructure& structure) {
  if (structure.too_deep || structure.too_many || structure.broken_boundary) return false;
  return std::ranges::all_of(structure.parts, is_clear);
}

Task<Result<bool>> look_through(Draft* draft, PartSeeker& seeker) {
  Opener opener(seeker, 0);
  MimeReader reader({}, &opener);
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
  co_return seeker.found() || (seen_whole(structure) && opener.seen_whole());
}

}  // namespace postern::mailets
