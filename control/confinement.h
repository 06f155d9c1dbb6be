// SPDX-License-Identifier: BSD-2-Clause
// What a thread of the daemon gives away for good once it has what it needs.
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace xebec {

/// The control thread, after the start: keeps what it binds sockets anew and follows the network with, and root's way
/// with files, and no other capability. Threads that it starts get no more. The error is a sentence; what could be given
/// away is gone all the same.
tl::expected<void, std::string> confine_control();

/// A worker, on its own thread before its first packet: no capability at all, and of the system calls only those of its
/// loop. `injects`: bpf(BPF_PROG_RUN) is one of them.
tl::expected<void, std::string> confine_worker(bool injects);

/// False: built with sanitizers, which make system calls of their own. Workers then keep all of them.
bool filters_system_calls();

}  // namespace xebec
