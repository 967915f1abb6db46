// Marks on their way to the journal: with somebody waiting for them, and without.
#pragma once

#include <utility>

#include "core/spool/journal.h"

namespace postern::spool {

/// Thread: any may make and push it.
class ChangeRequest : public JournalRequest {
 public:
  explicit ChangeRequest(Change change) : JournalRequest(Kind::kChange), text_(std::move(change.text)) {
    if (text_.size() > kNoteLimit) text_.resize(kNoteLimit);
    header.id = change.id.value();
    header.type = type_of(change.mark);
    header.recipient = change.recipient;
    header.count = change.count;
    header.time = to_micros(change.time);
    header.length = header.covered = static_cast<std::uint32_t>(text_.size());
    payload = {std::string_view(text_)};
  }

 private:
  std::string text_;
};

/// Nobody waits for it; it ends itself.
class UnattendedChange final : public ChangeRequest {
 public:
  using ChangeRequest::ChangeRequest;
  void completed() override { delete this; }
};

/// Answers on the home worker when the mark is durable.
class ChangeOp final : public SpoolOp<void> {
 public:
  ChangeOp(Journal& journal, Executor& home, Change change) : journal_(journal), request_(*this, std::move(change)) {
    request_.home = &home;
  }
  void start() override { journal_.push(request_); }
  void run() override { finish(); }

 private:
  struct Request final : ChangeRequest {
    Request(ChangeOp& owner, Change change) : ChangeRequest(std::move(change)), op(owner) {}
    void completed() override {
      op.result = failure ? Result<void>(std::unexpected(*failure)) : Result<void>();
      op.finish();
    }
    ChangeOp& op;
  };
  Journal& journal_;
  Request request_;
};

}  // namespace postern::spool
