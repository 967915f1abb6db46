#include "site_window.h"

namespace postern::relay {

void SiteWindow::shrink(double to) {
  limit_ = std::max(1.0, to);
  threshold_ = limit_;
  settle_ = running_;
  used_ = 0;
}

void SiteWindow::succeeded(Duration took) {
  if (settle_ > 0) --settle_;
  if (took > Duration::zero() && slowed(took)) return;
  if (used_ == 0) return;
  --used_;
  limit_ = std::min<double>(max_, limit_ + (limit_ < threshold_ ? 1.0 : 1.0 / limit_));
}

/// Takes a time into account; true when answers take so long that the window must not grow.
bool SiteWindow::slowed(Duration took) {
  best_ = best_ == Duration::zero() ? took : std::min(best_ + best_ / 1000, took);
  usual_ = usual_ == Duration::zero() ? took : usual_ + (took - usual_) / 8;
  if (usual_ <= 2 * best_ + kSlack) return false;
  if (settle_ == 0) shrink(limit_ * 0.9);
  return true;
}

void SiteWindow::failed() {
  if (settle_ > 0)
    --settle_;
  else
    shrink(limit_ / 2);
}

}  // namespace postern::relay
