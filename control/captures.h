// SPDX-License-Identifier: BSD-2-Clause
// The captures that run: filter, taps at the workers, and the pcapng file in the making. One thread, the loop's.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/engine.h"
#include "control/event_loop.h"
#include "dataplane/capture_tap.h"

namespace xebec {

struct CaptureOptions {
  CaptureFilter filter;
  uint64_t count = 0;   ///< packets; 0: without end
  std::string comment;  ///< of the file: what was asked for, and by whom
};

class Captures {
 public:
  /// Whoever asks has to read; a client that died does not.
  static constexpr std::chrono::seconds kPatience{5};

  /// A capture that runs, for the list.
  struct Running {
    uint64_t number = 0;
    std::string comment;
    uint64_t written = 0;
    uint64_t lost = 0;
  };

  /// retired: is called when memory waits for the workers to let go of it (Engine::reclaim()).
  Captures(EventLoop& loop, Engine& engine, std::function<void()> retired);
  ~Captures();
  Captures(const Captures&) = delete;
  Captures& operator=(const Captures&) = delete;

  /// Its number, or why not: a sentence.
  tl::expected<uint64_t, std::string> start(CaptureOptions options);
  /// The next blocks of the file, the first time with its beginning. After the last packet asked for, the end is there, too,
  /// and the capture is over. Empty: there is none of this number.
  std::optional<std::string> read(uint64_t number);
  /// Ends it: the rest of the file. Empty: there is none of this number.
  std::optional<std::string> stop(uint64_t number);

  std::vector<Running> running() const;

 private:
  struct Capture {
    CaptureOptions options;
    std::vector<std::shared_ptr<CaptureTap>> taps;  // by worker
    bool begun = false;
    uint64_t written = 0;
    std::array<uint64_t, kMaxInterfaces> written_by_interface{};
    EventLoop::TimerId patience = 0;
  };

  void begin(const Capture& capture, std::string& out) const;
  void drain(Capture& capture, std::string& out) const;
  void end(const Capture& capture, std::string& out) const;
  std::string comment_of(const CaptureRecord& record, std::size_t worker) const;
  void remove(uint64_t number);
  /// Gives each worker the taps of what runs now.
  void tap_workers();
  void wait_for_reader(uint64_t number, Capture& capture);

  EventLoop& loop_;
  Engine& engine_;
  std::function<void()> retired_;
  std::map<uint64_t, Capture> captures_;
  uint64_t next_ = 1;
};

}  // namespace xebec
