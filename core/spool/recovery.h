// Recovery: what a start makes of the files it finds.
//
// Segments are replayed in the order of their sequence. Damage in the last batch is a torn tail, whose messages nobody
// was promised, and is cut. Damage before a whole later batch is of octets that had been synced: they are copied to
// damaged/ and reported, and what is whole among them is used. Nothing of this is fatal.
//
// Thread: the one that opens the spool, before any other.
#pragma once

#include <cstdint>
#include <vector>

#include "core/spool/store.h"

namespace postern::spool {

struct Recovered {
  std::uint64_t previous_batch = 0;  ///< the last whole one
  std::uint64_t last_batch = 0;      ///< greatest number seen, in remnants too
};

/// Fills index, log, spares and body files of the store. Errors: spool.open, spool.version.
Result<Recovered> recover(Store& store);

}  // namespace postern::spool
