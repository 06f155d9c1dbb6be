// SPDX-License-Identifier: BSD-2-Clause
// The daemon's answers as people and programs read them. docs/api.md has the fields; one that an answer lacks
// shows as "-".
#pragma once

#include <string>

#include "control/cli_error.h"

namespace xebec {

struct RenderOptions {
  bool tsv = false;
  bool colour = false;
  bool statistics = false;  ///< tables with the columns and the exact values of TSV
};

std::string render_status(const CliJson& answer, RenderOptions options);
std::string render_services(const CliJson& rows, RenderOptions options);
/// One service: its properties and its backends. TSV: the row that it has in the list.
std::string render_service(const CliJson& answer, RenderOptions options);
std::string render_backends(const CliJson& rows, RenderOptions options);
std::string render_checks(const CliJson& rows, RenderOptions options);
std::string render_transitions(const CliJson& rows, RenderOptions options);
/// The result of a single check.
std::string render_check(const CliJson& answer, RenderOptions options);
/// TSV: one line a queue.
std::string render_interfaces(const CliJson& rows, RenderOptions options);
std::string render_workers(const CliJson& rows, RenderOptions options);
std::string render_which(const CliJson& answer, RenderOptions options);
/// control/cli_render_explain.cc
std::string render_explain(const CliJson& answer, RenderOptions options);
/// One packet of a capture: the object that -j prints.
std::string render_packet(const CliJson& packet, RenderOptions options);
/// The title line of render_packet()'s TSV.
std::string packet_title();
std::string render_stats(const CliJson& answer, RenderOptions options);
std::string render_stats_by_backend(const CliJson& rows, RenderOptions options);
std::string render_stats_by_worker(const CliJson& rows, RenderOptions options);
std::string render_drops(const CliJson& drops, RenderOptions options);
/// What a change changed: a line each, in the manner of diff.
std::string render_diff(const CliJson& diff, RenderOptions options);

/// control/cli_render_config.cc: what a dry run says of connections, and past configurations.
std::string render_impact(const CliJson& rows, RenderOptions options);
std::string render_config_history(const CliJson& rows, RenderOptions options);

/// "field TAB value" a line, nested keys with dots.
std::string flattened_tsv(const std::string& prefix, const CliJson& value);

/// The value at a path of keys ("packets/received"); null if it is not there.
const CliJson& value_at(const CliJson& object, const std::string& path);

}  // namespace xebec
