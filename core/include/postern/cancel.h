// Cancellation: a CancelState is asked once; every wait below it ends with Cancelled.
//
// Thread: one worker. States form a tree (a nursery inside a session inside a server); cancelling one cancels all
// below.
#pragma once

namespace postern {

/// Something that wants to know of a cancellation; an intrusive list entry.
class CancelNode {
 public:
  CancelNode() = default;
  CancelNode(const CancelNode&) = delete;
  CancelNode& operator=(const CancelNode&) = delete;
  void unlink() {
    if (!prev_) return;
    *prev_ = next_;
    if (next_) next_->prev_ = prev_;
    prev_ = nullptr;
    next_ = nullptr;
  }

 protected:
  virtual void on_cancel() = 0;  ///< already unlinked when called
  ~CancelNode() { unlink(); }

 private:
  friend class CancelState;
  CancelNode* next_ = nullptr;
  CancelNode** prev_ = nullptr;
};

class CancelState final : public CancelNode {
 public:
  explicit CancelState(CancelState* parent = nullptr) {
    if (!parent) return;
    if (parent->cancelled_)
      cancelled_ = true;
    else
      parent->link(*this);
  }
  bool cancelled() const { return cancelled_; }
  void link(CancelNode& node) {
    node.next_ = first_;
    node.prev_ = &first_;
    if (first_) first_->prev_ = &node.next_;
    first_ = &node;
  }
  void cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    while (CancelNode* node = first_) {
      node->unlink();
      node->on_cancel();
    }
  }

 private:
  void on_cancel() override { cancel(); }
  CancelNode* first_ = nullptr;
  bool cancelled_ = false;
};

/// A reference to a CancelState that may be absent; copyable, must not outlive its owner.
class CancelToken {
 public:
  CancelToken() = default;
  explicit CancelToken(CancelState* state) : state_(state) {}
  bool cancelled() const { return state_ && state_->cancelled(); }
  CancelState* state() const { return state_; }

 private:
  CancelState* state_ = nullptr;
};

}  // namespace postern
