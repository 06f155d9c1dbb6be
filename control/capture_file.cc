// SPDX-License-Identifier: BSD-2-Clause
// Captures, by libpcap.
#include "control/capture_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <pcap/pcap.h>

namespace xebec {
namespace {

// pcap-savefile(5): the first four bytes of a file with times in microseconds, in either byte order.
constexpr std::array<std::array<uint8_t, 4>, 2> kMicrosecondMagics = {
    {{0xa1, 0xb2, 0xc3, 0xd4}, {0xd4, 0xc3, 0xb2, 0xa1}}};

// Longer packets than any link has; what libpcap itself reads of Ethernet (MAXIMUM_SNAPLEN).
constexpr int kSnapshotLength = 262144;

std::string shown(const std::string& file) {
  return file == "-" ? "(standard input)" : file;
}

tl::unexpected<std::string> fault(const std::string& file, std::string_view why) {
  return tl::unexpected(fmt::format("{}: {}", shown(file), why));
}

/// Looks at the first bytes and goes back. Of a pipe, which cannot, nothing is known.
bool has_microseconds(std::FILE* input) {
  std::array<uint8_t, 4> magic{};
  const long start = std::ftell(input);
  if (start < 0) return false;
  const bool read = std::fread(magic.data(), 1, magic.size(), input) == magic.size();
  return std::fseek(input, start, SEEK_SET) == 0 && read &&
         std::find(kMicrosecondMagics.begin(), kMicrosecondMagics.end(), magic) != kMicrosecondMagics.end();
}

/// length: on the wire, by the capture.
CapturedPacket captured(CaptureLink& link, std::span<const uint8_t> bytes, uint32_t length, int64_t seconds,
                        uint32_t nanoseconds) {
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint32_t missing = std::max(length, size) - size;
  const std::span<const uint8_t> frame = link.frame_of(bytes);
  // Of what is nothing to us nothing is missing.
  return {frame, frame.empty() ? 0 : static_cast<uint32_t>(frame.size()) + missing, seconds, nanoseconds};
}

}  // namespace

void CaptureReader::Close::operator()(pcap* handle) const {
  pcap_close(handle);
}

tl::expected<CaptureReader, std::string> CaptureReader::open(const std::string& file, MacAddress own) {
  std::FILE* input = file == "-" ? stdin : std::fopen(file.c_str(), "rbe");
  if (input == nullptr) return fault(file, std::strerror(errno));
  struct stat status {};
  const bool known = fstat(fileno(input), &status) == 0;
  const auto refuse = [&](std::string_view why) {
    if (input != stdin) static_cast<void>(std::fclose(input));
    return fault(file, why);
  };
  if (known && S_ISDIR(status.st_mode)) return refuse("is a directory");
  if (known && S_ISREG(status.st_mode) && status.st_size == 0)
    return refuse("is empty, not even a capture without packets");
  const int first = std::getc(input);
  if (first != EOF) static_cast<void>(std::ungetc(first, input));
  if (first == PcapngReader::kFirstByte) return open_blocks(file, input, own);
  const bool microseconds = has_microseconds(input);
  char error[PCAP_ERRBUF_SIZE] = "";
  pcap_t* handle = pcap_fopen_offline_with_tstamp_precision(input, PCAP_TSTAMP_PRECISION_NANO, error);
  if (handle == nullptr) return refuse(error);
  CaptureReader reader(file, handle, microseconds, own);  // closes `input`
  static_cast<void>(reader.link_of(pcap_datalink(handle)));
  return reader;
}

tl::expected<CaptureReader, std::string> CaptureReader::open_blocks(const std::string& file, std::FILE* input,
                                                                    MacAddress own) {
  CaptureReader reader(file, nullptr, false, own);
  reader.blocks_ = std::make_unique<PcapngReader>(input);
  const auto link = reader.blocks_->first_link();
  if (!link) return fault(file, link.error());
  static_cast<void>(reader.link_of(link->value_or(DLT_EN10MB)));
  return reader;
}

/// type: a LINKTYPE_ or DLT_, which differ in raw IP alone of those that are known.
CaptureLink& CaptureReader::link_of(int type) {
  constexpr int kLinktypeRaw = 101;
  if (type == kLinktypeRaw) type = DLT_RAW;
  for (auto& [known, link] : links_) {
    if (known == type) return link;
  }
  return links_.emplace_back(type, CaptureLink(type, own_)).second;
}

tl::expected<std::optional<CapturedPacket>, std::string> CaptureReader::next_of_blocks() {
  const auto packet = blocks_->next();
  if (!packet) return fault(file_, packet.error());
  ended_early_ = blocks_->ended_early();
  if (!*packet) return std::nullopt;
  const PcapngReader::Packet& p = **packet;
  if (!p.link) return CapturedPacket{{}, 0, p.seconds, p.nanoseconds};
  return captured(link_of(*p.link), p.bytes, p.length, p.seconds, p.nanoseconds);
}

tl::expected<std::optional<CapturedPacket>, std::string> CaptureReader::next() {
  if (blocks_) return next_of_blocks();
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  const int result = pcap_next_ex(handle_.get(), &header, &bytes);
  if (result == PCAP_ERROR_BREAK) return std::nullopt;  // the end of the file
  if (result != 1) {
    // "truncated dump file; tried to read 16 header bytes, only got 3", libpcap's sf-pcap.c and sf-pcapng.c.
    const std::string_view why = pcap_geterr(handle_.get());
    ended_early_ = why.starts_with("truncated ");
    if (ended_early_) return std::nullopt;
    return fault(file_, why);
  }
  // The precision asked for makes the second field nanoseconds. A file may say anything there.
  const auto nanoseconds = static_cast<uint32_t>(std::clamp<int64_t>(header->ts.tv_usec, 0, 999'999'999));
  return captured(links_.front().second, {bytes, header->caplen}, header->len, header->ts.tv_sec,
                  nanoseconds);
}

std::FILE* CaptureReader::input() const {
  return blocks_ ? blocks_->file() : pcap_file(handle_.get());
}

bool CaptureReader::is_same_file(const std::string& path) const {
  struct stat mine {
  }, other{};
  if (fstat(fileno(input()), &mine) != 0 || stat(path.c_str(), &other) != 0) return false;
  return mine.st_dev == other.st_dev && mine.st_ino == other.st_ino;
}

void CaptureWriter::Close::operator()(pcap_dumper* dumper) const {
  pcap_dump_close(dumper);
}

tl::expected<CaptureWriter, std::string> CaptureWriter::create(const std::string& file, bool microseconds) {
  // Only the file's header is made from it.
  const std::unique_ptr<pcap, void (*)(pcap*)> format(
      pcap_open_dead_with_tstamp_precision(
          DLT_EN10MB, kSnapshotLength,
          microseconds ? PCAP_TSTAMP_PRECISION_MICRO : PCAP_TSTAMP_PRECISION_NANO),
      &pcap_close);
  if (!format) return fault(file, "no memory");
  // Opened here, not by libpcap: to it "-" is standard output.
  std::FILE* output = std::fopen(file.c_str(), "wbe");
  if (output == nullptr) return fault(file, std::strerror(errno));
  pcap_dumper_t* dumper = pcap_dump_fopen(format.get(), output);
  if (dumper == nullptr) {
    const std::string why = pcap_geterr(format.get());
    static_cast<void>(std::fclose(output));
    return fault(file, why);
  }
  return CaptureWriter(file, dumper, microseconds);
}

tl::expected<void, std::string> CaptureWriter::write(const CapturedPacket& packet) {
  pcap_pkthdr header{};
  header.ts.tv_sec = packet.seconds;
  header.ts.tv_usec = microseconds_ ? packet.nanoseconds / 1000 : packet.nanoseconds;
  header.caplen = static_cast<bpf_u_int32>(packet.bytes.size());
  header.len = packet.length;
  auto* user = reinterpret_cast<u_char*>(dumper_.get());
  pcap_dump(user, &header, packet.bytes.data());
  if (std::ferror(pcap_dump_file(dumper_.get())) != 0) return fault(file_, std::strerror(errno));
  return {};
}

tl::expected<void, std::string> CaptureWriter::finish() {
  if (pcap_dump_flush(dumper_.get()) != 0 || std::ferror(pcap_dump_file(dumper_.get())) != 0)
    return fault(file_, std::strerror(errno));
  return {};
}

}  // namespace xebec
