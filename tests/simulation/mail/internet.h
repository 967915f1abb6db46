// The Internet of a seed: mail hosts that are slow, silent, rude, broken in the middle of a word, or well.
//
// Each host listens on an executor of its own and speaks SMTP by itself, so that virtual days cost only what happens in
// them. What goes wrong is chosen anew for each connection from the seed: at one step (greeting ... the answer to the
// text) one kind of trouble, or a reset after a number of octets, received or sent. Extensions are drawn per
// connection. What a host takes is written to the ledger at the moment of the dot, and whether its answer left, when it
// has.
//
// Owner: the scenario. Thread: the simulation's. Errors: what a client sends against the protocol goes to the ledger.
// RFC: 5321, 2920, 3030, 1870, 3461, 9422.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ledger.h"
#include "postern/dns_fake.h"
#include "postern/executor.h"
#include "postern/random.h"
#include "postern/sim.h"

namespace postern::simulation {

enum class Step : std::uint8_t { kGreeting, kHello, kMail, kRcpt, kData, kText, kQuit };
inline constexpr std::size_t kSteps = 7;

enum class Trouble : std::uint8_t {
  kNone,
  kTemporary,    ///< 4xx
  kPermanent,    ///< 5xx
  kClosing,      ///< 421, and the end
  kGarbage,      ///< no SMTP reply
  kSilence,      ///< nothing, ever
  kLate,         ///< the right answer after a while, sometimes too late
  kHalf,         ///< the beginning of the answer, then a reset
  kClose,        ///< FIN instead of an answer
  kReset,        ///< RST instead of an answer
  kAnswerReset,  ///< the answer, and a reset behind it
};
inline constexpr std::size_t kTroubles = 11;

/// What will go wrong on a connection.
struct Mischief {
  Step step = Step::kGreeting;
  Trouble trouble = Trouble::kNone;
  unsigned transaction = 0;  ///< in which one
  Duration late{};
  std::uint64_t reset_in = ~0ULL;   ///< octets from the client, then RST
  std::uint64_t reset_out = ~0ULL;  ///< octets to the client, then RST
  bool keeps = false;               ///< kText: it took the message all the same
};

class Host;

class Internet {
 public:
  /// How much goes wrong, 0 to 1.
  struct Weather {
    double mischief = 0;    ///< connections with trouble
    double refused = 0;     ///< connections refused
    double greylist = 0;    ///< RCPTs that get 4xx
    double dns = 0;         ///< domains whose names cannot be found just now
    double black_hole = 0;  ///< addresses that do not answer
  };
  Internet(SimRuntime& sim, Executor& executor, Ledger& ledger, std::uint64_t seed, std::size_t sites);
  ~Internet();

  void set_weather(Weather weather);
  const Weather& weather() const { return weather_; }
  /// The zone data, as it is in this weather.
  void fill(FakeResolver& dns);
  std::string domain(std::size_t site) const;
  std::size_t sites() const { return sites_; }
  /// Local parts that no host knows: 550 at RCPT, always.
  bool unknown(const std::string& address) const;
  /// Cuts all connections, as when the machine at their other end is gone; refuses new ones until it is over.
  void cut(bool gone);

  std::function<void(const std::string&)> trace;  ///< each line that is said and heard

 private:
  friend class Host;
  friend class Session;
  Mischief draw();

  SimRuntime& sim_;
  Executor& executor_;
  Ledger& ledger_;
  Prng random_;
  std::size_t sites_;
  Weather weather_;
  bool gone_ = false;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<FakeResolver*> resolvers_;
  std::vector<bool> dark_;  ///< sites without DNS
};

}  // namespace postern::simulation
