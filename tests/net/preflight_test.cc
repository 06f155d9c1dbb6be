// SPDX-License-Identifier: BSD-2-Clause
// Interfaces that sysfs does not show by the name, or shows somebody else's by it.
#include "control/preflight.h"

#include <gmock/gmock.h>

#include "own_network.h"

namespace xebec {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::Not;

class PreflightTest : public OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    run_command("ip link add v0 type veth peer name p0");
  }

  /// "fail  v0: ..." and the like.
  static std::vector<std::string> findings_about(const std::string& name) {
    std::vector<std::string> lines;
    Preflight preflight([&](const Finding& finding) { lines.push_back(to_string(finding)); });
    InterfaceConfig interface;
    interface.name = name;
    check_interface(interface, preflight);
    return lines;
  }
};

TEST_F(PreflightTest, FindsNoFaultWithAnInterfaceByItsName) {
  EXPECT_THAT(findings_about("v0"), Each(Not(HasSubstr("fail"))));
}

TEST_F(PreflightTest, RefusesAnAlternativeNameAndSaysTheOther) {
  run_command("ip link property add dev v0 altname uplink0");
  EXPECT_THAT(findings_about("uplink0"), Contains(HasSubstr("\"name\": \"v0\"")));
}

TEST_F(PreflightTest, RefusesToReadAnotherNamespacesInterface) {
  // As after nsenter --net or unshare(2): the network is ours, /sys is not.
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  run_command("ip link add filler type dummy || ip link add filler type veth peer name filler1");
  run_command("ip link add v0 type veth peer name p0");
  EXPECT_THAT(findings_about("v0"), Contains(HasSubstr("/sys shows another network namespace")));
  run_command("ip link add v1 type veth peer name p1");  // which the other has not
  EXPECT_THAT(findings_about("v1"), Contains(HasSubstr("/sys shows another network namespace")));
}

}  // namespace
}  // namespace xebec
