// SPDX-License-Identifier: BSD-2-Clause
// "backends_from": JSON <-> DnsSource, and what may stand in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "control/config_fields.h"
#include "control/config_validate.h"

namespace xebec {

std::optional<DnsSource> read_dns_source(ObjectReader& service, Findings& findings);
/// Nothing if there is none.
void write_dns_source(const std::optional<DnsSource>& source, nlohmann::ordered_json& service);
/// Of one service, with what it says of its backends. `at`: its pointer.
void check_dns_source(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);

/// Into a configuration that is about to replace `before`: without a source a service has no discovered backends. Of a whole
/// document, which knows nothing of them, those that a source has named stay as long as it names no others.
void carry_discovered(const Config& before, Config& wanted, bool whole);

/// Into a configuration that goes back to `then`, whose discovered backends are those of now: what was said of them then, their
/// `admin` and, unless SRV records tell it, their weight.
void restore_discovered(const Config& then, Config& wanted);

/// Empty if it is a domain name (RFC 1035 section 2.3.4): labels of at most 63 bytes, the whole at most 253 as text.
std::string dns_name_fault(std::string_view name);

}  // namespace xebec
