// SPDX-License-Identifier: BSD-2-Clause
// The table of drivers' faults: which apply to a kernel, and what is said of them.
#include "control/driver_quirks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Answer = DriverQuirk::Answer;

TEST(KernelVersion, IsTheBeginningOfARelease) {
  EXPECT_EQ(parse_kernel_version("6.1.0-18-amd64"), (KernelVersion{6, 1}));
  EXPECT_EQ(parse_kernel_version("6.18"), (KernelVersion{6, 18}));
  EXPECT_EQ(parse_kernel_version("5.15.167.4-microsoft"), (KernelVersion{5, 15}));
  for (const char* text : {"", "6", "six.one", "6.", ".1"})
    EXPECT_EQ(parse_kernel_version(text), KernelVersion{}) << text;
  EXPECT_LT((KernelVersion{6, 2}), (KernelVersion{6, 18}));
  EXPECT_NE(running_kernel(), KernelVersion{});
}

TEST(DriverQuirks, ApplyUpToTheKernelThatMendsThem) {
  EXPECT_TRUE(answers(quirks_of("mlx5_core", {6, 1}), Answer::force_copy));
  EXPECT_FALSE(answers(quirks_of("mlx5_core", {6, 2}), Answer::force_copy));
  EXPECT_TRUE(answers(quirks_of("ice", {6, 10}), Answer::keep_sockets));
  EXPECT_FALSE(answers(quirks_of("ice", {6, 12}), Answer::keep_sockets));
}

TEST(DriverQuirks, ApplyToEveryKernelWhereNoneIsKnownToMendThem) {
  EXPECT_TRUE(answers(quirks_of("ena", {6, 18}), Answer::force_copy));
  EXPECT_TRUE(answers(quirks_of("ena", {99, 0}), Answer::force_copy));
}

TEST(DriverQuirks, AreNoneForDriversWithoutKnownFaults) {
  EXPECT_THAT(quirks_of("veth", {6, 18}), IsEmpty());
  EXPECT_THAT(quirks_of("unknown", {6, 1}), IsEmpty());
}

TEST(DriverQuirks, SayWhatIsDoneAndWhatTheConfigurationOverrules) {
  const auto quirks = quirks_of("ena", {6, 18});
  const auto automatic = report_quirks("eth0", quirks, false);
  ASSERT_EQ(automatic.size(), 1u);
  EXPECT_EQ(automatic[0].level, Finding::Level::warn);
  EXPECT_THAT(automatic[0].text, testing::AllOf(HasSubstr("eth0: driver ena:"), HasSubstr("; so copy mode"),
                                                HasSubstr("amzn-drivers issues 221, 330")));
  EXPECT_THAT(automatic[0].mend, HasSubstr("\"bind\": \"zerocopy\""));
  EXPECT_THAT(report_quirks("eth0", quirks, true)[0].text,
              HasSubstr("zero-copy all the same, as configured"));
}

TEST(DriverQuirks, NameTheirSourceEachAndWhatHappens) {
  for (const DriverQuirk& quirk : all_driver_quirks()) {
    EXPECT_FALSE(quirk.driver.empty() || quirk.symptom.empty() || quirk.source.empty()) << quirk.driver;
    EXPECT_TRUE(quirk.mended == KernelVersion{} || !quirk.mend.empty()) << quirk.driver;
  }
}

}  // namespace
}  // namespace xebec
