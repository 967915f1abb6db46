// The text of a stored message as it leaves: prefix (trace fields), header with the edits of its split, body.
//
// Pieces are views into the spool's memory: nothing is copied here. When a host can take only 7 bits, convert() reads
// the text once to see its structure and from then on the pieces are those of the converted text (postern/mime_edit.h),
// whose size is not known before its end.
//
// Owner: the delivery of one message. Thread: its worker. Errors: Fault of the spool ("spool.damaged", "spool.gone").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "postern/mime_edit.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/task.h"

namespace postern::relay {

class Content {
 public:
  /// Errors: edits that cannot be decoded.
  static Result<Content> make(MessageReader reader, const PlanStep& step);

  std::uint64_t size() const { return reader_.prefix().size() + header().size() + reader_.body_size(); }
  bool header_is_ascii() const;
  std::string_view client() const { return reader_.client(); }

  /// Makes the next pieces 7-bit ones. Reads the whole text, the first time.
  Task<Result<void>> convert();
  /// Makes them the stored octets again.
  void as_it_is() { converted_ = false; }
  bool converted() const { return converted_; }

  /// Starts over. Pieces come by next(): views that hold until the following call; empty at the end.
  void rewind();
  Task<Result<std::string_view>> next();

  /// For a text that goes out in one piece: what stands before the body. Use it instead of next(), after rewind().
  std::string_view prefix() const { return reader_.prefix(); }
  std::string_view header() const { return header_ ? std::string_view(*header_) : reader_.header(); }
  /// Pieces of the body alone, after rewind().
  SpoolWait<std::string_view> next_body() { return reader_.next(); }

 private:
  explicit Content(MessageReader reader) : reader_(std::move(reader)) {}
  MessageReader reader_;
  std::optional<std::string> header_;
  std::unique_ptr<MimePatcher> downgrade_;  // kept for the next host that needs it
  bool converted_ = false;
  enum class At : std::uint8_t { kPrefix, kHeader, kBody, kEnd } at_ = At::kPrefix;
  std::string piece_;
};

}  // namespace postern::relay
