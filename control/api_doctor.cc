// SPDX-License-Identifier: BSD-2-Clause
#include "control/api_doctor.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "control/api_answer.h"

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

Json report(uint64_t number, const Doctor::Report& found) {
  constexpr const char* kLevels[] = {"ok", "warn", "fail"};
  Json rows = Json::array();
  for (const Finding& f : found.findings)
    rows.push_back(
        {{"level", kLevels[static_cast<std::size_t>(f.level)]}, {"text", f.text}, {"mend", f.mend}});
  return {{"schema", "xebec.doctor/1"}, {"doctor", number}, {"done", found.done}, {"findings", rows}};
}

HttpResponse examine(Controller& controller, const HttpRequest& request) {
  const auto asked = request.query.find("service");
  const std::string service = asked == request.query.end() ? "" : asked->second;
  const auto& services = controller.config().services;
  if (!service.empty() && std::none_of(services.begin(), services.end(),
                                       [&](const ServiceConfig& s) { return s.name == service; }))
    return failure(404, "not_found", fmt::format("service {}: there is none of this name", service),
                   "xebec service list");
  std::vector<DoctorLink> links;
  for (const ServedInterface& i : controller.engine().interfaces()) {
    const auto link = controller.next_hops().link(i.ifindex);
    links.push_back({i.ifindex, link ? link->mac : MacAddress{}});
  }
  const auto number =
      controller.doctor().examine(patients_of(controller, service), links, controller.own_addresses());
  if (!number) return failure(409, "conflict", number.error());
  return answer(202, report(*number, *controller.doctor().find(*number)));
}

}  // namespace

std::optional<HttpResponse> handle_doctor_request(Controller& controller, const HttpRequest& request,
                                                  const std::vector<std::string>& path) {
  if (path.empty() || path.front() != "doctor") return std::nullopt;
  if (path.size() == 1 && request.method == "POST") return examine(controller, request);
  if (path.size() != 2 || request.method != "GET") return std::nullopt;
  uint64_t number = 0;
  const std::string& text = path[1];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  const Doctor::Report* found = whole ? controller.doctor().find(number) : nullptr;
  if (found == nullptr)
    return failure(404, "not_found", fmt::format("doctor {}: there is none of this number", text));
  return answer(200, report(number, *found));
}

}  // namespace xebec
