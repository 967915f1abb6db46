#include "sites.h"

#include <algorithm>

namespace postern::relay {

namespace {

/// This worker's share of a limit that is for all of them.
std::uint32_t share(std::uint32_t all, unsigned workers) {
  return std::max(1U, (all + workers - 1) / workers);
}

std::uint32_t most(const Outbound& outbound, const Route* route) {
  const std::uint32_t all =
      route && route->settings.max_connections ? *route->settings.max_connections : outbound.settings.max_connections;
  return share(all, outbound.workers);
}

}  // namespace

/// One who stands in line. Lives in the frame of enter().
struct Site::Turn {
  explicit Turn(Site& owner) : site(owner) { site.line_.push_back(this); }
  ~Turn() {
    std::erase(site.line_, this);
    if (admitted && !taken) site.gone();  // it was admitted in the moment in which it was cancelled
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Site& site;
  Event called;
  bool admitted = false;
  bool taken = false;
};

Site::Site(Executor& executor, const Outbound& outbound, const Route* route)
    : executor_(executor),
      settings_(outbound.settings),
      window_(share(outbound.settings.first_connections, outbound.workers), most(outbound, route)),
      per_minute_(route ? route->settings.messages_per_minute : 0),
      refilled_(executor.now()) {}

Admission Site::later(Duration wait) const {
  Admission out;
  out.later = std::max<Duration>(wait, 5ms);
  out.why = why_.code != 250 ? why_ : Reply{451, "4.4.5", "the destination has all the connections it may have"};
  return out;
}

bool Site::take_token() {
  if (per_minute_ == 0) return true;
  const double fresh = std::chrono::duration<double>(executor_.now() - refilled_).count() * per_minute_ / 60.0;
  refilled_ = executor_.now();
  tokens_ = std::min(std::max(1.0, per_minute_ / 60.0), tokens_ + fresh);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

/// Who is sent away has not used it.
void Site::give_token_back() {
  if (per_minute_ != 0) tokens_ = std::min(std::max(1.0, per_minute_ / 60.0), tokens_ + 1);
}

Duration Site::token_wait() const {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>((1 - tokens_) * 60.0 / per_minute_));
}

Site::State Site::state() const {
  State out{.running = window_.running(), .limit = window_.limit(), .waiting = line_.size(), .per_minute = per_minute_};
  if (!down()) return out;
  out.why = why_;
  out.closed_for = std::max(closed_until_ - executor_.now(), Duration::zero());
  return out;
}

/// Why nobody may go now, line or not; a probe passes.
std::optional<Admission> Site::refusal() {
  if (down()) {
    if (executor_.now() < closed_until_) return later(closed_until_ - executor_.now());
    if (probing_) return later(settings_.back_off);
    probing_ = true;
  }
  if (!take_token()) {
    probing_ = false;
    Admission out;
    out.later = token_wait();
    out.why = {451, "4.4.5", "the destination's rate is used up"};
    return out;
  }
  return std::nullopt;
}

Task<Admission> Site::enter(Deadline deadline) {
  if (auto no = refusal()) co_return *no;
  if (probing_ || (line_.empty() && window_.has_room())) {
    window_.start();
    co_return Admission{.go = true};
  }
  if (line_.size() >= std::max<std::size_t>(kLeastLine, 4 * std::size_t{window_.limit()})) {
    give_token_back();
    co_return later(next_slot());
  }
  Turn turn(*this);
  bool late = false;
  try {
    co_await turn.called.wait(deadline);
  } catch (const TimedOut&) {
    late = !turn.admitted;
  }
  if (late || !turn.admitted) {
    give_token_back();
    co_return later(down() ? closed_until_ - executor_.now() : next_slot());
  }
  turn.taken = true;
  co_return Admission{.go = true};
}

/// Those who find the line full come back one after the other, at twice the pace at which the site takes messages: the
/// line never runs dry, and a thousand who wait cost no more than the site is worth.
Duration Site::next_slot() {
  const Duration usual = window_.usual() == Duration::zero() ? kGuess : window_.usual();
  const Duration each = std::max<Duration>(usual / (2 * window_.limit()), 10us);
  const Instant now = executor_.now();
  const auto line = static_cast<std::int64_t>(line_.size());
  slot_ = std::clamp(slot_ + each, std::min(now + each * line, now + kLatest), now + kLatest);
  return slot_ - now;
}

void Site::admit_waiting() {
  while (!line_.empty() && !down() && window_.has_room()) {
    Turn* turn = line_.front();
    line_.pop_front();
    window_.start();
    turn->admitted = true;
    turn->called.set();
  }
}

/// Nobody shall wait for a site that cannot be reached.
void Site::close_line() {
  for (Turn* turn : line_) turn->called.set();
  line_.clear();
}

void Site::gone() {
  window_.end();
  probing_ = false;
  admit_waiting();
}

void Site::leave_well(Duration took) {
  back_off_ = Duration::zero();
  why_ = {};
  window_.succeeded(took);
  gone();
}

void Site::leave_troubled() {
  back_off_ = Duration::zero();
  window_.failed();
  gone();
}

void Site::leave_failed(Reply why) {
  window_.failed();
  window_.end();
  probing_ = false;
  // While others are still talking there, a host that takes no further connection is busy, not gone.
  if (window_.running() > 0) return admit_waiting();
  why_ = std::move(why);
  back_off_ = back_off_ == Duration::zero() ? settings_.back_off : std::min(back_off_ * 2, settings_.max_back_off);
  stay_away();
}

/// The wait is not longer for it: another site's mail found that out, and its probe may be back before ours.
void Site::leave_untried(Reply why) {
  window_.end();
  probing_ = false;
  if (window_.running() > 0) return admit_waiting();
  why_ = std::move(why);
  if (back_off_ == Duration::zero()) back_off_ = settings_.back_off;
  stay_away();
}

void Site::stay_away() {
  const Duration jitter(
      static_cast<std::int64_t>(executor_.random() % static_cast<std::uint64_t>(back_off_.count() / 4 + 1)));
  closed_until_ = executor_.now() + back_off_ + jitter;
  close_line();
}

std::shared_ptr<Site> Sites::of(const std::string& name, const Route* route) {
  if (const auto found = sites_.find(name); found != sites_.end()) return found->second;
  if (sites_.size() >= kMaxSites) {
    std::erase_if(sites_, [](const auto& one) { return one.second->at_rest(); });
    if (sites_.size() >= kMaxSites) sites_.erase(sites_.begin());  // whoever uses it holds it
  }
  auto site = std::make_shared<Site>(executor_, outbound_, route);
  sites_.emplace(name, site);
  return site;
}

std::optional<Reply> Sites::unreachable(const std::string& address) {
  if (addresses_.empty()) return std::nullopt;
  const auto found = addresses_.find(address);
  if (found == addresses_.end()) return std::nullopt;
  Down& down = found->second;
  if (executor_.now() < down.until) return down.why;
  down.until = executor_.now() + down.back_off;  // this one probes; others wait for what it finds
  return std::nullopt;
}

void Sites::failed(const std::string& address, Reply why) {
  if (addresses_.size() >= kMaxAddresses) addresses_.erase(addresses_.begin());
  Down& down = addresses_[address];
  const DeliverySettings& settings = outbound_.settings;
  down.back_off =
      down.back_off == Duration::zero() ? settings.back_off : std::min(down.back_off * 2, settings.max_back_off);
  down.until = executor_.now() + down.back_off;
  down.why = std::move(why);
}

}  // namespace postern::relay
