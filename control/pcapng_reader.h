// SPDX-License-Identifier: BSD-2-Clause
// Reads pcapng (draft-ietf-opsawg-pcapng): several interfaces with links, snapshot lengths and clocks of their own, several
// sections of either byte order. libpcap refuses such files, which Wireshark writes as soon as it listens at two interfaces.
// What is odd inside a block costs that packet at most; where the blocks themselves cannot be told apart, it ends.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace xebec {

class PcapngReader {
 public:
  struct Packet {
    std::span<const uint8_t> bytes;  ///< valid until the next call
    uint32_t length = 0;             ///< on the wire
    int64_t seconds = 0;
    uint32_t nanoseconds = 0;
    std::optional<int> link;  ///< LINKTYPE_ of the interface; absent: the file does not tell of the interface
  };

  /// The first byte of every such file, and of no other capture.
  static constexpr int kFirstByte = 0x0a;

  /// Takes the file, at its beginning.
  explicit PcapngReader(std::FILE* file) : file_(file) {}

  /// Empty at the end. An error is the end, too.
  tl::expected<std::optional<Packet>, std::string> next();
  /// LINKTYPE_ of the first interface, if one is told of before the first packet. Before next().
  tl::expected<std::optional<int>, std::string> first_link();
  bool ended_early() const { return ended_early_; }
  std::FILE* file() const { return file_.get(); }

 private:
  struct Close {
    void operator()(std::FILE* file) const { static_cast<void>(std::fclose(file)); }
  };
  struct Interface {
    int link = 0;
    uint32_t snapshot = 0;  ///< 0: no limit
    uint8_t resolution = 6;
    int64_t offset_s = 0;
  };
  /// A block's type, with its body in body_; empty at the end.
  tl::expected<std::optional<uint32_t>, std::string> read_block();
  bool read(void* to, std::size_t size);
  void add_interface();
  Packet packet(std::size_t fixed, uint32_t interface, uint64_t time, uint32_t captured,
                uint32_t length) const;
  std::optional<Packet> packet_of(uint32_t type) const;
  uint32_t u32(std::span<const uint8_t> bytes, std::size_t at) const;
  uint16_t u16(std::span<const uint8_t> bytes, std::size_t at) const;
  uint64_t time_at(std::size_t at) const { return uint64_t{u32(body_, at)} << 32 | u32(body_, at + 4); }

  std::unique_ptr<std::FILE, Close> file_;
  bool big_endian_ = false;
  bool in_section_ = false;
  bool ended_early_ = false;
  std::vector<uint8_t> body_;
  std::optional<uint32_t> ahead_;  // type of a block that first_link() has read
  std::vector<Interface> interfaces_;
};

}  // namespace xebec
