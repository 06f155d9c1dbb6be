// SPDX-License-Identifier: BSD-2-Clause
// Arguments of the helper programs that the suites run: pairs of --name and value, no more. (CLI11 would be most of the
// time it takes to build them.)
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "bench/measure.h"

namespace xebec::bench {

class Arguments {
 public:
  /// From argv[first] on.
  Arguments(int argc, char** argv, int first) : words_(argv + std::min(first, argc), argv + argc) {
    require(words_.size() % 2 == 0, "arguments are pairs of --name and value");
  }

  std::vector<std::string> all(const std::string& name) {
    known_.insert("--" + name);
    std::vector<std::string> values;
    for (std::size_t i = 0; i < words_.size(); i += 2) {
      if (words_[i] == "--" + name) values.push_back(words_[i + 1]);
    }
    return values;
  }
  std::string text(const std::string& name, const std::string& otherwise) {
    const auto values = all(name);
    return values.empty() ? otherwise : values.back();
  }
  std::string text(const std::string& name) {
    const auto values = all(name);
    require(!values.empty(), "--" + name + " is needed");
    return values.back();
  }
  double number(const std::string& name, double otherwise, double least, double most) {
    const auto values = all(name);
    if (values.empty()) return otherwise;
    char* end = nullptr;
    const double value = std::strtod(values.back().c_str(), &end);
    require(end != values.back().c_str() && *end == '\0' && value >= least && value <= most,
            "--" + name + " " + values.back() + " is not in its range");
    return value;
  }
  uint32_t count(const std::string& name, uint32_t otherwise, uint32_t least, uint32_t most) {
    return static_cast<uint32_t>(number(name, otherwise, least, most));
  }

  /// After all have been asked for: ends the process for a name that nobody knows.
  void end() const {
    for (std::size_t i = 0; i < words_.size(); i += 2) {
      require(known_.count(words_[i]) == 1, "unknown argument " + words_[i]);
    }
  }

 private:
  std::vector<std::string> words_;
  std::set<std::string> known_;
};

}  // namespace xebec::bench
