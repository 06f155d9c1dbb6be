// SPDX-License-Identifier: BSD-2-Clause
// What a map no longer holds, a program that runs may still be using.
#pragma once

namespace xebec {

/// Returns when every XDP program that ran at the time of the call has ended, and what it redirected is in its socket's ring: a
/// driver hands a batch over at the end of its poll, in the same RCU section. Some milliseconds to some ten.
void wait_for_running_programs();

}  // namespace xebec
