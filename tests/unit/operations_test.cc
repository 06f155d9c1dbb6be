// SPDX-License-Identifier: BSD-2-Clause
// What surrounds the daemon: systemd's notify socket, whose process holds the lock, who may change things, what threads
// give away.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include <fmt/format.h>

#include "control/access.h"
#include "control/confinement.h"
#include "control/daemon_process.h"
#include "control/installation.h"
#include "control/supervisor.h"

namespace xebec {
namespace {

using testing::HasSubstr;

/// A notify socket, as systemd has one.
class NotifySocket {
 public:
  /// "@NAME" or a path.
  explicit NotifySocket(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
              0);
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket() { close(fd_); }

  /// What has come, or "".
  std::string heard() {
    char text[512] = {};
    const ssize_t n = recv(fd_, text, sizeof text, 0);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
  }

 private:
  int fd_ = -1;
};

TEST(Supervisor, SaysWhatSdNotifyAsksForOnPathsAndAbstractNames) {
  char directory[] = "/tmp/xebec-notify-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  for (const std::string& name :
       {std::string(directory) + "/notify", fmt::format("@xebec-operations-test-{}", getpid())}) {
    NotifySocket systemd(name);
    const Supervisor supervisor(name);
    supervisor.ready("healthy");
    EXPECT_EQ(systemd.heard(), "READY=1\nSTATUS=healthy");
    supervisor.reloading();
    EXPECT_THAT(systemd.heard(), testing::MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"));
    supervisor.alive();
    EXPECT_EQ(systemd.heard(), "WATCHDOG=1");
    supervisor.stopping();
    EXPECT_THAT(systemd.heard(), HasSubstr("STOPPING=1"));
    EXPECT_EQ(systemd.heard(), "");
  }
  std::filesystem::remove_all(directory);
}

TEST(Supervisor, TakesItsVariablesOutOfTheEnvironment) {
  setenv("NOTIFY_SOCKET", "/run/x", 1);
  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  const Supervisor ours = Supervisor::from_environment();
  EXPECT_TRUE(ours.listens());
  EXPECT_EQ(ours.watchdog(), std::chrono::seconds(3));
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_FALSE(Supervisor::from_environment().listens());

  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(Supervisor::from_environment().watchdog().count(), 0) << "the watchdog of another process";
}

TEST(Supervisor, SpeaksToNobodyWhereTheNameIsNoSocket) {
  for (const char* name : {"", "@", "relative", "vsock:2:1234"})
    EXPECT_FALSE(Supervisor(name).listens()) << name;
  Supervisor("/nowhere/at/all").alive();
}

TEST(Heartbeats, AreAllMovedOnlyWhenEachHasSinceTheyLastWere) {
  Heartbeats beats;
  const auto moved = [&beats](std::initializer_list<uint64_t> now) {
    return beats.all_moved(std::vector<uint64_t>(now));
  };
  EXPECT_TRUE(moved({1, 1})) << "nothing is known of before";
  EXPECT_FALSE(moved({1, 2})) << "the first stands";
  EXPECT_FALSE(moved({1, 3}));
  EXPECT_TRUE(moved({2, 3})) << "both have moved since (1, 1)";
  EXPECT_FALSE(moved({3, 3}));
  EXPECT_TRUE(moved({3})) << "there are fewer now";
  EXPECT_TRUE(moved({}));
}

TEST(DaemonProcess, IsInTheKernelsListOfLocksOrIsNone) {
  constexpr std::string_view kLocks =
      "1: POSIX  ADVISORY  WRITE 4242 00:1a:77 0 EOF\n"
      "2: FLOCK  ADVISORY  WRITE 4242 00:1a:1337 0 EOF\n"
      "2: -> FLOCK  ADVISORY  WRITE 99 00:1a:1337 0 EOF\n"
      "3: FLOCK  ADVISORY  READ 4243 00:1a:1337 0 EOF\n";
  EXPECT_TRUE(holds_flock(kLocks, 4242, 1337));
  EXPECT_FALSE(holds_flock(kLocks, 4242, 77)) << "a lock of another kind";
  EXPECT_FALSE(holds_flock(kLocks, 4242, 133)) << "another file";
  EXPECT_FALSE(holds_flock(kLocks, 4243, 1337)) << "a reader";
  EXPECT_FALSE(holds_flock(kLocks, 99, 1337)) << "one that waits";
  EXPECT_FALSE(holds_flock("", 1, 1));
}

TEST(DaemonProcess, KnowsItsUnitByItsControlGroup) {
  const std::pair<std::string_view, std::string> rows[] = {
      {"0::/system.slice/xebecd.service\n", "xebecd.service"},
      {"0::/system.slice/system-xebecd.slice/xebecd@lb2.service\n", "xebecd@lb2.service"},
      {"12:pids:/x\n0::/system.slice/xebecd.service/sub\n", "xebecd.service"},
      {"0::/user.slice/user-0.slice/session-1.scope\n", ""},
      {"0::/system.slice/notxebecd.service\n", ""},
      {"", ""},
  };
  for (const auto& [text, unit] : rows) EXPECT_EQ(unit_in(text), unit) << text;
}

class FoundDaemon : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_), nullptr);
    socket_ = std::string(directory_) + "/s";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  char directory_[32] = "/tmp/xebec-process-XXXXXX";
  std::string socket_;
};

TEST_F(FoundDaemon, IsTheOneThatHoldsTheLockAndNobodyElse) {
  EXPECT_EQ(*DaemonProcess::find(socket_), nullptr) << "there is no lock";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = InstanceLock::take(socket_ + ".lock");
    (void)!write(ready[1], "x", 1);
    for (;;) pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  auto found = DaemonProcess::find(socket_);
  ASSERT_TRUE(found.has_value()) << found.error();
  ASSERT_NE(*found, nullptr);
  EXPECT_EQ((*found)->pid(), child);
  EXPECT_TRUE((*found)->shares_our_network());
  EXPECT_FALSE((*found)->wait(std::chrono::milliseconds(0)));
  EXPECT_EQ((*found)->signal(SIGKILL), 0);
  EXPECT_TRUE((*found)->wait(std::chrono::seconds(10)));
  waitpid(child, nullptr, 0);
  EXPECT_EQ(*DaemonProcess::find(socket_), nullptr) << "its pid is in the file still, and the lock is free";
  close(ready[0]);
  close(ready[1]);
}

TEST(Access, IsForRootTheDaemonItselfAndTheGroupThatMayWrite) {
  const gid_t groups[] = {100, 977};
  struct Row {
    const char* who;
    Peer peer;
    std::optional<gid_t> writers;
    bool may;
  };
  const Row rows[] = {
      {"root", {0, {}}, std::nullopt, true},
      {"the daemon's user", {990, {}}, std::nullopt, true},
      {"a member", {1000, groups}, 977, true},
      {"a stranger", {1000, groups}, 976, false},
      {"anybody without such a group", {1000, groups}, std::nullopt, false},
      {"nobody knows whom", {static_cast<uid_t>(-1), groups}, std::nullopt, false},
  };
  for (const Row& row : rows) EXPECT_EQ(may_write(row.peer, 990, row.writers), row.may) << row.who;
}

std::string status_of_thread(pid_t thread, const std::string& field) {
  std::ifstream file(fmt::format("/proc/self/task/{}/status", thread));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":\t")) return line.substr(field.size() + 2);
  }
  return "absent";
}

int errno_of(long result) {
  return result < 0 ? errno : 0;
}

/// Runs on a thread that has confined itself, while the test looks at it from outside.
template <typename Inside, typename Outside>
void on_confined_thread(bool injects, Inside inside, Outside outside) {
  std::promise<pid_t> confined;
  std::promise<void> seen;
  std::thread thread([&] {
    const auto result = confine_worker(injects);
    EXPECT_TRUE(result.has_value()) << result.error();
    inside();
    confined.set_value(gettid());
    seen.get_future().wait();
  });
  outside(confined.get_future().get());
  seen.set_value();
  thread.join();
}

TEST(Confinement, LeavesAWorkerNoCapabilityAndNoCallButItsOwn) {
  if (!filters_system_calls()) GTEST_SKIP() << "built with sanitizers";
  std::string ours = status_of_thread(getpid(), "CapPrm");
  on_confined_thread(
      /*injects=*/false,
      [] {
        EXPECT_EQ(errno_of(socket(AF_INET, SOCK_STREAM, 0)), EPERM);
        EXPECT_EQ(errno_of(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", 0)), EPERM);
        EXPECT_EQ(errno_of(syscall(SYS_execve, "/bin/true", nullptr, nullptr)), EPERM);
        EXPECT_EQ(errno_of(syscall(SYS_bpf, BPF_PROG_TEST_RUN, nullptr, 0)), EPERM);
        EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
        void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        EXPECT_NE(memory, MAP_FAILED);
        EXPECT_EQ(munmap(memory, 4096), 0);
        EXPECT_EQ(errno_of(sendto(-1, nullptr, 0, MSG_DONTWAIT, nullptr, 0)), EBADF) << "reaches the kernel";
      },
      [](pid_t thread) {
        for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"})
          EXPECT_EQ(status_of_thread(thread, set), "0000000000000000") << set;
        EXPECT_EQ(status_of_thread(thread, "Seccomp"), "2");
        EXPECT_EQ(status_of_thread(thread, "NoNewPrivs"), "1");
      });
  EXPECT_EQ(status_of_thread(getpid(), "CapPrm"), ours) << "the others keep theirs";
}

TEST(Confinement, LetsAWorkerThatInjectsRunAProgramAndDoNothingElseByBpf) {
  if (!filters_system_calls()) GTEST_SKIP() << "built with sanitizers";
  on_confined_thread(
      /*injects=*/true,
      [] {
        bpf_attr attr{};
        attr.test.prog_fd = static_cast<uint32_t>(-1);
        EXPECT_EQ(errno_of(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr)), EBADF)
            << "reaches the kernel";
        EXPECT_EQ(errno_of(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr)), EPERM);
      },
      [](pid_t) {});
}

}  // namespace
}  // namespace xebec
