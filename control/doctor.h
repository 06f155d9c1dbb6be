// SPDX-License-Identifier: BSD-2-Clause
// Examines backends by probes that go where the service's packets go: does one answer ARP for the VIP, hold the VIP, take packets
// out of the tunnel? On the loop; a run takes a second.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/doctor_findings.h"
#include "control/doctor_frames.h"
#include "control/event_loop.h"

namespace xebec {

/// One backend to examine.
struct DoctorPatient {
  BackendEvidence evidence;  ///< as far as it is known before: names, mode
  Backend backend;           ///< of the table
  IpAddress vip;
};
/// A served interface.
struct DoctorLink {
  int ifindex = 0;
  MacAddress mac{};
};

class Doctor {
 public:
  /// Two frames or four for each: no more than a switch or a backend would notice.
  static constexpr std::size_t kMaxPatients = 256;

  struct Report {
    bool done = false;
    std::vector<Finding> findings;
  };

  explicit Doctor(EventLoop& loop);
  ~Doctor();
  Doctor(const Doctor&) = delete;
  Doctor& operator=(const Doctor&) = delete;

  /// links: by the index that NextHop::interface is. own: our addresses. The run's number, or why there can be none: a sentence.
  tl::expected<uint64_t, std::string> examine(std::vector<DoctorPatient> patients,
                                              const std::vector<DoctorLink>& links,
                                              const std::set<IpAddress>& own);
  /// nullptr: never given, or long ago.
  const Report* find(uint64_t number) const;

 private:
  struct Run;
  void send(Run& run);
  void receive(Run& run, int fd);
  void take(Run& run, const DoctorAnswer& answer);
  void finish();

  EventLoop& loop_;
  std::unique_ptr<Run> run_;  // null: none at present
  std::map<uint64_t, Report> reports_;
  uint64_t last_ = 0;
};

}  // namespace xebec
