// SPDX-License-Identifier: BSD-2-Clause
// systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram of fields for each line. By hand,
// because it is this one page, and because sd_journal_send() knows no socket but the host's, which no test has.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

namespace xebec {

using JournalFields = std::vector<std::pair<std::string, std::string>>;

inline constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

class Journal {
 public:
  /// The error is a sentence.
  static tl::expected<Journal, std::string> open(const std::string& path = kJournalSocket);
  Journal(Journal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  /// Does not wait: what a full or absent journal does not take is lost. False then.
  bool send(const JournalFields& fields) const;

 private:
  Journal(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
};

/// As it goes into the datagram.
std::string journal_datagram(const JournalFields& fields);

/// What a line of ours tells by its form: "backend ADDRESS of SERVICE: ..", "service NAME: ..", "worker N: ..",
/// "IF queue N: ..", and of every other "AREA: .." the area.
JournalFields fields_of_line(std::string_view line);

}  // namespace xebec
