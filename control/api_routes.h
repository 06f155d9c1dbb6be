// SPDX-License-Identifier: BSD-2-Clause
// The API's resources (docs/api.md), a list for each noun: method, path, who may, and the function that answers.
// A new resource is one more row in its noun's file; api.cc finds it and does for all of them what is to be done for all.
#pragma once

#include <span>
#include <string_view>

#include "control/api_answer.h"

namespace xebec {

enum class Access {
  read,    ///< whoever can connect to the socket
  look,    ///< only who may change things, because of what is seen; nothing is changed, nothing logged
  change,  ///< only who may change things; logged, under If-Match, and answered with the configuration's ETag
};

struct Route {
  std::string_view method;
  std::string_view path;  ///< "*" stands for any one segment: call.path[i], where "v1" is not counted
  Access access;
  HttpResponse (*respond)(const Call& call);
  std::string_view query{};  ///< keys that it may be asked with, a blank between
};

std::span<const Route> backend_routes();
std::span<const Route> capture_routes();
std::span<const Route> config_routes();
std::span<const Route> doctor_routes();
std::span<const Route> event_routes();
std::span<const Route> explain_routes();
std::span<const Route> flow_routes();
std::span<const Route> health_routes();
std::span<const Route> service_routes();
std::span<const Route> status_routes();

}  // namespace xebec
