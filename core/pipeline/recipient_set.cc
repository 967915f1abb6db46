#include <algorithm>
#include <bit>

#include "postern/pipeline.h"

namespace postern {
namespace {

constexpr std::size_t kWord = 64;

std::uint64_t low_mask(std::size_t bits) {
  return bits >= kWord ? ~0ULL : (1ULL << bits) - 1;
}

}  // namespace

RecipientSet RecipientSet::none(std::size_t size) {
  RecipientSet set;
  set.size_ = size;
  if (size > kWord) set.high_.assign((size - 1) / kWord, 0);
  return set;
}

RecipientSet RecipientSet::all(std::size_t size) {
  RecipientSet set = none(size);
  set.low_ = low_mask(size);
  for (std::size_t word = 0; word < set.high_.size(); ++word) set.high_[word] = low_mask(size - (word + 1) * kWord);
  return set;
}

bool RecipientSet::contains(std::size_t index) const {
  if (index >= size_) return false;
  const std::uint64_t word = index < kWord ? low_ : high_[index / kWord - 1];
  return (word >> (index % kWord)) & 1;
}

void RecipientSet::insert(std::size_t index) {
  if (index >= size_) return;
  (index < kWord ? low_ : high_[index / kWord - 1]) |= 1ULL << (index % kWord);
}

void RecipientSet::erase(std::size_t index) {
  if (index >= size_) return;
  (index < kWord ? low_ : high_[index / kWord - 1]) &= ~(1ULL << (index % kWord));
}

std::size_t RecipientSet::count() const {
  std::size_t total = static_cast<std::size_t>(std::popcount(low_));
  for (const std::uint64_t word : high_) total += static_cast<std::size_t>(std::popcount(word));
  return total;
}

bool RecipientSet::empty() const {
  return low_ == 0 && std::ranges::all_of(high_, [](std::uint64_t word) { return word == 0; });
}

// Sets of one transaction have one size. A foreign one (a faulty script) must not reach beyond it, hence the minimum.
RecipientSet RecipientSet::operator&(const RecipientSet& other) const {
  RecipientSet out;
  out.size_ = size_;
  out.low_ = low_ & other.low_ & low_mask(size_);
  if (size_ <= kWord) return out;
  out.high_.assign((size_ - 1) / kWord, 0);
  for (std::size_t word = 0; word < std::min(high_.size(), other.high_.size()); ++word)
    out.high_[word] = high_[word] & other.high_[word];
  return out;
}

RecipientSet RecipientSet::operator|(const RecipientSet& other) const {
  RecipientSet out = *this;
  out.low_ |= other.low_ & low_mask(size_);
  if (size_ <= kWord) return out;
  for (std::size_t word = 0; word < std::min(high_.size(), other.high_.size()); ++word)
    out.high_[word] |= other.high_[word];
  return out & all(size_);
}

RecipientSet RecipientSet::operator-(const RecipientSet& other) const {
  RecipientSet out = *this;
  out.low_ &= ~other.low_;
  for (std::size_t word = 0; word < std::min(high_.size(), other.high_.size()); ++word)
    out.high_[word] &= ~other.high_[word];
  return out;
}

std::string RecipientSet::to_string() const {
  std::string out;
  for (std::size_t first = 0; first < size_; ++first) {
    if (!contains(first)) continue;
    std::size_t last = first;
    while (contains(last + 1)) ++last;
    if (!out.empty()) out += ',';
    out += std::to_string(first);
    if (last > first) out.append("-").append(std::to_string(last));
    first = last;
  }
  return out;
}

}  // namespace postern
