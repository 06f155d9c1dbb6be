// SPDX-License-Identifier: BSD-2-Clause
// The engine on a pair of veths that changes under it: what it says of that, and what it mends.
#include "control/engine.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/abi.h"
#include "control/netdev.h"
#include "control/next_hops.h"
#include "dataplane/self_test.h"
#include "own_network.h"

// In front of libc's functions, for what cannot be had here by other means.
namespace {
bool descriptors_are_short = false;  // when a worker makes what it is woken by
bool v0_is_an_ice = false;           // with zero-copy, before Linux 6.11
}  // namespace

extern "C" int eventfd(unsigned int count, int flags) noexcept {
  if (!descriptors_are_short) return static_cast<int>(syscall(SYS_eventfd2, count, flags));
  errno = EMFILE;
  return -1;
}

extern "C" int getsockopt(int fd, int level, int name, void* value, socklen_t* length) noexcept {
  const auto result = static_cast<int>(syscall(SYS_getsockopt, fd, level, name, value, length));
  if (v0_is_an_ice && level == SOL_XDP && name == XDP_OPTIONS)
    static_cast<xdp_options*>(value)->flags |= XDP_OPTIONS_ZEROCOPY;
  return result;
}

extern "C" int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto result = static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
  if (!v0_is_an_ice || request != SIOCETHTOOL) return result;
  const auto* asked = static_cast<const ifreq*>(argument);
  auto* answer = reinterpret_cast<ethtool_drvinfo*>(asked->ifr_data);
  if (answer->cmd == ETHTOOL_GDRVINFO && std::string_view(asked->ifr_name) == "v0")
    std::strcpy(answer->driver, "ice");
  return result;
}

extern "C" int uname(utsname* name) noexcept {
  const auto result = static_cast<int>(syscall(SYS_uname, name));
  if (v0_is_an_ice) std::strcpy(name->release, "6.10.0");
  return result;
}

namespace xebec {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// What netlink has told: here, whatever the test says.
class ToldLinks final : public NextHops {
 public:
  std::map<int, LinkState> told;

  void follow(const std::vector<IpAddress>&) override {}
  const ResolvedHop* find(const IpAddress&) const override { return nullptr; }
  const std::map<IpAddress, ResolvedHop>& all() const override { return none_; }
  std::optional<LinkState> link(int ifindex) const override {
    const auto known = told.find(ifindex);
    return known == told.end() ? std::nullopt : std::optional(known->second);
  }
  std::optional<LinkState> link(const std::string&) const override { return std::nullopt; }
  const std::map<int, LinkState>& links() const override { return told; }

 private:
  std::map<IpAddress, ResolvedHop> none_;
};

/// What the kernel holds of some kind, closed with it.
class Held {
 public:
  explicit Held(int fd) : fd_(fd) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// What the shim takes for its interface's address.
MacAddress shim_mac(const Steering& steering) {
  std::array<uint32_t, 16> ids{};
  bpf_prog_info program{};
  program.nr_map_ids = ids.size();
  program.map_ids = reinterpret_cast<uintptr_t>(ids.data());
  uint32_t length = sizeof program;
  if (bpf_obj_get_info_by_fd(steering.program_fd(), &program, &length) != 0)
    throw std::runtime_error("program info");
  for (uint32_t i = 0; i < program.nr_map_ids; ++i) {
    const Held map(bpf_map_get_fd_by_id(ids.at(i)));
    bpf_map_info info{};
    length = sizeof info;
    if (bpf_obj_get_info_by_fd(map.fd(), &info, &length) != 0 || std::string_view(info.name) != "settings")
      continue;
    const uint32_t zero = 0;
    xebec_settings settings{};
    if (bpf_map_lookup_elem(map.fd(), &zero, &settings) != 0) throw std::runtime_error("settings");
    MacAddress mac{};
    std::copy(std::begin(settings.mac), std::end(settings.mac), std::begin(mac.bytes));
    return mac;
  }
  throw std::runtime_error("no settings");
}

/// Takes an XDP program off its interface, as `bpftool link detach` does.
void detach_from_outside(int ifindex) {
  for (uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
    const Held link(bpf_link_get_fd_by_id(id));
    bpf_link_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(link.fd(), &info, &length) != 0 || info.type != BPF_LINK_TYPE_XDP ||
        info.xdp.ifindex != static_cast<uint32_t>(ifindex))
      continue;
    // Indices are a namespace's own, and this is not the only one: the engine's link is this process's.
    bool ours = false;
    for (int fd = 0; fd < 256 && !ours; ++fd) {
      bpf_link_info own{};
      length = sizeof own;
      std::array<char, 64> target{};
      const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), 63);
      ours = fd != link.fd() && n > 0 && std::string_view(target.data()) == "anon_inode:bpf_link" &&
             bpf_obj_get_info_by_fd(fd, &own, &length) == 0 && own.id == info.id;
    }
    if (!ours) continue;
    ASSERT_EQ(bpf_link_detach(link.fd()), 0) << std::strerror(errno);
    return;
  }
  FAIL() << "no XDP program on " << ifindex;
}

/// Another network namespace, held by a process that does nothing.
class Elsewhere {
 public:
  Elsewhere() : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (unshare(CLONE_NEWNET) != 0) _exit(1);
      for (;;) pause();
    }
    struct stat ours {
    }, its{};
    stat("/proc/self/ns/net", &ours);
    const std::string path = "/proc/" + std::to_string(pid_) + "/ns/net";
    for (int i = 0; i < 2000 && (stat(path.c_str(), &its) != 0 || its.st_ino == ours.st_ino); ++i)
      usleep(1000);
  }
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;
  ~Elsewhere() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

class EngineTest : public OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    make("v0", "02:00:00:00:00:10");
  }
  void TearDown() override { descriptors_are_short = v0_is_an_ice = false; }

  void make(const std::string& name, const std::string& mac) {
    const std::string peer = "p" + std::to_string(pairs_++);
    run_command("ip link add " + name + " address " + mac + " type veth peer name " + peer +
                " && ip link set " + name + " up && ip link set " + peer + " up");
    tell(name);
  }
  /// Netlink tells of it from now on.
  void tell(const std::string& name) {
    const int ifindex = interface_index(name);
    links_.told[ifindex] = {.ifindex = ifindex, .name = name, .mtu = 1500, .up = true, .carrier = true};
  }
  void start(const std::vector<std::string>& names = {"v0"}) {
    Config config;
    for (const std::string& name : names) {
      config.interfaces.push_back({});
      config.interfaces.back().name = name;
      config.interfaces.back().transmit = TransmitMode::ring;
    }
    Preflight preflight([](const Finding&) {});
    auto engine = Engine::start(config, preflight);
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    engine_ = std::move(*engine);
    ASSERT_FALSE(look());
  }
  /// A second later.
  bool look() { return engine_->look_after(now_ms_ += 1000, links_); }
  const Worker& worker() const { return *engine_->workers().front(); }
  std::vector<std::string> ports() const {
    std::vector<std::string> names;
    for (const WorkerPort& p : worker().ports()) names.push_back(p.port->options().interface);
    return names;
  }
  bool moves() const {
    const uint64_t before = worker().loop().rounds.read();
    for (int i = 0; i < 500 && worker().loop().rounds.read() == before; ++i)
      usleep(1000);  // beats each 200 ms
    return worker().loop().rounds.read() != before;
  }

  ToldLinks links_;
  uint64_t now_ms_ = 1'000'000;
  std::unique_ptr<Engine> engine_;
  int pairs_ = 0;
};

TEST_F(EngineTest, KeepsTheAddressOfAnInterfaceThatNetlinkHasNotToldOfYet) {
  const MacAddress first = *parse_mac("02:00:00:00:00:10"), other = *parse_mac("02:00:00:00:00:11");
  start();
  const Steering& shim = *engine_->interfaces().front().shim;
  EXPECT_EQ(shim_mac(shim), first);
  ASSERT_TRUE(engine_->set_macs({{1, "v0", {}, 0}}).has_value());
  EXPECT_EQ(shim_mac(shim), first);
  ASSERT_TRUE(engine_->set_macs({{1, "v0", other, 1500}}).has_value());
  EXPECT_EQ(shim_mac(shim), other);
}

TEST_F(EngineTest, TriesAgainWithAWorkerThatCouldNotBeStartedWithItsNewSockets) {
  start();
  run_command("ip link del v0");
  links_.told.clear();
  make("v0", "02:00:00:00:00:11");
  descriptors_are_short = true;
  EXPECT_TRUE(look());
  EXPECT_THAT(engine_->problems(),
              ElementsAre(HasSubstr("worker 0: it has no sockets: cannot make an eventfd")));
  now_ms_ += 10'000;
  EXPECT_FALSE(look());
  EXPECT_THAT(engine_->problems(), ElementsAre(HasSubstr("worker 0: it has no sockets")));
  descriptors_are_short = false;
  now_ms_ += 10'000;
  EXPECT_FALSE(look());
  EXPECT_THAT(engine_->problems(), IsEmpty());
  EXPECT_THAT(ports(), ElementsAre("v0"));
  EXPECT_TRUE(moves());
}

TEST_F(EngineTest, LeavesSocketsAloneThatNeedNotBeBoundAnewWhereTheShimWasTakenOff) {
  start();
  const Steering& shim = *engine_->interfaces().front().shim;
  ASSERT_EQ(engine_->health(0, 0).self_test.result, SelfTest::Result::ok);
  detach_from_outside(interface_index("v0"));
  ASSERT_EQ(shim.attached(), "");
  EXPECT_TRUE(look());
  EXPECT_EQ(shim.attached(), "native");
  EXPECT_EQ(engine_->health(0, 0).self_test.result,
            SelfTest::Result::ok);  // that of a new socket is left out
  EXPECT_TRUE(is_bound(worker().ports().front().port->fd()));
  EXPECT_THAT(engine_->problems(), IsEmpty());
}

TEST_F(EngineTest, KnowsASocketOfAnInterfaceThatIsGone) {
  start();
  EXPECT_TRUE(is_bound(worker().ports().front().port->fd()));
  run_command("ip link del v0");
  EXPECT_FALSE(is_bound(worker().ports().front().port->fd()));
}

TEST_F(EngineTest, ServesAnInterfaceAgainThatWasLentToAnotherNetworkNamespace) {
  start();
  const int ifindex = interface_index("v0");
  const Elsewhere elsewhere;
  run_command("ip link set v0 netns " + std::to_string(elsewhere.pid()));
  links_.told.erase(ifindex);
  EXPECT_FALSE(look());
  run_command("nsenter --net=/proc/" + std::to_string(elsewhere.pid()) + "/ns/net ip link set v0 netns " +
              std::to_string(getpid()));
  run_command("ip link set v0 up");
  ASSERT_EQ(interface_index("v0"), ifindex);
  tell("v0");
  ASSERT_EQ(engine_->interfaces().front().shim->attached(),
            "native");  // the shim goes with it, sockets do not
  EXPECT_FALSE(is_bound(worker().ports().front().port->fd()));
  EXPECT_TRUE(look());
  EXPECT_TRUE(is_bound(worker().ports().front().port->fd()));
  EXPECT_THAT(engine_->problems(), IsEmpty());
  EXPECT_TRUE(moves());
  EXPECT_FALSE(look());  // and that is all
}

TEST_F(EngineTest, ServesAnInterfaceAgainWhoseIndexAnotherOneHasGot) {
  start();
  const int before = interface_index("v0");
  run_command("ip link del v0");
  run_command("ip link add other index " + std::to_string(before) + " type veth peer name po");
  tell("other");
  EXPECT_FALSE(look());
  make("v0", "02:00:00:00:00:11");
  ASSERT_NE(interface_index("v0"), before);
  EXPECT_TRUE(look());
  EXPECT_EQ(engine_->interfaces().front().ifindex, interface_index("v0"));
  EXPECT_EQ(engine_->interfaces().front().shim->attached(), "native");
  EXPECT_TRUE(is_bound(worker().ports().front().port->fd()));
  EXPECT_THAT(engine_->problems(), IsEmpty());
}

TEST_F(EngineTest, DoesNotServeAnInterfaceAgainAtThePriceOfSocketsThatADriverIsToKeep) {
  make("v1", "02:00:00:00:01:10");
  v0_is_an_ice = true;
  start({"v0", "v1"});
  const auto before = worker().ports().front().port->fd();
  links_.told.erase(interface_index("v1"));
  run_command("ip link del v1");
  make("v1", "02:00:00:00:01:11");
  EXPECT_FALSE(look());
  EXPECT_THAT(engine_->problems(),
              ElementsAre(AllOf(HasSubstr("interface v1: made anew, and not served: worker 0"),
                                HasSubstr("close its zero-copy socket on v0, and driver ice"))));
  EXPECT_EQ(engine_->health(0, 0).self_test.result,
            SelfTest::Result::ok);  // that of a new socket is left out
  EXPECT_EQ(worker().ports().front().port->fd(), before);
  EXPECT_TRUE(is_bound(before));
  EXPECT_TRUE(moves());
  // Once its own interface has gone there is nothing to keep, and both are served again with one reopening.
  links_.told.erase(engine_->interfaces()[0].ifindex);
  run_command("ip link del v0");
  make("v0", "02:00:00:00:00:11");
  EXPECT_TRUE(look());
  EXPECT_THAT(engine_->problems(), IsEmpty());
  EXPECT_THAT(ports(), ElementsAre("v0", "v1"));
  EXPECT_TRUE(moves());
}

TEST_F(EngineTest, BindsAWorkersSocketsAnewWhereARingStandsStillButNotThoseThatADriverIsToKeep) {
  make("v1", "02:00:00:00:01:10");
  for (const bool keep : {true, false}) {
    v0_is_an_ice = keep;
    start({"v0", "v1"});
    Worker& running = *engine_->workers().front();
    running.stop();
    run_command("ip link set v1 down");  // of which netlink has not told: its ring is to move
    const SelfTest stuck = test_port(*running.ports().back().port, *running.umem(), *mac_of("v1"),
                                     std::chrono::milliseconds(20));
    ASSERT_EQ(stuck.result, SelfTest::Result::failed);
    for (int seconds = 0; seconds < 10; ++seconds) look();
    EXPECT_TRUE(is_bound(running.ports().front().port->fd()));
    if (keep) {
      EXPECT_THAT(
          engine_->problems(),
          Contains(HasSubstr("worker 0: its sockets are not bound anew: that would close its zero-copy")));
      EXPECT_EQ(running.ports().back().port->transmit_progress().waiting, 1u);
      ASSERT_TRUE(running.start().has_value());  // it had been stopped by the test
    } else {
      EXPECT_THAT(engine_->problems(), IsEmpty());
    }
    EXPECT_TRUE(moves());
    run_command("ip link set v1 up");
    engine_.reset();
  }
}

TEST_F(EngineTest, ServesARenamedInterfaceOnWhenAnotherOneReturns) {
  make("v1", "02:00:00:00:01:10");
  start({"v0", "v1"});
  const int index = interface_index("v0");
  run_command("ip link set v0 down && ip link set v0 name lan0 && ip link set lan0 up");
  make("v0", "02:00:00:00:00:99");  // a stranger under its old name
  links_.told[index].name = "lan0";
  EXPECT_FALSE(look());
  EXPECT_EQ(engine_->interfaces()[0].ifindex, index);
  EXPECT_THAT(engine_->problems(), ElementsAre(HasSubstr("interface v0: named lan0 now")));
  links_.told.erase(interface_index("v1"));
  run_command("ip link del v1");
  make("v1", "02:00:00:00:01:11");
  EXPECT_TRUE(look());
  EXPECT_THAT(ports(), ElementsAre("lan0", "v1"));
  EXPECT_EQ(engine_->interfaces()[0].shim->attached(), "native");
  EXPECT_TRUE(moves());
  // Once it is gone, the one that has the name now takes its place.
  run_command("ip link del lan0");
  links_.told.erase(index);
  EXPECT_TRUE(look());
  EXPECT_THAT(ports(), ElementsAre("v0", "v1"));
  EXPECT_EQ(engine_->interfaces()[0].ifindex, interface_index("v0"));
  EXPECT_THAT(engine_->problems(), IsEmpty());
}

}  // namespace
}  // namespace xebec
