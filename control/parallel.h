// SPDX-License-Identifier: BSD-2-Clause
// The same work on many things, on the CPUs there are.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace xebec {

/// Calls work(0) .. work(count - 1), each once, on this thread and as many others as bring something, and returns when all
/// are done. `work` must bear being called from several threads at once. An exception (of those thrown, one) is thrown again here.
template <typename Work>
void for_all(std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto run = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      thrown = std::current_exception();
    }
  };
  // A thread costs some 30 us to make; a lookup array takes 1 to 3 ms.
  constexpr std::size_t kMostThreads = 8;
  const std::size_t helpers =
      std::min({count, kMostThreads, std::size_t{std::max(1u, std::thread::hardware_concurrency())}});
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < helpers; ++i) {
    try {
      threads.emplace_back(run);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: fewer do it, too
    }
  }
  run();
  for (std::thread& thread : threads) thread.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace xebec
