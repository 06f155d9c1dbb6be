// SPDX-License-Identifier: BSD-2-Clause
// Who asks a daemon to stop a second time does not want to wait for it.
#pragma once

#include <thread>

namespace xebec {

/// From the first signal to stop on: as long as it lives, another SIGTERM or SIGINT ends the process at once, with exit code 1 and a
/// line in the log. What is left undone the kernel does: shims and sockets die with the process. The stop itself takes as long as the
/// slowest of the workers, and this thread waits for none of them.
class ImpatientStop {
 public:
  /// signals: a descriptor of signalfd(2), which nobody else reads by now.
  explicit ImpatientStop(int signals);
  ImpatientStop(const ImpatientStop&) = delete;
  ImpatientStop& operator=(const ImpatientStop&) = delete;
  ~ImpatientStop();

 private:
  void wait() const;

  int signals_;
  int done_;  // eventfd(2)
  std::thread thread_;
};

}  // namespace xebec
