// SPDX-License-Identifier: BSD-2-Clause
// Renderers of a whole answer, made of the renderers of its parts.
#pragma once

#include <functional>
#include <string>

#include <fmt/format.h>
#include <tl/expected.hpp>

#include "control/cli_render.h"

namespace xebec {

using Rendering = tl::expected<std::string, CliError>;

/// An array that an answer has to have.
inline tl::expected<CliJson, CliError> list_in(const CliJson& answer, const std::string& key) {
  const CliJson& list = value_at(answer, key);
  if (list.is_array()) return list;
  return tl::unexpected(CliError{"failed", fmt::format("the daemon's answer: has no list \"{}\"", key),
                                 "-j shows the answer as it is"});
}

/// A renderer of the rows of one list.
inline auto rows_of(const char* key, std::string (*render)(const CliJson&, RenderOptions)) {
  return [key, render](const CliJson& answer, RenderOptions options) -> Rendering {
    const auto rows = list_in(answer, key);
    if (!rows) return tl::unexpected(rows.error());
    return render(*rows, options);
  };
}

/// A renderer of the whole answer.
inline auto whole(std::string (*render)(const CliJson&, RenderOptions)) {
  return
      [render](const CliJson& answer, RenderOptions options) -> Rendering { return render(answer, options); };
}

}  // namespace xebec
