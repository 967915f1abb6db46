// What a decision means for each recipient: its step, its header and the words that the client hears.
//
// Thread: any; values.
#pragma once

#include <string>
#include <vector>

#include "postern/pipeline.h"
#include "postern/spec.h"

namespace postern {

/// All recipients refused with one reply at one stage; those that have an outcome already keep it.
void refuse_rest(SpecResult& result, const std::vector<Recipient>& recipients, Stage stage, const Verdict& verdict);

/// Gives the recipients that RCPT took their outcomes. `places[i]` is where the outcome of the envelope's recipient i
/// stands in `result`; further ones come from aliases and are added. `header` is that of the message with the edits for
/// all.
void settle_outcomes(SpecResult& result, const std::vector<std::size_t>& places, const Transaction& transaction,
                     const Decision& decision, const std::string& header, const std::string& body);

/// Recipients whose steps went into a mail of their own, since they have another body.
void settle_apart(SpecResult& result, const SettledMail& apart, const std::string& header, const std::string& body);

}  // namespace postern
