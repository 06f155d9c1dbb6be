// SPDX-License-Identifier: BSD-2-Clause
#include "control/confinement.h"

#include <cap-ng.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <fmt/format.h>

namespace xebec {
namespace {

#ifndef CAP_PERFMON  // Linux 5.8
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

// Sockets that are bound anew, injectors that are made anew, netlink, raw ICMP sockets. CAP_DAC_OVERRIDE only root has: files
// and directories that belong to the user xebec are its own as long as it runs as root.
constexpr unsigned kOfControl[] = {CAP_BPF,     CAP_PERFMON,  CAP_NET_ADMIN,
                                   CAP_NET_RAW, CAP_IPC_LOCK, CAP_DAC_OVERRIDE};

tl::expected<void, std::string> keep_only(std::span<const unsigned> kept) {
  if (capng_get_caps_process() != 0)
    return tl::unexpected(std::string("cannot read this thread's capabilities"));
  const bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  std::vector<unsigned> had;
  for (const unsigned capability : kept) {
    if (capng_have_capability(CAPNG_PERMITTED, capability) != 0) had.push_back(capability);
  }
  capng_clear(CAPNG_SELECT_ALL);
  for (const unsigned capability : had) {
    const int sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | (bounds ? CAPNG_BOUNDING_SET : 0);
    if (capng_update(CAPNG_ADD, static_cast<capng_type_t>(sets), capability) != 0)
      return tl::unexpected(fmt::format("cannot keep capability {}", capability));
  }
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0,
              0);  // nothing that we might start is to have them
  if (const int rc = capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS); rc != 0)
    return tl::unexpected(fmt::format("cannot drop capabilities (libcap-ng says {})", rc));
  return {};
}

/// The loop's own, then what the C library does for it: locks, memory, the end of the thread, an abort that says why.
constexpr int kOfWorkers[] = {
    SCMP_SYS(sendto),          SCMP_SYS(recvfrom),     SCMP_SYS(poll),
    SCMP_SYS(ppoll),           SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),   SCMP_SYS(read),         SCMP_SYS(write),
    SCMP_SYS(futex),           SCMP_SYS(sched_yield),  SCMP_SYS(brk),
    SCMP_SYS(munmap),          SCMP_SYS(mremap),       SCMP_SYS(madvise),
    SCMP_SYS(rt_sigprocmask),  SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall), SCMP_SYS(getpid),       SCMP_SYS(gettid),
    SCMP_SYS(tgkill),          SCMP_SYS(exit),         SCMP_SYS(exit_group),
};

tl::expected<void, std::string> filter_system_calls(bool injects) {
  // An unforeseen call fails and does not end the process: a balancer that a new C library can kill is no safer.
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                                seccomp_release);
  if (!filter) return tl::unexpected(std::string("seccomp: no memory"));
  int rc = 0;
  const auto note = [&rc](int result) { rc = rc == 0 ? result : rc; };
  for (const int call : kOfWorkers) note(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0));
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    const scmp_arg_cmp not_code = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    note(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1, not_code));
  }
  if (injects) {
    const scmp_arg_cmp run = SCMP_A0_64(SCMP_CMP_EQ, BPF_PROG_TEST_RUN);
    note(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1, run));
  }
  if (rc == 0) rc = seccomp_load(filter.get());  // sets no_new_privs for the thread
  if (rc != 0) return tl::unexpected(fmt::format("seccomp: {}", std::strerror(-rc)));
  return {};
}

}  // namespace

bool filters_system_calls() {
#ifdef XEBEC_SANITIZED
  return false;
#else
  return true;
#endif
}

tl::expected<void, std::string> confine_control() {
  (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return keep_only(kOfControl);
}

tl::expected<void, std::string> confine_worker(bool injects) {
  if (auto dropped = keep_only({}); !dropped) return dropped;
  if (!filters_system_calls()) return {};
  return filter_system_calls(injects);
}

}  // namespace xebec
