// SPDX-License-Identifier: BSD-2-Clause
// What values of a configuration mean together: which are allowed, which contradict each other.
#pragma once

#include <functional>
#include <string>

#include "control/config.h"

namespace xebec {

/// How the checks see a configuration that may have been read with errors. Pointers are those of
/// write_config's document: /services/0/backends/1/weight.
struct ValidationSink {
  /// Something is wrong there.
  std::function<void(const std::string& pointer, std::string message)> report;
  /// Whether the value there was read without error. A check whose values were not is left out.
  std::function<bool(const std::string& pointer)> usable;
  /// The pointer as the operator knows it, for messages.
  std::function<std::string(const std::string& pointer)> shown;

  /// Reports what is wrong with a value, if anything is and the value was read.
  void report_at(const std::string& pointer, std::string message) const {
    if (!message.empty() && usable(pointer)) report(pointer, std::move(message));
  }
};

void check_config(const Config& config, const ValidationSink& sink);
/// One service with its backends. `at`: its pointer.
void check_service(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);
void check_backend(const BackendConfig& backend, const ServiceConfig& service, const std::string& service_at,
                   const std::string& at, const ValidationSink& sink);

/// Empty if `size` is prime; else a sentence with the nearest primes.
std::string prime_fault(uint32_t size);

}  // namespace xebec
