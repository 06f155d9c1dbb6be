// SPDX-License-Identifier: BSD-2-Clause
// Workers on CPUs: configuration, permission and NUMA nodes.
#include "control/cpu_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string only(const CpuPlan& plan) {
  return plan.findings.size() == 1 ? to_string(plan.findings[0])
                                   : std::to_string(plan.findings.size()) + " findings";
}

const DevicePlace kNode1{"eth0", 1, {4, 5, 6, 7}};

TEST(CpuPlan, TakesTheAllowedCpusInOrderWhereNothingIsSaid) {
  const CpuPlan plan = plan_cpus({2, {}, {1, 3, 5}, {{"veth0", std::nullopt, {}}}});
  EXPECT_THAT(plan.cpus, ElementsAre(1, 3));
  EXPECT_THAT(plan.findings, IsEmpty());
}

TEST(CpuPlan, PrefersTheCpusOfTheDevicesNode) {
  const CpuPlan plan = plan_cpus({3, {}, {0, 1, 2, 3, 4, 6, 7}, {kNode1}});
  EXPECT_THAT(plan.cpus, ElementsAre(4, 6, 7));
  EXPECT_THAT(plan.findings, IsEmpty());
}

TEST(CpuPlan, GoesToTheOtherNodeWhereTheDevicesIsFullAndSaysSo) {
  const CpuPlan plan = plan_cpus({6, {}, {0, 1, 2, 3, 4, 5, 6, 7}, {kNode1}});
  EXPECT_THAT(plan.cpus, ElementsAre(4, 5, 6, 7, 0, 1));
  EXPECT_THAT(only(plan), HasSubstr("eth0: it is on NUMA node 1, workers on CPU 0, 1 are not"));
  EXPECT_THAT(only(plan), HasSubstr("(mend: \"cpus\": [4, 5, 6, 7], or fewer queues)"));
}

TEST(CpuPlan, ObeysConfiguredCpusOnAnotherNodeAndWarns) {
  const CpuPlan plan = plan_cpus({2, {2, 3}, {0, 1, 2, 3, 4, 5, 6, 7}, {kNode1}});
  EXPECT_THAT(plan.cpus, ElementsAre(2, 3));
  EXPECT_THAT(only(plan), HasSubstr("workers on CPU 2, 3 are not"));
}

TEST(CpuPlan, WarnsOfADeviceOnAnotherNodeThanTheFirst) {
  const DevicePlace other{"eth1", 0, {0, 1, 2, 3}};
  const CpuPlan plan = plan_cpus({2, {}, {0, 1, 2, 3, 4, 5, 6, 7}, {kNode1, other}});
  EXPECT_THAT(plan.cpus, ElementsAre(4, 5));
  EXPECT_THAT(only(plan), HasSubstr("eth1: it is on NUMA node 0"));
}

TEST(CpuPlan, BeginsAgainWhereWorkersAreMoreThanCpusAndSaysSo) {
  const CpuPlan plan = plan_cpus({3, {}, {0, 1}, {}});
  EXPECT_THAT(plan.cpus, ElementsAre(0, 1, 0));
  EXPECT_THAT(only(plan), HasSubstr("3 workers share 2 CPUs"));
}

TEST(CpuPlan, NamesACpuThatIsNotAllowed) {
  const CpuPlan plan = plan_cpus({1, {9}, {0, 1}, {}});
  EXPECT_THAT(plan.cpus, ElementsAre(9));
  EXPECT_THAT(only(plan), HasSubstr("worker 0: CPU 9 is not there or not allowed"));
}

TEST(CpuList, ReadsWhatSysfsWrites) {
  EXPECT_THAT(*parse_cpu_list("0-3,8\n"), ElementsAre(0, 1, 2, 3, 8));
  EXPECT_THAT(*parse_cpu_list("5"), ElementsAre(5));
  EXPECT_THAT(*parse_cpu_list("\n"), IsEmpty());  // a node of memory alone
}

TEST(CpuList, RefusesWhatIsNone) {
  for (const char* text : {"a", "3-1", "1,", "1-", "-1", "0-99999999", "1,,2", "8192"})
    EXPECT_FALSE(parse_cpu_list(text).has_value()) << text;
}

}  // namespace
}  // namespace xebec
