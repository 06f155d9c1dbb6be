// SPDX-License-Identifier: BSD-2-Clause
// The kernel around a test.
#include "tests/bpf/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace xebec::test {

PrivateNetwork::PrivateNetwork() : outside_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (outside_ < 0 || unshare(CLONE_NEWNET) != 0) {
    throw std::runtime_error(std::string("no network namespace: ") + std::strerror(errno) +
                             ". These tests need root, or CAP_SYS_ADMIN and CAP_NET_ADMIN");
  }
  ip("link set lo up");
}

PrivateNetwork::~PrivateNetwork() {
  if (setns(outside_, CLONE_NEWNET) != 0) std::abort();  // the next test must not run in here
  close(outside_);
}

int PrivateNetwork::add_veth(const std::string& name, const std::string& peer, int queues) {
  const std::string count = std::to_string(queues);
  const std::string shape = " numrxqueues " + count + " numtxqueues " + count;
  ip("link add " + name + shape + " type veth peer name " + peer + shape);
  ip("link set " + peer + " up");
  ip("link set " + name + " up");
  return static_cast<int>(if_nametoindex(name.c_str()));
}

void ip(const std::string& arguments) {
  if (std::system(("ip " + arguments).c_str()) != 0) throw std::runtime_error("failed: ip " + arguments);
}

std::string in_child(const std::function<std::string()>& body) {
  std::array<int, 2> channel{};
  if (pipe2(channel.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    dup2(channel[1], STDERR_FILENO);
    const std::string result = body();
    const ssize_t written = write(channel[1], result.data(), result.size());
    _exit(written == static_cast<ssize_t>(result.size()) ? 0 : 1);
  }
  close(channel[1]);
  std::string result;
  std::array<char, 4096> some{};
  for (ssize_t length; (length = read(channel[0], some.data(), some.size())) > 0;)
    result.append(some.data(), static_cast<std::size_t>(length));
  close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    result += " (the child ended with status " + std::to_string(status) + ")";
  return result;
}

void keep_only_capabilities(const std::vector<int>& capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  for (const int capability : capabilities) {
    auto& word = data.at(static_cast<std::size_t>(capability) / 32);
    word.effective |= 1u << (static_cast<unsigned>(capability) % 32);
    word.permitted = word.effective;
  }
  if (syscall(SYS_capset, &header, data.data()) != 0) throw std::runtime_error("capset");
}

int load_foreign_program(const std::string& name) {
  // r0 = XDP_PASS; exit
  const std::array<bpf_insn, 2> program = {
      {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  const int fd =
      bpf_prog_load(BPF_PROG_TYPE_XDP, name.c_str(), "GPL", program.data(), program.size(), nullptr);
  if (fd < 0)
    throw std::runtime_error("the kernel did not load a program of two instructions: root is needed");
  return fd;
}

namespace {
bpf_xdp_query_opts query(int ifindex) {
  bpf_xdp_query_opts result{};
  result.sz = sizeof result;
  if (bpf_xdp_query(ifindex, 0, &result) != 0) throw std::runtime_error("bpf_xdp_query");
  return result;
}
}  // namespace

uint32_t native_program(int ifindex) {
  return query(ifindex).drv_prog_id;
}
uint32_t generic_program(int ifindex) {
  return query(ifindex).skb_prog_id;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace xebec::test
