// SPDX-License-Identifier: BSD-2-Clause
// "quic" objects and server ids: JSON <-> QuicConfig, and what their values mean together.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "control/config_fields.h"
#include "control/config_validate.h"

namespace xebec {

/// Reads the key "quic" of a service and the key "server_id" of a backend.
std::optional<QuicConfig> read_quic(ObjectReader& service, Findings& findings);
std::vector<ServerId> read_server_ids(ObjectReader& backend);

/// Write them into `parent`; nothing if there are none. A key is written as "hidden" unless `with_secrets`.
void write_quic(const std::optional<QuicConfig>& quic, bool with_secrets, nlohmann::ordered_json& parent);
void write_server_ids(const std::vector<ServerId>& ids, nlohmann::ordered_json& parent);

/// The checks of a service and its backends' ids. `at`: the service's pointer.
void check_quic(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);

/// "hidden" is how a key is shown. Through the API it means the key in force, of the service of that name in `current`.
void fill_hidden_keys(Config& wanted, const Config& current);
void check_hidden_keys(const Config& config, const ValidationSink& sink);

}  // namespace xebec
