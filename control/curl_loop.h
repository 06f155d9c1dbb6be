// SPDX-License-Identifier: BSD-2-Clause
// libcurl's multi interface on the event loop: transfers without a thread.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <map>
#include <memory>

#include "control/event_loop.h"

namespace xebec {

/// One thread, the loop's. Outlives its transfers.
class CurlLoop {
 public:
  using Done = std::function<void(CURLcode)>;

  explicit CurlLoop(EventLoop& loop);
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;
  ~CurlLoop();

  /// Starts a transfer; `done` is called once, from the loop, and may clean up `easy`. The caller keeps `easy`
  /// until then. False: libcurl refuses, and `done` is never called.
  bool add(CURL* easy, Done done);
  /// Abandons a transfer that is not done; nothing happens for one that is. Not from within a callback of libcurl's.
  void remove(CURL* easy);

 private:
  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* unused);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  void act(curl_socket_t fd, int events);
  void unwatch(curl_socket_t fd);

  EventLoop& loop_;
  CURLM* multi_;
  std::map<CURL*, Done> transfers_;
  std::map<curl_socket_t, EventLoop::WatchId> watches_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace xebec
