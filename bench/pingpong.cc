// SPDX-License-Identifier: BSD-2-Clause
// Request and response: how long one takes, and how many TCP connections can be made, asked on and closed in a second.
//
//   pingpong serve --address A --port P        answers, UDP and TCP, until SIGTERM; says "ready"
//   pingpong ask PROTO --address A --port P    one request after the other on one socket
//   pingpong connect --address A --port P      a connection for each request
//
// A client prints one line of JSON. An answer that is not the request's own ends it with an error.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bench/arguments.h"
#include "bench/measure.h"

namespace xebec::bench {
namespace {

constexpr int kAnswerMs = 1000;  // then it is lost
constexpr std::size_t kMessage = 16;
constexpr int kEvents = 64;

struct Job {
  std::string address, protocol;
  uint16_t port = 0;
  double warm_s = 0, seconds = 0;  // before it counts, and that count
  int cpu = -1;                    // any
  uint32_t concurrency = 0;
};

Job job_of(Arguments arguments) {
  Job job;
  job.address = arguments.text("address", "203.0.113.10");
  job.port = static_cast<uint16_t>(arguments.count("port", 7, 1, 65535));
  job.cpu = static_cast<int>(arguments.number("cpu", -1, 0, CPU_SETSIZE - 1));
  job.warm_s = arguments.number("warm", 0.1, 0, 3600);
  job.seconds = arguments.number("seconds", 1, 0.001, 3600);
  job.concurrency = arguments.count("concurrency", 16, 1, 1024);
  arguments.end();
  return job;
}

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

sockaddr_in address_of(const Job& a) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(a.port);
  require(inet_pton(AF_INET, a.address.c_str(), &address.sin_addr) == 1, "no IPv4 address: " + a.address);
  return address;
}

void set(int fd, int level, int option) {
  const int one = 1;
  require(setsockopt(fd, level, option, &one, sizeof one) == 0, "setsockopt");
}

int bound_socket(const Job& a, int type) {
  const sockaddr_in address = address_of(a);
  const int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  set(fd, SOL_SOCKET, SO_REUSEADDR);
  require(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
          "cannot bind " + a.address + ":" + std::to_string(a.port));
  return fd;
}

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
}

void accept_all(int epoll, int listener) {
  for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    set(fd, IPPROTO_TCP, TCP_NODELAY);
    watch(epoll, fd);
  }
}

void serve(const Job& a) {
  const int udp = bound_socket(a, SOCK_DGRAM), tcp = bound_socket(a, SOCK_STREAM), epoll = epoll_create1(0);
  require(listen(tcp, 4096) == 0, "cannot listen");
  watch(epoll, udp);
  watch(epoll, tcp);
  std::puts("ready");
  std::fflush(stdout);
  std::array<epoll_event, kEvents> events;
  std::array<char, 2048> data;
  for (;;) {
    const int n = epoll_wait(epoll, events.data(), kEvents, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == tcp) {
        accept_all(epoll, tcp);
      } else if (fd == udp) {
        sockaddr_in from{};
        socklen_t length = sizeof from;
        const ssize_t got =
            recvfrom(udp, data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
        if (got > 0)
          (void)sendto(udp, data.data(), static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&from),
                       length);
      } else {
        const ssize_t got = read(fd, data.data(), data.size());
        if (got <= 0 || write(fd, data.data(), static_cast<std::size_t>(got)) != got) close(fd);
      }
    }
  }
}

/// One request and its answer; false if none came in time.
bool exchange(int fd, uint64_t number) {
  std::array<uint64_t, kMessage / sizeof(uint64_t)> out{number, ~number}, in{};
  require(send(fd, out.data(), kMessage, 0) == ssize_t{kMessage}, "cannot send a request");
  for (;;) {
    pollfd one{fd, POLLIN, 0};
    if (poll(&one, 1, kAnswerMs) == 0) return false;
    const ssize_t got = recv(fd, in.data(), kMessage, 0);
    require(got == ssize_t{kMessage} && in[1] == ~in[0] && in[0] <= number, "an answer is not its request's");
    if (in[0] == number) return true;  // else the late answer to one that was given up
  }
}

int connected_socket(const Job& a) {
  const sockaddr_in to = address_of(a);
  const int fd = socket(AF_INET, a.protocol == "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0);
  require(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0, "cannot connect");
  if (a.protocol == "tcp") set(fd, IPPROTO_TCP, TCP_NODELAY);
  return fd;
}

void ask(const Job& a) {
  const int fd = connected_socket(a);
  std::vector<uint32_t> took;  // ns
  took.reserve(1 << 18);
  uint64_t number = 0, lost = 0;
  const uint64_t begin = now_ns(), counts = begin + static_cast<uint64_t>(a.warm_s * 1e9);
  const uint64_t end = counts + static_cast<uint64_t>(a.seconds * 1e9);
  for (uint64_t now = begin; now < end;) {
    const uint64_t sent = now;
    const bool answered = exchange(fd, ++number);
    now = now_ns();
    if (sent < counts) continue;
    if (answered) took.push_back(static_cast<uint32_t>(now - sent));
    if (!answered) ++lost;
  }
  require(!took.empty(), "no request was answered");
  std::sort(took.begin(), took.end());
  const auto at = [&](double q) {
    return took[std::min(took.size() - 1, static_cast<std::size_t>(q * static_cast<double>(took.size())))] /
           1e3;
  };
  std::printf(R"({"requests":%zu,"lost":%llu,"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f})"
              "\n",
              took.size(), static_cast<unsigned long long>(lost), at(0.5), at(0.99), at(0.999),
              took.back() / 1e3);
  close(fd);
}

/// `concurrency` connections at a time; each asks once and is closed by a reset, so that no TIME_WAIT eats the ports.
class Connects {
 public:
  explicit Connects(const Job& a) : to_(address_of(a)), epoll_(epoll_create1(0)), a_(a) {}

  void run() {
    for (uint32_t i = 0; i < a_.concurrency; ++i) open();
    const uint64_t counts = now_ns() + static_cast<uint64_t>(a_.warm_s * 1e9);
    const uint64_t end = counts + static_cast<uint64_t>(a_.seconds * 1e9);
    uint64_t before = 0, failed_before = 0;
    bool counting = false;
    for (uint64_t now = 0; now < end; now = now_ns()) {
      if (!counting && now >= counts) {
        counting = true;
        before = done_;
        failed_before = failed_;
      }
      step();
    }
    std::printf(R"({"connections":%llu,"failed":%llu,"seconds":%g})"
                "\n",
                static_cast<unsigned long long>(done_ - before),
                static_cast<unsigned long long>(failed_ - failed_before), a_.seconds);
  }

 private:
  void open() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    require(fd >= 0, "no socket");
    const linger reset{1, 0};
    require(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0, "SO_LINGER");
    require(connect(fd, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) == 0 || errno == EINPROGRESS,
            "cannot connect");
    epoll_event event{};
    event.events = EPOLLOUT;
    event.data.fd = fd;
    require(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
  }

  void step() {
    std::array<epoll_event, kEvents> events;
    const int n = epoll_wait(epoll_, events.data(), kEvents, 100);
    for (int i = 0; i < n; ++i) advance(events[static_cast<std::size_t>(i)]);
  }

  void advance(const epoll_event& event) {
    const int fd = event.data.fd;
    std::array<char, kMessage> message{};
    std::memcpy(message.data(), &fd, sizeof fd);
    bool ok = (event.events & (EPOLLERR | EPOLLHUP)) == 0;
    if (ok && (event.events & EPOLLOUT) != 0) {
      ok = send(fd, message.data(), kMessage, MSG_NOSIGNAL) == ssize_t{kMessage};
      epoll_event next{};
      next.events = EPOLLIN;
      next.data.fd = fd;
      if (ok) {
        require(epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &next) == 0, "epoll");
        return;
      }
    } else if (ok) {
      std::array<char, kMessage> answer{};
      ok = recv(fd, answer.data(), kMessage, 0) == ssize_t{kMessage} && answer == message;
    }
    ++(ok ? done_ : failed_);
    close(fd);
    open();
  }

  sockaddr_in to_;
  int epoll_;
  const Job& a_;
  uint64_t done_ = 0, failed_ = 0;
};

void pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  require(sched_setaffinity(0, sizeof set, &set) == 0, "cannot run on the CPU");
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  using namespace xebec::bench;
  const std::string what = argc > 1 ? argv[1] : "", protocol = argc > 2 ? argv[2] : "";
  const bool asks = what == "ask" && (protocol == "tcp" || protocol == "udp");
  require(asks || what == "serve" || what == "connect",
          "usage: pingpong serve | ask tcp | ask udp | connect");
  Job job = job_of(Arguments(argc, argv, asks ? 3 : 2));
  job.protocol = protocol;
  pin(job.cpu);
  if (what == "serve") serve(job);
  if (what == "ask") ask(job);
  if (what == "connect") Connects(job).run();
}
