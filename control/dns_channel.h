// SPDX-License-Identifier: BSD-2-Clause
// Questions to DNS servers, by c-ares on the control thread's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/event_loop.h"

struct ares_channeldata;

namespace xebec {

/// The answer's bytes, or in words why there is none ("Domain name not found").
using DnsReply = tl::expected<std::vector<uint8_t>, std::string>;
using DnsDone = std::function<void(const DnsReply&)>;

/// One set of servers. c-ares asks each of them, again and by TCP where it must.
class DnsChannel {
 public:
  /// servers: "ADDRESS" or "ADDRESS:PORT" each; none: those of /etc/resolv.conf, as it is now.
  static tl::expected<std::unique_ptr<DnsChannel>, std::string> open(EventLoop& loop,
                                                                     const std::vector<std::string>& servers);
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;
  /// Questions on their way are abandoned: nobody hears of them.
  ~DnsChannel();

  /// type: of RFC 1035, 3596, 2782. `done` is called once, from the loop and never from within; it may destroy the channel.
  void query(const std::string& name, uint16_t type, DnsDone done);

 private:
  struct Question;
  explicit DnsChannel(EventLoop& loop) : loop_(loop) {}
  static void on_socket(void* self, int fd, int readable, int writable);
  static void on_answer(void* question, int status, int timeouts, unsigned char* bytes, int length);
  void act(int readable, int writable);
  void set_timer();

  EventLoop& loop_;
  ares_channeldata* channel_ = nullptr;
  std::map<int, EventLoop::WatchId> watches_;
  std::set<EventLoop::TimerId> deliveries_;
  EventLoop::TimerId timer_ = 0;
  bool closing_ = false;
};

}  // namespace xebec
