// What `postern queue ...` asks of the running server: list, show, retry, hold, release, recall.
//
// Thread: worker 0, as all control commands.
#pragma once

#include "postern/control.h"
#include "queue.h"

namespace postern::queue {

/// Registers queue.*; `queue` outlives the control socket.
void add_commands(Control& control, QueueService& queue);

}  // namespace postern::queue
