// SPDX-License-Identifier: BSD-2-Clause
// The shim's owner against the real kernel: maps, links, other people's programs, missing capabilities.
#include "control/steering.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <map>
#include <thread>

#include "tests/bpf/kernel.h"
#include "tests/support/frame_builder.h"

namespace xebec::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint16_t kAny = 0;

std::unique_ptr<Steering> load(FallbackVerdict fallback = FallbackVerdict::drop,
                               uint64_t stale_after_ns = 0) {
  auto steering = Steering::load(fallback, stale_after_ns);
  if (!steering) throw std::runtime_error(steering.error().message + " (these tests need root)");
  return std::move(*steering);
}

SteeredService service(std::string_view vip, uint8_t protocol, uint16_t port) {
  return {{*IpPrefix::parse(vip), port, 0, protocol}, nullptr};
}

/// A map of the program, by name, seen from outside.
class Map {
 public:
  Map(const Steering& steering, std::string_view name) {
    std::array<uint32_t, 16> ids{};
    bpf_prog_info program{};
    program.nr_map_ids = ids.size();
    program.map_ids = reinterpret_cast<uintptr_t>(ids.data());
    uint32_t length = sizeof program;
    if (bpf_obj_get_info_by_fd(steering.program_fd(), &program, &length) != 0)
      throw std::runtime_error("program info");
    for (uint32_t i = 0; i < program.nr_map_ids && fd_ < 0; i++) {
      bpf_map_info info{};
      length = sizeof info;
      const int fd = bpf_map_get_fd_by_id(ids.at(i));
      if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && name == info.name)
        fd_ = fd;
      else
        close(fd);
    }
    if (fd_ < 0) throw std::runtime_error("no map " + std::string(name));
  }
  ~Map() { close(fd_); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  int fd() const { return fd_; }
  /// Keys and the lists of sources in their values.
  std::map<Bytes, uint32_t> entries(std::size_t key_size) const {
    std::map<Bytes, uint32_t> result;
    Bytes key(key_size);
    for (const void* previous = nullptr; bpf_map_get_next_key(fd_, previous, key.data()) == 0;
         previous = key.data()) {
      xebec_service_value value{};
      if (bpf_map_lookup_elem(fd_, key.data(), &value) == 0) result.emplace(key, value.source_list);
    }
    return result;
  }

 private:
  int fd_ = -1;
};

std::map<Bytes, uint32_t> vips_of(const Steering& steering) {
  return Map(steering, "vips").entries(sizeof(xebec_address));
}
std::map<Bytes, uint32_t> services_of(const Steering& steering) {
  return Map(steering, "services").entries(sizeof(xebec_service_key));
}

/// As the shim builds it: 16 bytes of address, port, protocol, zero.
Bytes key(std::string_view vip, uint8_t protocol, uint16_t port) {
  const Bytes address = address_bytes(vip);
  Bytes result(16 - address.size());
  if (address.size() == 4) result[10] = result[11] = 0xff;
  result.insert(result.end(), address.begin(), address.end());
  result.insert(result.end(), {static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port), protocol, 0});
  return result;
}
Bytes key(std::string_view vip) {
  Bytes result = key(vip, 0, 0);
  result.resize(16);
  return result;
}

/// The verdict of the last of `repeat` runs.
uint32_t run(const Steering& steering, const Bytes& frame, xdp_md* context = nullptr, int repeat = 1) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.ctx_in = context;
  options.ctx_size_in = context != nullptr ? sizeof *context : 0;
  options.repeat = repeat;
  if (bpf_prog_test_run_opts(steering.program_fd(), &options) != 0)
    throw std::runtime_error(std::string("test run: ") + std::strerror(errno));
  return options.retval;
}

Bytes syn(std::string_view vip, uint16_t port) {
  return FrameBuilder().ethernet().ipv4("192.0.2.1", vip).tcp(40000, port, {.flags = 2}).build();
}

TEST(Steering, MakesTheMapsHoldExactlyTheServices) {
  const auto steering = load();
  EXPECT_THAT(vips_of(*steering), IsEmpty());
  ASSERT_TRUE(steering->set_services(
      {service("203.0.113.10", kProtoTcp, 443), service("203.0.113.10", kProtoTcp, 80),
       service("2001:db8::10", kProtoUdp, kAny), service("203.0.113.10", kProtoTcp, 80)}));
  EXPECT_THAT(vips_of(*steering),
              ElementsAre(testing::Pair(key("203.0.113.10"), 0), testing::Pair(key("2001:db8::10"), 0)));
  EXPECT_THAT(services_of(*steering), ElementsAre(testing::Pair(key("203.0.113.10", 6, 80), 0),
                                                  testing::Pair(key("203.0.113.10", 6, 443), 0),
                                                  testing::Pair(key("2001:db8::10", 17, 0), 0)));
  EXPECT_EQ(run(*steering, syn("203.0.113.10", 443)), static_cast<uint32_t>(XDP_DROP));
  ASSERT_TRUE(steering->set_services({}));
  EXPECT_THAT(vips_of(*steering), IsEmpty());
  EXPECT_THAT(services_of(*steering), IsEmpty());
  EXPECT_EQ(run(*steering, syn("203.0.113.10", 443)), static_cast<uint32_t>(XDP_PASS));
}

TEST(Steering, TouchesOnlyWhatDiffers) {
  const auto steering = load();
  const std::vector<SteeredService> before = {service("203.0.113.10", kProtoTcp, 443),
                                              service("203.0.113.11", kProtoTcp, 443)};
  ASSERT_TRUE(steering->set_services(before));
  // A mark in the values, which any write by Steering would wipe out.
  const xebec_service_value mark = {.source_list = 0x5eed, .passes = 0};
  const Bytes kept = key("203.0.113.10", 6, 443), kept_vip = key("203.0.113.10");
  ASSERT_EQ(bpf_map_update_elem(Map(*steering, "services").fd(), kept.data(), &mark, BPF_EXIST), 0);
  ASSERT_EQ(bpf_map_update_elem(Map(*steering, "vips").fd(), kept_vip.data(), &mark, BPF_EXIST), 0);
  ASSERT_TRUE(steering->set_services(before));
  ASSERT_TRUE(steering->set_services({before[0], service("203.0.113.12", kProtoUdp, 53)}));
  EXPECT_THAT(services_of(*steering),
              ElementsAre(testing::Pair(kept, 0x5eed), testing::Pair(key("203.0.113.12", 17, 53), 0)));
  EXPECT_THAT(vips_of(*steering),
              ElementsAre(testing::Pair(kept_vip, 0x5eed), testing::Pair(key("203.0.113.12"), 0)));
}

TEST(Steering, LeadsAServiceOverToAListOfSourcesThatChanged) {
  const auto steering = load();
  const auto rules = [](const char* allow, const char* deny) {
    return std::make_shared<const SourceRules>(std::vector<IpPrefix>{*IpPrefix::parse(allow)},
                                               std::vector<IpPrefix>{*IpPrefix::parse(deny)});
  };
  SteeredService wide = {{*IpPrefix::parse("203.0.113.0/24"), 400, 499, kProtoTcp},
                         rules("192.0.2.0/24", "192.0.2.1")};
  const auto denied = [&] {
    const uint64_t before = steering->counters().denied;
    run(*steering, syn("203.0.113.10", 443));  // from 192.0.2.1
    return steering->counters().denied - before;
  };
  ASSERT_TRUE(steering->set_services({wide}));
  EXPECT_EQ(denied(), 1u);
  wide.sources = rules("192.0.2.0/24", "192.0.2.2");
  ASSERT_TRUE(steering->set_services({wide}));
  EXPECT_EQ(denied(), 0u);
  EXPECT_EQ(run(*steering, syn("203.0.113.10", 443)), static_cast<uint32_t>(XDP_DROP)) << "still steered";
  wide.sources = rules("198.51.100.0/24", "192.0.2.2");
  ASSERT_TRUE(steering->set_services({wide}));
  EXPECT_EQ(denied(), 1u) << "not in the list of the allowed";
  wide.sources = nullptr;
  ASSERT_TRUE(steering->set_services({wide}));
  EXPECT_EQ(denied(), 0u);
  EXPECT_THAT(Map(*steering, "sources").entries(sizeof(xebec_source_key)), IsEmpty());
  ASSERT_TRUE(steering->set_services({}));
  EXPECT_EQ(run(*steering, syn("203.0.113.10", 443)), static_cast<uint32_t>(XDP_PASS));
  EXPECT_THAT(Map(*steering, "prefixes").entries(sizeof(xebec_prefix_key)), IsEmpty());
  EXPECT_THAT(Map(*steering, "ranges").entries(sizeof(xebec_range_key)), IsEmpty());
}

std::vector<SteeredService> many(uint16_t first_port, std::size_t count) {
  std::vector<SteeredService> services;
  for (std::size_t i = 0; i < count; i++)
    services.push_back(service("203.0.113.10", kProtoTcp, static_cast<uint16_t>(first_port + i)));
  return services;
}

TEST(Steering, ReplacesEverythingWhenTheMapIsFull) {
  const auto steering = load();
  ASSERT_TRUE(steering->set_services(many(1, XEBEC_MAX_SERVICES)));
  const auto replaced = steering->set_services(many(20000, XEBEC_MAX_SERVICES));
  ASSERT_TRUE(replaced) << replaced.error().message;
  EXPECT_EQ(services_of(*steering).size(), std::size_t{XEBEC_MAX_SERVICES});
  EXPECT_TRUE(services_of(*steering).contains(key("203.0.113.10", 6, 20000)));
}

TEST(Steering, ChangesNothingWhenTheChangeCannotBe) {
  const auto steering = load();
  ASSERT_TRUE(steering->set_services(many(443, 1)));
  const auto before = services_of(*steering);
  const auto too_many = steering->set_services(many(1, XEBEC_MAX_SERVICES + 1));
  ASSERT_FALSE(too_many);
  EXPECT_THAT(too_many.error().message, AllOf(HasSubstr("4097"), HasSubstr("4096")));
  const auto portless = steering->set_services({service("203.0.113.10", kProtoIpip, 80)});
  ASSERT_FALSE(portless);
  EXPECT_THAT(portless.error().message, AllOf(HasSubstr("203.0.113.10 port 80"), HasSubstr("no ports")));
  EXPECT_EQ(services_of(*steering), before);
}

TEST(Steering, GoesBackWhenTheKernelRefusesHalfWay) {
  const auto steering = load();
  ASSERT_TRUE(steering->set_services(
      {service("203.0.113.10", kProtoTcp, 443), service("203.0.113.11", kProtoTcp, 1)}));
  const auto services = services_of(*steering), vips = vips_of(*steering);
  // Somebody else's entries fill the map, so that the kernel takes only some of the new ones.
  Bytes intruder = key("198.51.100.1", 6, 0);
  const xebec_service_value value{};
  {
    const Map map(*steering, "services");
    for (uint16_t port = 1; port <= XEBEC_MAX_SERVICE_ENTRIES - 4; port++) {
      intruder[16] = static_cast<uint8_t>(port >> 8);
      intruder[17] = static_cast<uint8_t>(port);
      ASSERT_EQ(bpf_map_update_elem(map.fd(), intruder.data(), &value, BPF_ANY), 0);
    }
  }
  std::vector<SteeredService> wanted = many(5000, 50);
  const auto refused = steering->set_services(wanted);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("steer 203.0.113.10 port"));
  EXPECT_EQ(vips_of(*steering), vips);
  auto ours = services_of(*steering);
  std::erase_if(ours, [](const auto& entry) { return entry.first[12] == 198; });
  EXPECT_EQ(ours, services);
}

TEST(Steering, NeverPassesAServicesPacketsWhileItsEntryIsReplaced) {
  const auto steering = load();
  const std::vector<SteeredService> exact = {service("203.0.113.10", kProtoTcp, 443)};
  const std::vector<SteeredService> any = {service("203.0.113.10", kProtoTcp, kAny)};
  ASSERT_TRUE(steering->set_services(exact));
  // The kernel runs the packets one after another while the map changes, so that a gap of a microsecond is
  // met. Each that is steered counts as without socket.
  constexpr uint64_t kPackets = 2'000'000, kRepeat = 20'000;
  std::atomic<bool> done = false;
  std::thread traffic([&] {
    for (uint64_t packets = 0; packets < kPackets; packets += kRepeat)
      run(*steering, syn("203.0.113.10", 443), nullptr, static_cast<int>(kRepeat));
    done = true;
  });
  uint64_t changes = 0;
  while (!done) ASSERT_TRUE(steering->set_services(changes++ % 2 == 0 ? any : exact));
  traffic.join();
  EXPECT_EQ(steering->counters().no_socket, kPackets) << "the others were passed; " << changes << " changes";
  EXPECT_GT(changes, 10u);
}

TEST(Steering, GivesEachQueueItsHeartbeatAndItsSocket) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 2);
  const auto steering = load(FallbackVerdict::drop, 3'600'000'000'000u);
  ASSERT_TRUE(steering->set_services({service("203.0.113.10", kProtoTcp, 443)}));
  ASSERT_TRUE(steering->attach(ifindex, XdpMode::native));  // registers the queues a test run may name
  const int xsk = socket(AF_XDP, SOCK_RAW, 0);
  ASSERT_GE(xsk, 0);
  ASSERT_TRUE(steering->set_socket(1, xsk));

  const Bytes frame = syn("203.0.113.10", 443);
  const auto run_on = [&](uint32_t queue) {
    xdp_md context{};
    context.data_end = static_cast<uint32_t>(frame.size());
    context.ingress_ifindex = static_cast<uint32_t>(ifindex);
    context.rx_queue_index = queue;
    return run(*steering, frame, &context);
  };
  EXPECT_EQ(run_on(1), static_cast<uint32_t>(XDP_DROP)) << "no heartbeat yet";
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  for (const uint32_t queue : {0u, 1u}) {
    std::atomic_ref<uint64_t>(*steering->heartbeat(queue))
        .store(static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + 1);
  }
  EXPECT_EQ(run_on(0), static_cast<uint32_t>(XDP_DROP)) << "the other queue's socket";
  EXPECT_EQ(run_on(1), static_cast<uint32_t>(XDP_REDIRECT));
  steering->clear_socket(1);
  steering->clear_socket(1);
  EXPECT_EQ(run_on(1), static_cast<uint32_t>(XDP_DROP));
  ASSERT_TRUE(steering->set_socket(1, xsk));
  steering->detach();
  ASSERT_TRUE(steering->attach(ifindex, XdpMode::native));
  EXPECT_EQ(run_on(1), static_cast<uint32_t>(XDP_DROP)) << "the socket may be of an interface that is gone";
  const ShimCounters counters = steering->counters();
  EXPECT_EQ(counters.steered, 1u);
  EXPECT_EQ(counters.no_socket, 3u);
  EXPECT_EQ(counters.stale, 1u);

  EXPECT_EQ(steering->heartbeat(XEBEC_MAX_QUEUES), nullptr);
  EXPECT_THAT(steering->set_socket(XEBEC_MAX_QUEUES, xsk).error().message, HasSubstr("queue 256"));
  EXPECT_FALSE(steering->set_socket(0, STDERR_FILENO)) << "not an AF_XDP socket";
  close(xsk);
}

TEST(Steering, PutsHeartbeatsOfAllQueuesOnCacheLinesOfTheirOwn) {
  const auto steering = load();
  for (uint32_t queue = 0; queue < XEBEC_MAX_QUEUES; queue++) {
    ASSERT_NE(steering->heartbeat(queue), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(steering->heartbeat(queue)) % 64, 0u);
    *steering->heartbeat(queue) = queue + 1;
    xebec_heartbeat seen{};
    ASSERT_EQ(bpf_map_lookup_elem(Map(*steering, "heartbeats").fd(), &queue, &seen), 0);
    EXPECT_EQ(seen.at_ns, queue + 1);
  }
}

TEST(Steering, AttachesInTheModeAskedFor) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  const auto steering = load();
  EXPECT_EQ(steering->attached(), "");
  for (const XdpMode mode : {XdpMode::automatic, XdpMode::native, XdpMode::generic}) {
    const auto attached = steering->attach(ifindex, mode);
    ASSERT_TRUE(attached) << attached.error().message;
    const bool generic = mode == XdpMode::generic;
    EXPECT_EQ(steering->attached(), generic ? "generic" : "native");
    EXPECT_EQ(steering->native_refusal(), "");
    EXPECT_NE(generic ? generic_program(ifindex) : native_program(ifindex), 0u);
    EXPECT_THAT(steering->attach(ifindex, mode).error().message, HasSubstr("attached already"));
    steering->detach();
    EXPECT_EQ(steering->attached(), "");
    EXPECT_EQ(native_program(ifindex), 0u);
    EXPECT_EQ(generic_program(ifindex), 0u);
  }
}

TEST(Steering, FallsBackToGenericAndSaysWhy) {
  PrivateNetwork network;
  const int loopback = static_cast<int>(if_nametoindex("lo"));
  const auto steering = load();
  const auto native = steering->attach(loopback, XdpMode::native);
  ASSERT_FALSE(native);
  EXPECT_EQ(native.error().kind, SteeringError::Kind::unsupported);
  EXPECT_THAT(native.error().message,
              AllOf(HasSubstr("attach to lo in native mode"), HasSubstr("native mode")));
  EXPECT_EQ(steering->attached(), "");

  ASSERT_TRUE(steering->attach(loopback, XdpMode::automatic));
  EXPECT_EQ(steering->attached(), "generic");
  EXPECT_NE(steering->native_refusal(), "");
}

TEST(Steering, TellsTheDriversOwnReason) {
  PrivateNetwork network;
  ip("link add shim0 numrxqueues 1 numtxqueues 1 up type veth peer name shim1 numrxqueues 2 numtxqueues 2");
  const int ifindex = static_cast<int>(if_nametoindex("shim0"));
  const auto steering = load();
  const auto native = steering->attach(ifindex, XdpMode::native);
  ASSERT_FALSE(native);
  EXPECT_EQ(native.error().kind, SteeringError::Kind::unsupported);
  EXPECT_THAT(native.error().message, HasSubstr("number of rx queues"));
  EXPECT_EQ(native_program(ifindex), 0u);
}

TEST(Steering, TakesAnInterfaceWithPacketsLongerThanABuffer) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  ip("link set shim1 mtu 9000");
  const auto steering = load();
  ASSERT_TRUE(steering->attach(ifindex, XdpMode::native));
  EXPECT_NE(native_program(ifindex), 0u);
}

TEST(Steering, RefusesAnInterfaceThatIsNotThere) {
  PrivateNetwork network;
  const auto attached = load()->attach(4711, XdpMode::automatic);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().kind, SteeringError::Kind::other);
  EXPECT_THAT(attached.error().message, AllOf(HasSubstr("interface 4711"), HasSubstr("No such device")));
}

TEST(Steering, NamesTheForeignProgramAndLeavesIt) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  const auto steering = load();
  const int foreign = load_foreign_program("foreign_pass");
  for (const uint32_t flags : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    ASSERT_EQ(bpf_xdp_attach(ifindex, foreign, flags, nullptr), 0);
    for (const XdpMode mode : {XdpMode::automatic, XdpMode::native, XdpMode::generic}) {
      const auto attached = steering->attach(ifindex, mode);
      ASSERT_FALSE(attached) << flags;
      EXPECT_EQ(attached.error().kind, SteeringError::Kind::foreign_program) << attached.error().message;
      EXPECT_THAT(attached.error().message, AllOf(HasSubstr("\"foreign_pass\""), HasSubstr("shim0")));
    }
    EXPECT_NE(flags == XDP_FLAGS_DRV_MODE ? native_program(ifindex) : generic_program(ifindex), 0u);
    ASSERT_EQ(bpf_xdp_detach(ifindex, flags, nullptr), 0);
  }
  close(foreign);
}

TEST(Steering, NamesTheDispatcherOfLibxdpAndTheWayOut) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  const auto steering = load();
  const int dispatcher = load_foreign_program("xdp_dispatcher");
  ASSERT_EQ(bpf_xdp_attach(ifindex, dispatcher, XDP_FLAGS_DRV_MODE, nullptr), 0);
  const auto attached = steering->attach(ifindex, XdpMode::automatic);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().kind, SteeringError::Kind::foreign_program);
  EXPECT_THAT(attached.error().message, AllOf(HasSubstr("shim0"), HasSubstr("libxdp's dispatcher"),
                                              HasSubstr("xdp-loader unload shim0 --all")));
  EXPECT_NE(native_program(ifindex), 0u);
  close(dispatcher);
}

TEST(Steering, NamesAnotherShim) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  const auto first = load(), second = load();
  ASSERT_TRUE(first->attach(ifindex, XdpMode::automatic));
  const auto refused = second->attach(ifindex, XdpMode::automatic);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, SteeringError::Kind::other_shim);
  EXPECT_THAT(refused.error().message, HasSubstr("\"xebec_shim\""));
  EXPECT_EQ(first->attached(), "native");
}

TEST(Steering, SeesThatTheInterfaceIsGone) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  const auto steering = load();
  ASSERT_TRUE(steering->attach(ifindex, XdpMode::automatic));
  ip("link del shim0");
  EXPECT_EQ(steering->attached(), "");
  const int again = network.add_veth("shim0", "shim1", 1);
  EXPECT_TRUE(steering->attach(again, XdpMode::automatic));
  EXPECT_EQ(steering->attached(), "native");
}

TEST(Steering, LeavesNothingBehindWhenKilled) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe(ready.data()), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto steering = load();
    const char verdict = steering->attach(ifindex, XdpMode::automatic) ? 'y' : 'n';
    if (write(ready[1], &verdict, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char verdict = 0;
  EXPECT_EQ(read(ready[0], &verdict, 1), 1);
  EXPECT_EQ(verdict, 'y');
  EXPECT_NE(native_program(ifindex), 0u);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(eventually([&] { return native_program(ifindex) == 0; }));
  close(ready[0]);
  close(ready[1]);
}

TEST(Steering, NeedsOnlyCapBpfAndCapNetAdmin) {
  PrivateNetwork network;
  const int ifindex = network.add_veth("shim0", "shim1", 1);
  const std::string answer = in_child([&]() -> std::string {
    keep_only_capabilities({CAP_BPF, CAP_NET_ADMIN});
    auto steering = Steering::load(FallbackVerdict::drop, 1);
    if (!steering) return steering.error().message;
    if (const auto attached = (*steering)->attach(ifindex, XdpMode::automatic); !attached)
      return attached.error().message;
    // Held descriptors are enough from here on, also to attach again.
    keep_only_capabilities({});
    (*steering)->detach();
    if (const auto attached = (*steering)->attach(ifindex, XdpMode::automatic); !attached)
      return attached.error().message;
    const auto set = (*steering)->set_services({service("203.0.113.10", kProtoTcp, 443)});
    return set ? std::string((*steering)->attached()) : set.error().message;
  });
  EXPECT_EQ(answer, "native");
}

TEST(Steering, NamesTheMissingCapabilityAndPrintsNothing) {
  const auto load_with = [](const std::vector<int>& capabilities) {
    return in_child([&]() -> std::string {
      keep_only_capabilities(capabilities);
      const auto steering = Steering::load(FallbackVerdict::drop, 1);
      if (steering) return "loaded";
      return (steering.error().kind == SteeringError::Kind::permission ? "permission: "
                                                                       : "not permission: ") +
             steering.error().message;
    });
  };
  // The whole output of the child, so that anything libbpf printed would show.
  const std::string prefix = "permission: load the shim into the kernel: not permitted: this process lacks ";
  EXPECT_EQ(load_with({}), prefix + "CAP_BPF and CAP_NET_ADMIN");
  EXPECT_EQ(load_with({CAP_NET_ADMIN}), prefix + "CAP_BPF");
  EXPECT_EQ(load_with({CAP_BPF}), prefix + "CAP_NET_ADMIN");
}

/// A packet socket on one end of the pair: what the host's stack is given there, and a way to send.
class PacketSocket {
 public:
  explicit PacketSocket(const char* interface)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL))) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("bind");
  }
  ~PacketSocket() { close(fd_); }
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  bool send(const Bytes& frame) const {
    return ::send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  /// Frames until `last` arrives, that one included; what is not one of `known` is left out (the stack's own
  /// chatter).
  std::vector<Bytes> receive_until(const Bytes& last, const std::vector<Bytes>& known) const {
    std::vector<Bytes> frames;
    eventually([&] {
      Bytes frame(2048);
      for (ssize_t length; (length = recv(fd_, frame.data(), frame.size(), 0)) > 0; frame.resize(2048)) {
        frame.resize(static_cast<std::size_t>(length));
        if (std::find(known.begin(), known.end(), frame) != known.end()) frames.push_back(frame);
        if (frame == last) return true;
      }
      return false;
    });
    return frames;
  }

 private:
  int fd_;
};

TEST(Steering, KeepsServicesFromTheHostAndNothingElseOnALiveInterface) {
  for (const XdpMode mode : {XdpMode::native, XdpMode::generic}) {
    PrivateNetwork network;
    const int ifindex = network.add_veth("shim0", "shim1", 1);
    const auto steering = load();
    ASSERT_TRUE(steering->set_services({service("203.0.113.10", kProtoTcp, 443)}));
    ASSERT_TRUE(steering->attach(ifindex, mode));
    const PacketSocket client("shim1"), host("shim0");
    const auto udp = [](uint16_t port) {
      return FrameBuilder()
          .ethernet()
          .ipv4("192.0.2.1", "203.0.113.10")
          .udp(40000, port)
          .payload(Bytes(32))
          .build();
    };
    const std::vector<Bytes> sent = {udp(1),
                                     syn("203.0.113.10", 443),
                                     syn("203.0.113.10", 444),
                                     syn("203.0.113.10", 443),
                                     syn("203.0.113.1", 443),
                                     udp(2)};
    for (const Bytes& frame : sent) ASSERT_TRUE(client.send(frame));
    EXPECT_THAT(host.receive_until(sent[5], sent), ElementsAre(sent[0], sent[2], sent[4], sent[5]));
    EXPECT_EQ(steering->counters().no_socket, 2u);
    EXPECT_EQ(steering->counters().steered, 0u);
  }
}

}  // namespace
}  // namespace xebec::test
