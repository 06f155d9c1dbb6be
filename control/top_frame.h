// SPDX-License-Identifier: BSD-2-Clause
// One frame of `xebec top`: lines of text out of the daemon's answers. Pure; cli_top.cc puts them on a screen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/cli_error.h"

namespace xebec {

enum class TopView : uint8_t { services, backends, workers, drops, log };
inline constexpr std::size_t kTopViews = 5;

/// What the keys have set.
struct TopState {
  TopView view = TopView::services;
  /// Of each view: the column that sorts it; the first time that of packets.
  std::size_t sort[kTopViews] = {4, 6, 2, 1, 0};
  bool ascending[kTopViews] = {};
  std::string filter;   ///< rows that contain it, upper or lower case
  bool typing = false;  ///< the filter is being typed
  bool paused = false;
  bool help = false;
  std::size_t offset = 0;  ///< rows scrolled away
  std::string trouble;     ///< why there is nothing new; empty: there is
  /// The last view's lines, the latest first, in which order they stay; nothing: there is no such view.
  std::optional<std::vector<std::string>> log{};
};

struct TopLine {
  enum class Look : uint8_t { plain, heading, good, bad };
  std::string text;
  Look look = Look::plain;
};

/// The smallest screen that shows anything of use.
inline constexpr std::size_t kTopMinWidth = 40, kTopMinHeight = 8;

std::size_t top_columns(TopView view);

/// How many views the keys go through.
std::size_t top_views(const TopState& state);

/// `now`: the daemon's answers {"status", "services", "backends", "workers"}; `rates`: the same by rates_between(). Lines are no
/// longer than `width`. height 0: as many lines as there are, without the line of keys; else exactly so many, or fewer. Clips
/// state.offset to what there is.
std::vector<TopLine> top_frame(const CliJson& now, const CliJson& rates, TopState& state, std::size_t width,
                               std::size_t height);

}  // namespace xebec
