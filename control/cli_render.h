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
std::string render_stats(const CliJson& answer, RenderOptions options);
std::string render_stats_by_backend(const CliJson& rows, RenderOptions options);
std::string render_stats_by_worker(const CliJson& rows, RenderOptions options);
std::string render_drops(const CliJson& drops, RenderOptions options);
/// What a change changed: a line each, in the manner of diff.
std::string render_diff(const CliJson& diff, RenderOptions options);

/// The value at a path of keys ("packets/received"); null if it is not there.
const CliJson& value_at(const CliJson& object, const std::string& path);

}  // namespace xebec
