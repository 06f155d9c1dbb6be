// SPDX-License-Identifier: BSD-2-Clause
#include "control/curl_loop.h"

#include <poll.h>

#include <chrono>
#include <new>

namespace xebec {

CurlLoop::CurlLoop(EventLoop& loop) : loop_(loop) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  multi_ = curl_multi_init();
  if (multi_ == nullptr) throw std::bad_alloc();
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

CurlLoop::~CurlLoop() {
  while (!transfers_.empty()) remove(transfers_.begin()->first);
  curl_multi_cleanup(multi_);
  while (!watches_.empty()) unwatch(watches_.begin()->first);
  if (timer_ != 0) loop_.cancel(timer_);
  curl_global_cleanup();
}

bool CurlLoop::add(CURL* easy, Done done) {
  if (curl_multi_add_handle(multi_, easy) != CURLM_OK) return false;
  transfers_.emplace(easy, std::move(done));
  return true;
}

void CurlLoop::remove(CURL* easy) {
  if (transfers_.erase(easy) > 0) curl_multi_remove_handle(multi_, easy);
}

void CurlLoop::unwatch(curl_socket_t fd) {
  const auto watch = watches_.find(fd);
  if (watch == watches_.end()) return;
  loop_.unwatch(watch->second);
  watches_.erase(watch);
}

int CurlLoop::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  auto* const that = static_cast<CurlLoop*>(self);
  that->unwatch(fd);
  if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE) return 0;
  const short events =
      static_cast<short>((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
  that->watches_[fd] = that->loop_.watch(fd, events, [that, fd](short seen) {
    int bits = 0;
    if (seen & (POLLIN | POLLHUP)) bits |= CURL_CSELECT_IN;
    if (seen & POLLOUT) bits |= CURL_CSELECT_OUT;
    if (seen & (POLLERR | POLLNVAL)) bits |= CURL_CSELECT_ERR;
    that->act(fd, bits);
  });
  return 0;
}

int CurlLoop::on_timer(CURLM*, long timeout_ms, void* self) {
  auto* const that = static_cast<CurlLoop*>(self);
  if (that->timer_ != 0) that->loop_.cancel(that->timer_);
  that->timer_ = 0;
  if (timeout_ms < 0) return 0;
  that->timer_ = that->loop_.after(std::chrono::milliseconds(timeout_ms), [that] {
    that->timer_ = 0;
    that->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlLoop::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* const easy = message->easy_handle;
    const CURLcode code = message->data.result;
    const auto found = transfers_.find(easy);
    if (found == transfers_.end()) continue;
    const Done done = std::move(found->second);
    transfers_.erase(found);
    curl_multi_remove_handle(multi_, easy);  // before done(), which may clean it up
    done(code);
  }
}

}  // namespace xebec
