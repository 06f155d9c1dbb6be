// SPDX-License-Identifier: BSD-2-Clause
// Captures: begun with a filter, read piece by piece as pcapng, stopped.
#include "control/api_routes.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/config_fields.h"

namespace xebec {
namespace {

using Refusal = tl::unexpected<HttpResponse>;

Refusal refuse(std::string_view message, std::string_view hint = {}) {
  return Refusal(failure(400, "usage", fmt::format("capture: {}", message), hint));
}

tl::expected<uint64_t, HttpResponse> read_reasons(const Json& names) {
  if (!names.is_array()) return refuse("reasons: is not a list of names");
  uint64_t reasons = 0;
  for (const Json& name : names) {
    if (!name.is_string()) return refuse("reasons: is not a list of names");
    const std::string text = name.get<std::string>();
    const auto found = std::find_if(kDropReasons.begin(), kDropReasons.end(),
                                    [&](const DropReasonText& r) { return r.name == text; });
    if (text == "any") {
      reasons = kAllDropReasons;
    } else if (found != kDropReasons.end()) {
      reasons |= bit_of(static_cast<DropReason>(found - kDropReasons.begin()));
    } else {
      std::vector<std::string_view> known;
      for (const DropReasonText& r : kDropReasons) known.push_back(r.name);
      const std::string_view guess = nearest(text, known);
      return refuse(fmt::format("{} is no drop reason", quote(text)),
                    guess.empty() ? "docs/drops.md lists them" : fmt::format("did you mean {}?", guess));
    }
  }
  return reasons;
}

tl::expected<uint64_t, HttpResponse> read_number(std::string_view key, const Json& value, uint64_t least,
                                                 uint64_t most) {
  if (value.is_number_unsigned() || (value.is_number_integer() && value.get<int64_t>() >= 0)) {
    const auto n = value.get<uint64_t>();
    if (n >= least && n <= most) return n;
  }
  return refuse(fmt::format("{}: is not a number in {}..{}", key, least, most));
}

bool has_backend(const Config& config, const IpAddress& address) {
  return std::any_of(config.services.begin(), config.services.end(), [&](const ServiceConfig& s) {
    const auto here = [&](const BackendConfig& b) { return b.address == address; };
    return std::any_of(s.backends.begin(), s.backends.end(), here) ||
           std::any_of(s.fallback.begin(), s.fallback.end(), here);
  });
}

/// One key of the request. Without an error it is in `options`.
tl::expected<void, HttpResponse> read_key(const Config& config, const std::string& key, const Json& value,
                                          CaptureOptions& options) {
  constexpr uint32_t kShortest = 14;      // an Ethernet header
  constexpr uint64_t kMost = UINT32_MAX;  // packets, and one in so many
  CaptureFilter& filter = options.filter;
  const auto into = [](auto& where, const tl::expected<uint64_t, HttpResponse>& n) {
    if (n) where = static_cast<std::remove_reference_t<decltype(where)>>(*n);
    return n ? tl::expected<void, HttpResponse>() : tl::unexpected(n.error());
  };
  if (key == "reasons") return into(filter.reasons, read_reasons(value));
  if (key == "snaplen") return into(filter.snaplen, read_number(key, value, kShortest, kMaxCapturedBytes));
  if (key == "sample") return into(filter.sample, read_number(key, value, 1, kMost));
  if (key == "count") return into(options.count, read_number(key, value, 1, kMost));
  if (key == "sent" && value.is_boolean()) {
    filter.sent = value.get<bool>();
    return {};
  }
  if (key == "service" && value.is_string()) {
    filter.service = value.get<std::string>();
    const bool known = std::any_of(config.services.begin(), config.services.end(),
                                   [&](const ServiceConfig& s) { return s.name == filter.service; });
    if (known) return {};
    return Refusal(no_service(filter.service));
  }
  if (key == "backend" && value.is_string()) {
    filter.backend = IpAddress::parse(value.get<std::string>());
    if (!filter.backend) return refuse(fmt::format("backend: {} is not an IP address", value.dump()));
    if (has_backend(config, *filter.backend)) return {};
    return Refusal(failure(404, "not_found",
                           fmt::format("backend {}: no service has it", filter.backend->to_string()),
                           "xebec backend list"));
  }
  return refuse(fmt::format("{}: is no key of a capture, or of another type", quote(key)),
                "reasons, service, backend, snaplen, sample, count, sent; docs/api.md");
}

HttpResponse start_capture(const Call& call) {
  const auto parsed = parse_body(call.request.body);
  if (!parsed) return parsed.error();
  const Json body = *parsed;
  if (!body.is_object()) return failure(400, "usage", "capture: the body is no JSON object");
  CaptureOptions options;
  for (const auto& [key, value] : body.items()) {
    if (const auto read = read_key(call.controller.config(), key, value, options); !read) return read.error();
  }
  options.comment = fmt::format("xebec capture {} for uid {} pid {}",
                                body.dump(-1, ' ', true, Json::error_handler_t::replace), call.request.uid,
                                call.request.pid);
  const auto number = call.controller.captures().start(std::move(options));
  if (!number) return failure(409, "conflict", number.error(), "GET /v1/captures lists them");
  return answer(201, {{"schema", "xebec.capture/1"},
                      {"capture", *number},
                      {"read_within_seconds", Captures::kPatience.count()}});
}

HttpResponse list_captures(const Call& call) {
  Json rows = Json::array();
  for (const Captures::Running& r : call.controller.captures().running()) {
    rows.push_back({{"capture", r.number}, {"comment", r.comment}, {"packets", r.written}, {"lost", r.lost}});
  }
  return answer(200, {{"schema", "xebec.capture-list/1"}, {"captures", rows}});
}

/// What was captured since the last piece, by `take`: Captures::read or Captures::stop.
HttpResponse capture_piece(const Call& call, std::optional<std::string> (Captures::*take)(uint64_t)) {
  const auto number = decimal(call.path[1]);
  std::optional<std::string> blocks;
  if (number) blocks = (call.controller.captures().*take)(*number);
  if (!blocks)
    return failure(404, "not_found", fmt::format("capture {}: there is none of this number", call.path[1]),
                   fmt::format("one that is not read for {} s ends", Captures::kPatience.count()));
  return HttpResponse{200, std::move(*blocks), "application/x-pcapng"};
}

HttpResponse read_capture(const Call& call) {
  return capture_piece(call, &Captures::read);
}
HttpResponse stop_capture(const Call& call) {
  return capture_piece(call, &Captures::stop);
}

}  // namespace

std::span<const Route> capture_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "captures", Access::read, list_captures},
      {"POST", "captures", Access::change, start_capture},
      {"POST", "captures/*/read", Access::look, read_capture},
      {"DELETE", "captures/*", Access::change, stop_capture},
  };
  return kRoutes;
}

}  // namespace xebec
