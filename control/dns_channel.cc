// SPDX-License-Identifier: BSD-2-Clause
#include "control/dns_channel.h"

// What c-ares 1.28 began to call deprecated has no successor in 1.18, which Debian 12 has.
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/nameser.h>
#include <poll.h>
#include <sys/time.h>

#include <chrono>
#include <mutex>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "control/dns_answer.h"

namespace xebec {
namespace {

// Two rounds over the servers: a source that is silent is known to be so in some seconds, and is asked again later anyway.
constexpr int kTimeoutMs = 2000;
constexpr int kTries = 2;

}  // namespace

struct DnsChannel::Question {
  DnsChannel* channel;
  DnsDone done;
  std::string name;
  uint16_t type;
};

tl::expected<std::unique_ptr<DnsChannel>, std::string> DnsChannel::open(
    EventLoop& loop, const std::vector<std::string>& servers) {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
  std::unique_ptr<DnsChannel> self(new DnsChannel(loop));
  ares_options options{};
  options.timeout = kTimeoutMs;
  options.tries = kTries;
  options.sock_state_cb = &on_socket;
  options.sock_state_cb_data = self.get();
  int status = ares_init_options(&self->channel_, &options,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status == ARES_SUCCESS && !servers.empty()) {
    const std::string list = fmt::format("{}", fmt::join(servers, ","));
    status = ares_set_servers_ports_csv(self->channel_, list.c_str());
  }
  if (status != ARES_SUCCESS) return tl::unexpected(std::string(ares_strerror(status)));
  return self;
}

DnsChannel::~DnsChannel() {
  closing_ = true;
  if (channel_ != nullptr) ares_destroy(channel_);
  for (const auto& [fd, watch] : watches_) loop_.unwatch(watch);
  for (const EventLoop::TimerId delivery : deliveries_) loop_.cancel(delivery);
  if (timer_ != 0) loop_.cancel(timer_);
}

void DnsChannel::on_socket(void* self, int fd, int readable, int writable) {
  auto* const that = static_cast<DnsChannel*>(self);
  if (const auto found = that->watches_.find(fd); found != that->watches_.end()) {
    that->loop_.unwatch(found->second);
    that->watches_.erase(found);
  }
  const auto events = static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
  if (events == 0) return;
  that->watches_[fd] = that->loop_.watch(fd, events, [that, fd](short seen) {
    const bool failed = (seen & (POLLERR | POLLHUP | POLLNVAL)) != 0;
    that->act(failed || (seen & POLLIN) != 0 ? fd : ARES_SOCKET_BAD,
              (seen & POLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
  });
}

void DnsChannel::act(int readable, int writable) {
  ares_process_fd(channel_, readable, writable);
  set_timer();
}

void DnsChannel::set_timer() {
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  timeval left{};
  if (ares_timeout(channel_, nullptr, &left) == nullptr) return;
  timer_ = loop_.after(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec), [this] {
    timer_ = 0;
    act(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

/// From within c-ares, which may not be destroyed here: told from the loop.
void DnsChannel::on_answer(void* question, int status, int, unsigned char* bytes, int length) {
  const std::unique_ptr<Question> asked(static_cast<Question*>(question));
  DnsChannel& self = *asked->channel;
  if (self.closing_) return;
  // c-ares says the same of a server that it cannot reach and of one that answers with an error, once it has asked them all.
  DnsReply reply = tl::unexpected(
      std::string(status == ARES_ECONNREFUSED
                      ? "no server gave an answer: unreachable, or they say SERVFAIL, NOTIMP or REFUSED"
                      : ares_strerror(status)));
  if (status == ARES_SUCCESS) {
    const std::span answer(bytes, static_cast<std::size_t>(length));
    if (std::string fault = dns_answer_fault(answer, asked->name, asked->type); !fault.empty()) {
      reply = tl::unexpected(std::move(fault));
    } else {
      reply = std::vector<uint8_t>(answer.begin(), answer.end());
    }
  }
  const auto timer = std::make_shared<EventLoop::TimerId>(0);
  *timer = self.loop_.after({}, [&self, timer, done = std::move(asked->done), reply = std::move(reply)] {
    self.deliveries_.erase(*timer);
    done(reply);
  });
  self.deliveries_.insert(*timer);
}

void DnsChannel::query(const std::string& name, uint16_t type, DnsDone done) {
  auto question = std::make_unique<Question>(Question{this, std::move(done), name, type});
  ares_query(channel_, name.c_str(), ns_c_in, type, &on_answer, question.release());
  set_timer();
}

}  // namespace xebec
