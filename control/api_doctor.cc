// SPDX-License-Identifier: BSD-2-Clause
// The doctor: an examination of backends through the data path, and what it has found so far.
#include "control/api_routes.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/config_fields.h"

namespace xebec {
namespace {

/// All backends of the service, or of all; those in maintenance are nobody's business.
std::vector<DoctorPatient> patients_of(const Controller& controller, const std::string& service) {
  std::vector<DoctorPatient> patients;
  const Table& table = controller.engine().table();
  for (const ServiceConfig& s : controller.config().services) {
    if (!service.empty() && s.name != service) continue;
    for (const BackendConfig& b : s.backends) {
      const auto status = controller.builder().status().find({s.name, b.address});
      if (b.admin == Admin::maint || status == controller.builder().status().end()) continue;
      if (status->second.id >= table.backends().size()) continue;
      DoctorPatient p{.evidence = {}, .backend = table.backends()[status->second.id], .vip = s.vip};
      p.evidence.service = s.name;
      p.evidence.backend = b.address.to_string();
      p.evidence.vip = s.vip.to_string();
      p.evidence.mode = b.mode.value_or(s.mode);
      p.evidence.tunnel_port = p.backend.tunnel_port;
      p.evidence.vni = p.backend.vni;
      patients.push_back(std::move(p));
    }
  }
  return patients;
}

/// Of the interfaces, what only the daemon knows.
std::vector<Finding> interface_findings(const Engine& engine) {
  std::vector<Finding> findings;
  for (std::size_t i = 0; i < engine.interfaces().size(); ++i) {
    for (Finding& f :
         findings_of(engine.interfaces()[i].config.name, engine.reply_homing(i), engine.reply_arrivals(i)))
      findings.push_back(std::move(f));
  }
  return findings;
}

/// first: findings that are there without an examination.
Json report_examination(uint64_t number, const Doctor::Report& found, const std::vector<Finding>& first) {
  constexpr const char* kLevels[] = {"ok", "warn", "fail"};
  Json rows = Json::array();
  const auto add = [&](const Finding& f) {
    rows.push_back(
        {{"level", kLevels[static_cast<std::size_t>(f.level)]}, {"text", f.text}, {"mend", f.mend}});
  };
  std::for_each(first.begin(), first.end(), add);
  std::for_each(found.findings.begin(), found.findings.end(), add);
  return {{"schema", "xebec.doctor/1"}, {"doctor", number}, {"done", found.done}, {"findings", rows}};
}

HttpResponse examine(const Call& call) {
  Controller& controller = call.controller;
  const std::string* asked = call.asked("service");
  const std::string service = asked == nullptr ? "" : *asked;
  if (!service.empty() && call.service(service) == nullptr) return no_service(service);
  std::vector<DoctorLink> links;
  for (const ServedInterface& i : controller.engine().interfaces()) {
    const auto link = controller.next_hops().link(i.ifindex);
    links.push_back({i.ifindex, link ? link->mac : MacAddress{}});
  }
  const auto number =
      controller.doctor().examine(patients_of(controller, service), links, controller.own_addresses());
  if (!number) return failure(409, "conflict", number.error());
  return answer(202, report_examination(*number, *controller.doctor().find(*number),
                                        interface_findings(controller.engine())));
}

HttpResponse findings(const Call& call) {
  const auto number = decimal(call.path[1]);
  const Doctor::Report* found = number ? call.controller.doctor().find(*number) : nullptr;
  if (found == nullptr)
    return failure(404, "not_found", fmt::format("doctor {}: there is none of this number", call.path[1]));
  return answer(200, report_examination(*number, *found, interface_findings(call.controller.engine())));
}

}  // namespace

std::span<const Route> doctor_routes() {
  static constexpr Route kRoutes[] = {
      {"POST", "doctor", Access::change, examine, "service"},
      {"GET", "doctor/*", Access::read, findings},
  };
  return kRoutes;
}

}  // namespace xebec
