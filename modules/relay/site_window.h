// How many connections a site gets at one time: more while it answers well, fewer when it fails or slows down.
//
// Grows by one with each success while it is new (doubling with each round), later by one a round; only while the
// window is really used. Halves after a failure, and shrinks by a tenth when answers take over twice what they took at
// best; never twice for what was under way together. Starts at `first`, stays within 1 and `max`.
//
// Owner: a Site. Thread: its worker. Pure: takes no clock.
#pragma once

#include <algorithm>
#include <cstdint>

#include "postern/time.h"

namespace postern::relay {

class SiteWindow {
 public:
  static constexpr Duration kSlack = 200ms;  ///< of waiting that says nothing about a site

  SiteWindow(std::uint32_t first, std::uint32_t max)
      : max_(std::max(max, 1U)), limit_(std::clamp<double>(first, 1, max_)), threshold_(max_) {}

  std::uint32_t limit() const { return static_cast<std::uint32_t>(limit_); }
  std::uint32_t running() const { return running_; }
  /// What a message usually takes; 0 when nothing is known.
  Duration usual() const { return usual_; }
  bool has_room() const { return running_ < limit(); }

  void start() {
    ++running_;
    if (running_ >= limit()) used_ = running_;
  }
  void end() { --running_; }
  /// A message went through; `took` is how long the host needed for it, 0 when that says nothing.
  void succeeded(Duration took);
  void failed();

 private:
  void shrink(double to);
  bool slowed(Duration took);

  std::uint32_t max_;
  double limit_;
  double threshold_;  // below it growth is fast
  std::uint32_t running_ = 0;
  std::uint32_t settle_ = 0;  // ends to wait for before the window may shrink again
  std::uint32_t used_ = 0;    // it was used up by so many, each of which may let it grow once
  Duration best_{};
  Duration usual_{};
};

}  // namespace postern::relay
