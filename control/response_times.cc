// SPDX-License-Identifier: BSD-2-Clause
#include "control/response_times.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace xebec {
namespace {

/// One backend on its way from a weight to another; permilles of `weight`.
struct Course {
  double weight = 0;
  double from = 0;
  double to = 0;
  double at(double part) const { return weight * (from + part * (to - from)); }
};

/// Share of the array that changes hands when all have gone so much of their way, 0..1.
double moved(const std::vector<Course>& courses, double part) {
  double before = 0, after = 0;
  for (const Course& c : courses) {
    before += c.at(0);
    after += c.at(part);
  }
  double sum = 0;
  for (const Course& c : courses) sum += std::abs(c.at(part) / after - c.at(0) / before);
  return sum / 2;
}

/// The largest part of the way, 0..1, on which no more than `most` changes hands.
double part_within(const std::vector<Course>& courses, double most) {
  if (moved(courses, 1) <= most) return 1;
  double low = 0, high = 1;
  for (int i = 0; i < 20; ++i) {  // to a millionth
    const double middle = (low + high) / 2;
    (moved(courses, middle) <= most ? low : high) = middle;
  }
  return low;
}

}  // namespace

bool ResponseTimes::is_wanted(const Config& config) {
  return std::any_of(config.services.begin(), config.services.end(),
                     [](const ServiceConfig& s) { return s.weights == WeightSource::response_time; });
}

void ResponseTimes::observe(const Key& key, std::chrono::nanoseconds took) {
  const double ms = static_cast<double>(took.count()) / 1e6;
  std::optional<double>& average = known_[key].average_ms;
  average = average ? *average + kNew * (ms - *average) : ms;
}

bool ResponseTimes::step(const Config& config, const std::function<bool(const Key&)>& takes) {
  std::set<Key> wanted;
  bool due = false;
  for (const ServiceConfig& service : config.services) {
    if (service.weights != WeightSource::response_time) continue;
    for (const BackendConfig& backend : service.backends) wanted.emplace(service.name, backend.address);
    due |= step(service, takes);
  }
  std::erase_if(known_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  return due;
}

bool ResponseTimes::step(const ServiceConfig& service, const std::function<bool(const Key&)>& takes) {
  std::vector<Known*> who;
  std::vector<Course> courses;
  double fastest = INFINITY;
  for (const BackendConfig& backend : service.backends) {
    const Key key{service.name, backend.address};
    if (backend.weight == 0 || !takes(key)) continue;
    Known& known = known_[key];
    if (known.average_ms) fastest = std::min(fastest, *known.average_ms + kNoiseMs);
    who.push_back(&known);
    courses.push_back({static_cast<double>(backend.weight), known.permille, kWhole});
  }
  const double floor = service.weights_floor_percent * kWhole / 100.0;
  for (std::size_t i = 0; i < who.size(); ++i) {
    // Of whom nothing is known yet nothing is taken.
    if (who[i]->average_ms)
      courses[i].to = std::clamp(kWhole * fastest / (*who[i]->average_ms + kNoiseMs), floor, double{kWhole});
  }
  if (courses.size() < 2 || moved(courses, 1) < kWorth) return false;
  const double part = part_within(courses, kPlanned * service.weights_move_percent / 100.0);
  for (std::size_t i = 0; i < who.size(); ++i)
    who[i]->permille = courses[i].from + part * (courses[i].to - courses[i].from);
  return true;
}

uint32_t ResponseTimes::permille(const ServiceConfig& service, const IpAddress& backend) const {
  if (service.weights != WeightSource::response_time) return kWhole;
  const auto found = known_.find({service.name, backend});
  if (found == known_.end()) return kWhole;
  return static_cast<uint32_t>(std::clamp(std::lround(found->second.permille), 1L, long{kWhole}));
}

std::optional<double> ResponseTimes::average_ms(const Key& key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? std::nullopt : found->second.average_ms;
}

}  // namespace xebec
