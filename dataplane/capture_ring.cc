// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/capture_ring.h"

#include <algorithm>
#include <cstring>

namespace xebec {

CaptureRing::CaptureRing(std::size_t bytes) : memory_(bytes), mask_(bytes - 1) {}

void CaptureRing::put(uint64_t at, const void* from, std::size_t n) {
  const std::size_t begin = at & mask_, first = std::min(n, memory_.size() - begin);
  if (first != 0) std::memcpy(memory_.data() + begin, from, first);
  if (n != first) std::memcpy(memory_.data(), static_cast<const uint8_t*>(from) + first, n - first);
}

void CaptureRing::get(uint64_t at, void* to, std::size_t n) const {
  const std::size_t begin = at & mask_, first = std::min(n, memory_.size() - begin);
  if (first != 0) std::memcpy(to, memory_.data() + begin, first);
  if (n != first) std::memcpy(static_cast<uint8_t*>(to) + first, memory_.data(), n - first);
}

bool CaptureRing::push(const CaptureRecord& record, const uint8_t* bytes) {
  const uint64_t written = written_.load(std::memory_order_relaxed);
  const uint64_t used = written - read_.load(std::memory_order_acquire);
  if (sizeof record + record.captured > memory_.size() - used) {
    lost_[record.interface].add(1);
    return false;
  }
  put(written, &record, sizeof record);
  put(written + sizeof record, bytes, record.captured);
  written_.store(written + sizeof record + record.captured, std::memory_order_release);
  return true;
}

bool CaptureRing::pop(CaptureRecord& record, std::vector<uint8_t>& bytes) {
  const uint64_t read = read_.load(std::memory_order_relaxed);
  if (written_.load(std::memory_order_acquire) == read) return false;
  get(read, &record, sizeof record);
  bytes.resize(record.captured);
  get(read + sizeof record, bytes.data(), record.captured);
  read_.store(read + sizeof record + record.captured, std::memory_order_release);
  return true;
}

}  // namespace xebec
