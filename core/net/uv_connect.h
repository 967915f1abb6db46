// Connecting, and watching foreign descriptors, on libuv.
//
// Errors: a connect that fails at once is told like one that fails later, from the loop. Numbers are errnos.
// Owner:  the caller holds what is returned; its destruction abandons the work, and libuv's requests end by themselves.
// Thread: the worker's.
#pragma once

#include "core/net/uv_loop.h"

namespace postern {

std::unique_ptr<Connecting> make_uv_connecting(UvExecutor& executor, const Executor::ConnectOptions& options,
                                               ConnectEvents& events);

/// Throws Error when the loop watches the descriptor already.
std::unique_ptr<FdWatch> make_uv_watch(UvExecutor& executor, int fd, std::function<void(bool, bool)> ready);

}  // namespace postern
