// SPDX-License-Identifier: BSD-2-Clause
// The event loop on io_uring: one-shot polls, armed again after each callback, and one system call a turn.
#include <liburing.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "control/event_loop_base.h"

namespace xebec {
namespace {

// One slot per poll armed or removed within one turn; when they run out, the queue is submitted early. The
// control thread watches some dozens of descriptors.
constexpr unsigned kEntries = 128;
constexpr uint64_t kNobody = 0;  // user_data of requests whose completion says nothing; no watch has this id

class UringLoop final : public EventLoopBase {
 public:
  UringLoop() = default;
  UringLoop(const UringLoop&) = delete;
  UringLoop& operator=(const UringLoop&) = delete;
  ~UringLoop() override {
    if (open_) io_uring_queue_exit(&ring_);
  }

  tl::expected<void, std::string> open();

  std::string_view backend() const override { return "io_uring"; }
  std::string_view why() const override { return ""; }

 private:
  void arm(WatchId id, int fd, short events) override;
  void disarm(WatchId id, int fd) override;
  void rearm(WatchId id, int fd, short events) override { arm(id, fd, events); }
  void wait(std::optional<Clock::time_point> deadline, std::vector<Ready>& ready) override;

  io_uring_sqe* next_sqe();
  void submit();

  io_uring ring_{};
  bool open_ = false;
};

/// True for the errors that mean "not now": a signal, no memory for a request, completions waiting to be
/// reaped.
bool is_transient(int error) {
  return error == EINTR || error == EAGAIN || error == EBUSY || error == ETIME;
}

tl::expected<void, std::string> UringLoop::open() {
  // COOP_TASKRUN (5.19): completions wait for our next system call instead of interrupting whatever we do.
  int rc = io_uring_queue_init(kEntries, &ring_, IORING_SETUP_COOP_TASKRUN);
  if (rc == -EINVAL) rc = io_uring_queue_init(kEntries, &ring_, 0);
  if (rc < 0) return tl::unexpected(fmt::format("the kernel gives no io_uring: {}", std::strerror(-rc)));
  open_ = true;
  if ((ring_.features & IORING_FEAT_EXT_ARG) == 0) {
    return tl::unexpected(
        std::string("the kernel's io_uring cannot wait with a timeout (before Linux 5.11)"));
  }
  // Some sandboxes give a ring and then refuse to enter it. Better to know now than in run().
  io_uring_prep_nop(next_sqe());
  io_uring_cqe* cqe = nullptr;
  do {
    rc = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, nullptr, nullptr);
  } while (rc == -EINTR || rc == -EAGAIN);
  if (rc < 0)
    return tl::unexpected(fmt::format("the kernel refuses to run io_uring: {}", std::strerror(-rc)));
  io_uring_cqe_seen(&ring_, cqe);
  return {};
}

io_uring_sqe* UringLoop::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    submit();
    sqe = io_uring_get_sqe(&ring_);
  }
  io_uring_sqe_set_data64(sqe, kNobody);
  return sqe;
}

void UringLoop::submit() {
  const int rc = io_uring_submit(&ring_);
  if (rc < 0 && !is_transient(-rc)) throw std::system_error(-rc, std::system_category(), "io_uring_enter");
}

void UringLoop::arm(WatchId id, int fd, short events) {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_add(sqe, fd, static_cast<unsigned short>(events));
  io_uring_sqe_set_data64(sqe, id);
}

void UringLoop::disarm(WatchId id, int /*fd*/) {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_remove(sqe, id);
  io_uring_sqe_set_data64(sqe, kNobody);
  // At once: a poll in flight keeps the file open, and the peer of a closed connection would wait for our
  // next turn.
  submit();
}

void UringLoop::wait(std::optional<Clock::time_point> deadline, std::vector<Ready>& ready) {
  __kernel_timespec timeout{};
  if (deadline) {
    const auto left = std::max(*deadline - Clock::now(), Clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    timeout.tv_sec = seconds.count();
    timeout.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
  }
  io_uring_cqe* cqe = nullptr;
  const int rc = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, deadline ? &timeout : nullptr, nullptr);
  if (rc < 0 && !is_transient(-rc)) throw std::system_error(-rc, std::system_category(), "io_uring_enter");
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    const uint64_t id = io_uring_cqe_get_data64(cqe);
    // -ECANCELED is the answer to disarm(); other errors mean that this descriptor cannot be polled.
    if (id == kNobody || id == LIBURING_UDATA_TIMEOUT || cqe->res == -ECANCELED) continue;
    ready.push_back({id, cqe->res < 0 ? static_cast<short>(POLLNVAL) : static_cast<short>(cqe->res)});
  }
  io_uring_cq_advance(&ring_, seen);
}

}  // namespace

tl::expected<std::unique_ptr<EventLoop>, std::string> make_uring_loop() {
  auto loop = std::make_unique<UringLoop>();
  if (auto opened = loop->open(); !opened) return tl::unexpected(std::move(opened.error()));
  return loop;
}

}  // namespace xebec
