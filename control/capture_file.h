// SPDX-License-Identifier: BSD-2-Clause
// A capture: packets with their times, out of a pcap or pcapng file and into a pcap file. pcap is libpcap's.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "control/capture_link.h"
#include "control/pcapng_reader.h"

struct pcap;
struct pcap_dumper;

namespace xebec {

struct CapturedPacket {
  std::span<const uint8_t>
      bytes;            ///< a frame of Ethernet; valid until the next one is read. Empty: nothing to steer
  uint32_t length = 0;  ///< on the wire; more than `bytes` where the capture cut it short
  int64_t seconds = 0;  ///< since the epoch, as the file has it
  uint32_t nanoseconds = 0;
};

/// Reads packets in order, as frames of Ethernet. Errors are "FILE: WHY".
class CaptureReader {
 public:
  /// "-": standard input. own: whom packets without an Ethernet header are taken to be for.
  static tl::expected<CaptureReader, std::string> open(const std::string& file, MacAddress own = {});

  /// Empty at the end. An error is the end, too: what came before was good.
  tl::expected<std::optional<CapturedPacket>, std::string> next();
  /// The end was in the middle of a packet: whoever wrote the file was stopped.
  bool ended_early() const { return ended_early_; }
  /// Of the first interface, if there are several.
  const CaptureLink& link() const { return links_.front().second; }

  /// The file has no time finer than microseconds.
  bool microseconds() const { return microseconds_; }
  /// True if `path` is the file that is read.
  bool is_same_file(const std::string& path) const;

 private:
  struct Close {
    void operator()(pcap* handle) const;
  };
  CaptureReader(std::string file, pcap* handle, bool microseconds, MacAddress own)
      : file_(std::move(file)), handle_(handle), microseconds_(microseconds), own_(own) {}
  static tl::expected<CaptureReader, std::string> open_blocks(const std::string& file, std::FILE* input,
                                                              MacAddress own);
  tl::expected<std::optional<CapturedPacket>, std::string> next_of_blocks();
  CaptureLink& link_of(int type);
  std::FILE* input() const;

  std::string file_;
  std::unique_ptr<pcap, Close> handle_;   // null where blocks_ is there
  std::unique_ptr<PcapngReader> blocks_;  // of a pcapng file
  bool microseconds_;
  bool ended_early_ = false;
  MacAddress own_;
  std::vector<std::pair<int, CaptureLink>> links_;  // by type, the first one told first
};

/// Writes packets of Ethernet. Errors are "FILE: WHY".
class CaptureWriter {
 public:
  /// Makes the file anew. microseconds: of the times.
  static tl::expected<CaptureWriter, std::string> create(const std::string& file, bool microseconds);

  /// A full disk may show only at finish().
  tl::expected<void, std::string> write(const CapturedPacket& packet);
  tl::expected<void, std::string> finish();

 private:
  struct Close {
    void operator()(pcap_dumper* dumper) const;
  };
  CaptureWriter(std::string file, pcap_dumper* dumper, bool microseconds)
      : file_(std::move(file)), dumper_(dumper), microseconds_(microseconds) {}

  std::string file_;
  std::unique_ptr<pcap_dumper, Close> dumper_;
  bool microseconds_;
};

}  // namespace xebec
