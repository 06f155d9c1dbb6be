// SPDX-License-Identifier: BSD-2-Clause
// What a packet of a known flow costs, in forward_batch and in an in-kernel balancer of the usual make: the
// same flows in the same order, in turns, in one run. And what each mode costs beside dsr-l2, and a batch that finds its core's
// caches full of other things beside one that does not. Needs root, except with --alone: our side only, for a profiler. Run
// pinned: taskset -c 1 forward_bench [--quick] [--alone] [--only SUBSTRING]
#include "bench/forwarder.h"
#include "bench/kernel_peer.h"
#include "bench/measure.h"

namespace xebec::bench {
namespace {

constexpr uint32_t kFlowCounts[] = {1, 1'000, 100'000, 1'000'000};
constexpr double kXdplb =
    30;  // ns: an XDP balancer without a flow table (xdplb) on the machine of the targets

std::optional<double> target(uint32_t flows) {
  if (flows == 1'000) return 0.5;
  if (flows == 1'000'000) return 0.25;
  return std::nullopt;
}

void compare_with_kernel(const Options& options, const Scenario& scenario) {
  const std::string prefix = "core/" + scenario.name();
  if (!options.wants(prefix)) return;
  const Traffic traffic(scenario);
  // Room for a quarter more connections than there are, on both sides (ours adds it itself).
  Forwarder ours(scenario, traffic, scenario.flows + 1'000);
  const uint32_t packets = options.quick ? 1u << 20 : 1u << 21;
  if (options.alone) {
    ours.warm_and_check();
    return measure(options, prefix + "/ours-alone", "ns/packet", std::nullopt,
                   [&] { return ours.ns_per_packet(packets); });
  }
  KernelPeer peer(scenario, traffic, scenario.flows + scenario.flows / 4 + 2'000);
  progress(prefix + ": checking the answers");
  ours.warm_and_check();
  peer.warm_and_check();
  double last = 0;
  std::vector<double> figures;
  compare(
      options, prefix + "/ours-vs-in-kernel", "ns/packet", target(scenario.flows),
      [&] {
        last = ours.ns_per_packet(packets);
        figures.push_back(last);
        return last;
      },
      [&] { return peer.ns_per_packet(packets); });
  if (scenario.flows == 1'000) {
    print({prefix + "/ours-vs-30ns", summarize(figures), Summary{kXdplb, 0}, "ns/packet", 1.0});
  }
}

// Ours beside ours: what a packet of `scenario` costs where one of `other` costs so much.
void compare_with_ourselves(const Options& options, const Scenario& scenario, const Scenario& other,
                            const std::string& other_name) {
  const std::string name = "core/" + scenario.name() + "/ours-vs-" + other_name;
  if (!options.wants(name)) return;
  const Traffic traffic(scenario);
  Forwarder ours(scenario, traffic, scenario.flows + 1'000);
  progress(name + ": checking the answers");
  ours.warm_and_check();
  const uint32_t packets = scenario.cold ? 1u << 15 : options.quick ? 1u << 19 : 1u << 21;
  const auto figure = [&] { return ours.ns_per_packet(packets); };
  if (options.alone) return measure(options, name, "ns/packet", std::nullopt, figure);
  Forwarder peer(other, traffic, scenario.flows + 1'000);
  peer.warm_and_check();
  compare(options, name, "ns/packet", std::nullopt, figure, [&] { return peer.ns_per_packet(packets); });
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  using namespace xebec;
  const bench::Options options = bench::options_of(argc, argv);
  for (const Mode mode : {Mode::dsr_l2, Mode::ipip}) {
    for (const bool v6 : {false, true}) {
      for (const uint32_t flows : bench::kFlowCounts) bench::compare_with_kernel(options, {mode, v6, flows});
    }
  }
  for (const Mode mode : {Mode::ipip, Mode::gue, Mode::gre, Mode::vxlan, Mode::dnat, Mode::nat}) {
    for (const bool v6 : {false, true}) {
      bench::compare_with_ourselves(options, {mode, v6, 1'000}, {Mode::dsr_l2, v6, 1'000}, "dsr-l2");
    }
  }
  for (const bool v6 : {false, true}) {
    bench::compare_with_ourselves(options, {Mode::dsr_l2, v6, 1'000, true}, {Mode::dsr_l2, v6, 1'000},
                                  "warm");
  }
}
