// SPDX-License-Identifier: BSD-2-Clause
#include "control/journal.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

namespace xebec {
namespace {

// A datagram has to fit the socket's send buffer, 208 KiB by default. No line of ours comes near.
constexpr std::size_t kMaxValue = 32 * 1024;

socklen_t fill(const std::string& path, sockaddr_un& address) {
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return sizeof address;
}

/// "worker", "preflight": what stands before a line's first ": ", if it is one word.
bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

}  // namespace

tl::expected<Journal, std::string> Journal::open(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return tl::unexpected(std::string("journal: the path of the socket is too long"));
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return tl::unexpected(fmt::format("journal: cannot make a socket: {}", std::strerror(errno)));
  Journal journal(fd, path);
  sockaddr_un address{};
  const socklen_t size = fill(path, address);
  // Only a trial: a connection would end when journald is restarted, so that each line is sent by address.
  const int trial = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int refused = connect(trial, reinterpret_cast<const sockaddr*>(&address), size) == 0 ? 0 : errno;
  close(trial);
  if (refused != 0)
    return tl::unexpected(fmt::format("journal: cannot reach {}: {}", path, std::strerror(refused)));
  return journal;
}

Journal::~Journal() {
  if (fd_ >= 0) close(fd_);
}

bool Journal::send(const JournalFields& fields) const {
  const std::string datagram = journal_datagram(fields);
  sockaddr_un address{};
  const socklen_t size = fill(path_, address);
  return sendto(fd_, datagram.data(), datagram.size(), MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(&address), size) == static_cast<ssize_t>(datagram.size());
}

std::string journal_datagram(const JournalFields& fields) {
  std::string out;
  for (const auto& [name, whole] : fields) {
    const std::string_view value = std::string_view(whole).substr(0, kMaxValue);
    out += name;
    if (value.find('\n') == std::string_view::npos) {
      out.append("=").append(value);
    } else {
      out += '\n';
      for (int shift = 0; shift < 64; shift += 8)
        out += static_cast<char>((static_cast<uint64_t>(value.size()) >> shift) & 0xff);
      out.append(value);
    }
    out += '\n';
  }
  return out;
}

JournalFields fields_of_line(std::string_view line) {
  const std::size_t colon = line.find(": ");
  if (colon == std::string_view::npos) return {};
  std::vector<std::string> words;
  for (std::size_t at = 0; at < colon;) {
    const std::size_t space = std::min(line.find(' ', at), colon);
    words.emplace_back(line.substr(at, space - at));
    at = space + 1;
  }
  if (words.size() == 4 && words[0] == "backend" && words[2] == "of")
    return {{"XEBEC_AREA", "backend"}, {"XEBEC_BACKEND", words[1]}, {"XEBEC_SERVICE", words[3]}};
  if (words.size() == 3 && words[1] == "queue")
    return {{"XEBEC_AREA", "queue"}, {"XEBEC_INTERFACE", words[0]}, {"XEBEC_QUEUE", words[2]}};
  if (words.size() == 2 && (words[0] == "service" || words[0] == "worker" || words[0] == "interface")) {
    std::string name = "XEBEC_" + words[0];
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    return {{"XEBEC_AREA", words[0]}, {std::move(name), words[1]}};
  }
  if (words.size() == 1 && is_word(words[0])) return {{"XEBEC_AREA", words[0]}};
  return {};
}

}  // namespace xebec
