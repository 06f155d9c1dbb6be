// SPDX-License-Identifier: BSD-2-Clause
// The event loop, every case on both backends.
#include "control/event_loop.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;

struct SocketPair {
  SocketPair() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  ~SocketPair() {
    close_end(0);
    close_end(1);
  }
  void close_end(std::size_t end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
  void send(char byte) { EXPECT_EQ(write(ends[1], &byte, 1), 1); }
  char receive() {
    char byte = 0;
    return read(ends[0], &byte, 1) == 1 ? byte : '\0';
  }
  std::array<int, 2> ends{-1, -1};
};

class EventLoopTest : public testing::TestWithParam<EventLoop::Backend> {
 protected:
  void SetUp() override {
    auto made = EventLoop::create(GetParam());
    ASSERT_TRUE(made.has_value()) << made.error();
    loop_ = std::move(*made);
    // No case may hang: past this the loop stops by itself and the case fails.
    loop_->after(10s, [this] {
      ADD_FAILURE() << "still running after 10 s";
      loop_->stop();
    });
  }
  /// Lets everything that is ready now be called back.
  void run_for(Clock::duration duration) {
    loop_->after(duration, [this] { loop_->stop(); });
    loop_->run();
  }
  std::unique_ptr<EventLoop> loop_;
};

TEST_P(EventLoopTest, NamesItsBackend) {
  const bool uring = GetParam() == EventLoop::Backend::io_uring;
  EXPECT_EQ(loop_->backend(), uring ? "io_uring" : "epoll");
  EXPECT_EQ(loop_->why(), uring ? "" : "epoll was asked for");
}

TEST_P(EventLoopTest, CallsBackWhenReadable) {
  SocketPair pair;
  std::string got;
  loop_->watch(pair.ends[0], POLLIN, [&](short revents) {
    EXPECT_EQ(revents, POLLIN);
    got += pair.receive();
    loop_->stop();
  });
  loop_->after(1ms, [&] { pair.send('a'); });
  loop_->run();
  EXPECT_EQ(got, "a");
}

TEST_P(EventLoopTest, IsLevelTriggered) {
  SocketPair pair;
  for (const char byte : {'a', 'b', 'c'}) pair.send(byte);
  std::string got;
  loop_->watch(pair.ends[0], POLLIN, [&](short) {
    got += pair.receive();  // one byte a call, though three are there
    if (got.size() == 3) loop_->stop();
  });
  loop_->run();
  EXPECT_EQ(got, "abc");
}

TEST_P(EventLoopTest, ReportsOnlyTheEventsAskedFor) {
  SocketPair pair;
  pair.send('a');
  std::vector<short> seen;
  loop_->watch(pair.ends[0], POLLOUT, [&](short revents) {
    seen.push_back(revents);
    loop_->stop();
  });
  loop_->run();
  EXPECT_EQ(seen, std::vector<short>{POLLOUT});
}

TEST_P(EventLoopTest, ReportsHangUpWithoutBeingAsked) {
  SocketPair pair;
  pair.close_end(1);
  short seen = 0;
  loop_->watch(pair.ends[0], 0, [&](short revents) {
    seen = revents;
    loop_->stop();
  });
  loop_->run();
  EXPECT_TRUE(seen & POLLHUP) << seen;
}

TEST_P(EventLoopTest, KeepsTwoWatchesOfOneDescriptorApart) {
  SocketPair pair;
  int reads = 0;
  int writes = 0;
  loop_->watch(pair.ends[0], POLLIN, [&](short revents) {
    EXPECT_EQ(revents, POLLIN);
    pair.receive();
    ++reads;
  });
  EventLoop::WatchId writable = 0;
  writable = loop_->watch(pair.ends[0], POLLOUT, [&](short revents) {
    EXPECT_EQ(revents, POLLOUT);
    ++writes;
    loop_->unwatch(writable);
    pair.send('a');
  });
  run_for(50ms);
  EXPECT_EQ(writes, 1);
  EXPECT_EQ(reads, 1);
}

TEST_P(EventLoopTest, SeesThroughAnEpollDescriptor) {  // as libmicrohttpd gives us
  SocketPair pair;
  const int inner = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(inner, EPOLL_CTL_ADD, pair.ends[0], &event), 0);
  int calls = 0;
  const auto watch = loop_->watch(inner, POLLIN, [&](short) {
    pair.receive();
    if (++calls == 3) return loop_->stop();
    pair.send('b');
  });
  loop_->after(1ms, [&] { pair.send('a'); });
  loop_->run();
  EXPECT_EQ(calls, 3);
  loop_->unwatch(watch);
  close(inner);
}

TEST_P(EventLoopTest, ReportsAnUnpollableDescriptorOnceAndDoesNotSpin) {
  const int closed = eventfd(0, EFD_CLOEXEC);
  close(closed);
  std::vector<short> calls;
  loop_->watch(closed, POLLIN, [&](short revents) { calls.push_back(revents); });
  run_for(30ms);
  EXPECT_EQ(calls, std::vector<short>{POLLNVAL});
}

TEST_P(EventLoopTest, UnwatchedDescriptorsAreSilent) {
  SocketPair pair;
  int calls = 0;
  const auto id = loop_->watch(pair.ends[0], POLLIN, [&](short) { ++calls; });
  pair.send('a');
  loop_->unwatch(id);
  loop_->unwatch(id);   // twice is harmless
  loop_->unwatch(999);  // so is what never was
  run_for(20ms);
  EXPECT_EQ(calls, 0);
}

TEST_P(EventLoopTest, CallbackMayRemoveItself) {
  SocketPair pair;
  pair.send('a');
  int calls = 0;
  EventLoop::WatchId id = 0;
  const std::string long_enough_to_be_on_the_heap(100, 'x');
  id = loop_->watch(pair.ends[0], POLLIN, [&, copy = long_enough_to_be_on_the_heap](short) {
    loop_->unwatch(id);
    ++calls;
    EXPECT_EQ(copy, long_enough_to_be_on_the_heap);  // what it captured outlives the watch
  });
  run_for(20ms);
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, CallbackMayRemoveAnotherThatIsReadyToo) {
  SocketPair first;
  SocketPair second;
  first.send('a');
  second.send('a');
  EventLoop::WatchId ids[2] = {0, 0};
  int calls = 0;
  ids[0] = loop_->watch(first.ends[0], POLLIN, [&](short) {
    ++calls;
    loop_->unwatch(ids[0]);
    loop_->unwatch(ids[1]);
  });
  ids[1] = loop_->watch(second.ends[0], POLLIN, [&](short) {
    ++calls;
    loop_->unwatch(ids[0]);
    loop_->unwatch(ids[1]);
  });
  run_for(20ms);
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, ReusedDescriptorNumbersDoNotInheritEvents) {
  SocketPair old_pair;
  SocketPair trigger;
  const int number = old_pair.ends[0];
  old_pair.send('a');
  trigger.send('a');
  int old_calls = 0;
  int new_calls = 0;
  std::optional<SocketPair> new_pair;
  const auto old_id = loop_->watch(number, POLLIN, [&](short) { ++old_calls; });
  EventLoop::WatchId trigger_id = 0;
  trigger_id = loop_->watch(trigger.ends[0], POLLIN, [&](short) {
    loop_->unwatch(trigger_id);
    loop_->unwatch(old_id);
    old_pair.close_end(0);
    new_pair.emplace();
    ASSERT_EQ(new_pair->ends[0], number) << "the lowest free number is expected back";
    loop_->watch(number, POLLIN, [&](short) { ++new_calls; });
    old_calls = 0;
  });
  run_for(30ms);
  EXPECT_EQ(old_calls, 0);
  EXPECT_EQ(new_calls, 0);
  ASSERT_TRUE(new_pair.has_value());
  new_pair->send('b');
  run_for(10ms);
  EXPECT_GT(new_calls, 0);
}

TEST_P(EventLoopTest, ClosingAfterUnwatchReachesThePeerAtOnce) {
  SocketPair pair;
  const auto id = loop_->watch(pair.ends[0], POLLIN, [](short) {});
  run_for(1ms);  // the poll is in flight
  loop_->unwatch(id);
  pair.close_end(0);
  pollfd peer{pair.ends[1], POLLIN, 0};
  EXPECT_EQ(poll(&peer, 1, 0), 1) << "the kernel still holds the closed socket";
}

TEST_P(EventLoopTest, CallbackMayAddWatches) {
  SocketPair first;
  SocketPair second;
  first.send('a');
  second.send('b');
  std::string got;
  loop_->watch(first.ends[0], POLLIN, [&](short) {
    got += first.receive();
    loop_->watch(second.ends[0], POLLIN, [&](short) {
      got += second.receive();
      loop_->stop();
    });
  });
  loop_->run();
  EXPECT_EQ(got, "ab");
}

TEST_P(EventLoopTest, ServesMoreDescriptorsThanTheRingHasSlots) {
  constexpr int kCount = 400;
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_GT(limit.rlim_cur, rlim_t{kCount + 100});
  std::vector<int> fds;
  int calls = 0;
  for (int i = 0; i < kCount; ++i) {
    const int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT_GE(fd, 0);
    fds.push_back(fd);
    loop_->watch(fd, POLLIN, [&calls, fd, this](short) {
      uint64_t value = 0;
      EXPECT_EQ(read(fd, &value, sizeof value), ssize_t{sizeof value});
      if (++calls == kCount) loop_->stop();
    });
  }
  loop_->run();
  EXPECT_EQ(calls, kCount);
  loop_.reset();
  for (const int fd : fds) close(fd);
}

TEST_P(EventLoopTest, TimersFireInOrderAndNotEarly) {
  const auto start = Clock::now();
  std::vector<int> order;
  for (const int delay : {30, 10, 20}) {
    loop_->at(start + std::chrono::milliseconds(delay), [&, delay] {
      EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(delay));
      order.push_back(delay);
      if (order.size() == 3) loop_->stop();
    });
  }
  loop_->run();
  EXPECT_EQ(order, (std::vector<int>{10, 20, 30}));
}

TEST_P(EventLoopTest, TimersOfOneInstantFireInTheOrderTheyWereSet) {
  const auto when = Clock::now() + 5ms;
  std::string order;
  for (const char name : std::string("abcd")) loop_->at(when, [&order, name] { order += name; });
  run_for(20ms);
  EXPECT_EQ(order, "abcd");
}

TEST_P(EventLoopTest, CancelledTimersNeverFire) {
  int calls = 0;
  const auto id = loop_->after(1ms, [&] { ++calls; });
  loop_->cancel(id);
  loop_->cancel(id);
  loop_->cancel(12345);
  run_for(10ms);
  EXPECT_EQ(calls, 0);
}

TEST_P(EventLoopTest, TimerMayCancelAnotherThatIsDueToo) {
  const auto when = Clock::now() - 1ms;
  int calls = 0;
  EventLoop::TimerId second = 0;
  EventLoop::TimerId first = 0;
  first = loop_->at(when, [&] {
    ++calls;
    loop_->cancel(first);  // itself: harmless
    loop_->cancel(second);
  });
  second = loop_->at(when, [&] { ++calls; });
  run_for(10ms);
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, TimerThatSetsItselfForNowDoesNotStarveDescriptors) {
  SocketPair pair;
  pair.send('a');
  int turns = 0;
  std::function<void()> again = [&] {
    ++turns;
    loop_->after(0ms, again);
  };
  loop_->after(0ms, again);
  loop_->watch(pair.ends[0], POLLIN, [&](short) { loop_->stop(); });
  loop_->run();
  EXPECT_LE(turns, 3);
}

TEST_P(EventLoopTest, StopLeavesOtherReadyDescriptorsForTheNextRun) {
  SocketPair first;
  SocketPair second;
  first.send('a');
  second.send('b');
  std::string got;
  for (SocketPair* pair : {&first, &second}) {
    loop_->watch(pair->ends[0], POLLIN, [&got, pair, this](short) {
      got += pair->receive();
      loop_->stop();
    });
  }
  loop_->run();
  EXPECT_EQ(got.size(), 1u) << "nothing runs after stop()";
  loop_->run();
  EXPECT_EQ(got.size(), 2u);
}

TEST_P(EventLoopTest, SleepsWhileNothingHappens) {
  SocketPair pair;
  loop_->watch(pair.ends[0], POLLIN, [](short) {});
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  run_for(200ms);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  const auto used = std::chrono::seconds(after.tv_sec - before.tv_sec) +
                    std::chrono::nanoseconds(after.tv_nsec - before.tv_nsec);
  EXPECT_LT(used, 50ms);
}

INSTANTIATE_TEST_SUITE_P(BothBackends, EventLoopTest,
                         testing::Values(EventLoop::Backend::io_uring, EventLoop::Backend::epoll),
                         [](const auto& param) {
                           return std::string(param.param == EventLoop::Backend::epoll ? "Epoll" : "IoUring");
                         });

/// Makes one system call fail with `error` in this process, for ever.
void forbid(int system_call, int error) {
  const sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offsetof(seccomp_data, nr))),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(system_call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{static_cast<unsigned short>(std::size(program)), const_cast<sock_filter*>(program)};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(99);
  }
}

struct Refusal {
  const char* name;
  int system_call;
  int error;
};

class RefusedIoUring : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedIoUring, FallsBackToEpollAndSaysWhy) {
  const Refusal refusal = GetParam();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    forbid(refusal.system_call, refusal.error);
    auto asked = EventLoop::create(EventLoop::Backend::io_uring);
    if (asked.has_value()) _exit(1);
    auto loop = EventLoop::create();
    if (!loop.has_value()) _exit(2);
    if ((*loop)->backend() != "epoll") _exit(3);
    if ((*loop)->why() != asked.error() ||
        (*loop)->why().find(std::strerror(refusal.error)) == std::string_view::npos) {
      _exit(4);
    }
    bool fired = false;
    (*loop)->after(1ms, [&] {
      fired = true;
      (*loop)->stop();
    });
    (*loop)->run();
    _exit(fired ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

INSTANTIATE_TEST_SUITE_P(Refusals, RefusedIoUring,
                         testing::Values(Refusal{"SetupEperm", __NR_io_uring_setup, EPERM},
                                         Refusal{"SetupEnosys", __NR_io_uring_setup, ENOSYS},
                                         Refusal{"SetupEnomem", __NR_io_uring_setup, ENOMEM},
                                         Refusal{"EnterEperm", __NR_io_uring_enter, EPERM}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace xebec
