// SPDX-License-Identifier: BSD-2-Clause
// A comparison: two things measured in turns (A B A B ...) in one run, and the line of JSON that says how it
// went.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace xebec::bench {

/// What the caller asked for: --quick, --only SUBSTRING, --alone.
struct Options {
  bool quick = false;
  bool alone = false;  ///< our side only, for a profiler; needs no root
  std::string only;    ///< measure only what has this in its name
  bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
  uint32_t runs() const { return quick ? 3 : 7; }
};
/// Ends the process with a usage line for anything unknown.
Options options_of(int argc, char** argv);

/// CPU time of this thread: what others on the machine take from it does not count, steal of the hypervisor
/// does.
double thread_cpu_ns();

/// Median and (max - min) / median of several runs.
struct Summary {
  double median = 0;
  double spread = 0;
};
Summary summarize(std::vector<double> values);

/// One row of the report. Absent peer: nothing to compare with; absent target: for information.
struct Row {
  std::string name;
  Summary ours;
  std::optional<Summary> peer;
  std::string unit;
  std::optional<double> target;  ///< the ratio ours / peer must not exceed
};
void print(const Row& row);

/// Measures both in turns, `runs` times each, and prints the row. A run returns its figure.
void compare(const Options& options, const std::string& name, const std::string& unit,
             std::optional<double> target, const std::function<double()>& ours,
             const std::function<double()>& peer);

/// Prints the row of a figure without a peer. `limit`: a fixed figure that stands in for one, with target 1.
void measure(const Options& options, const std::string& name, const std::string& unit,
             std::optional<double> limit, const std::function<double()>& ours);

/// A line to stderr if that is a terminal.
void progress(const std::string& what);

/// An answer was wrong: says which and ends the process, so that no figure of it counts.
void require(bool holds, const std::string& what);

}  // namespace xebec::bench
