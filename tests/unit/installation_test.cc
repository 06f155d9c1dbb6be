// SPDX-License-Identifier: BSD-2-Clause
// The lock, the seed, backend ids and endpoints: the small things a daemon stands on.
#include "control/installation.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "control/backend_ids.h"
#include "control/endpoint.h"
#include "dataplane/limits.h"

namespace xebec {
namespace {

class InstallationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/xebec-installation-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(InstallationTest, LetsOneProcessHoldTheLock) {
  const std::string path = dir_ + "/lock";
  auto first = InstanceLock::take(path);
  ASSERT_TRUE(first.has_value());
  const auto second = InstanceLock::take(path);
  ASSERT_FALSE(second.has_value());
  EXPECT_TRUE(second.error().taken);
  EXPECT_NE(second.error().message.find(std::to_string(getpid())), std::string::npos)
      << second.error().message;
  first->reset();
  EXPECT_TRUE(InstanceLock::take(path).has_value());
}

TEST_F(InstallationTest, FreesTheLockOfAProcessThatWasKilled) {
  const std::string path = dir_ + "/lock";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto lock = InstanceLock::take(path);
    (void)!write(ready[1], "x", 1);
    pause();
    _exit(lock ? 0 : 1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(InstanceLock::take(path).has_value());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(InstanceLock::take(path).has_value());
  close(ready[0]);
  close(ready[1]);
}

TEST_F(InstallationTest, SaysWhereTheLockCannotBe) {
  const auto lock = InstanceLock::take(dir_ + "/a/b/c/lock");
  ASSERT_FALSE(lock.has_value());
  EXPECT_FALSE(lock.error().taken);
}

TEST_F(InstallationTest, KeepsTheSeedForTheNextStart) {
  std::string warning;
  const auto seed = installation_seed(dir_ + "/state", warning);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(installation_seed(dir_ + "/state", warning), seed);
  struct stat st {};
  ASSERT_EQ(stat((dir_ + "/state/hash_seed").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u) << "who knows the seed can choose colliding flows";
  EXPECT_NE(installation_seed(dir_ + "/other", warning), seed);
}

TEST_F(InstallationTest, ReplacesADamagedSeedAndSaysSo) {
  std::ofstream(dir_ + "/hash_seed") << "short";
  std::string warning;
  const auto seed = installation_seed(dir_, warning);
  EXPECT_NE(warning.find("damaged"), std::string::npos);
  EXPECT_EQ(installation_seed(dir_, warning), seed);
}

TEST_F(InstallationTest, WarnsWhereTheSeedCannotBeKept) {
  std::string warning;
  installation_seed("/proc/nowhere", warning);
  EXPECT_NE(warning.find("this run only"), std::string::npos);
}

TEST(BackendIds, GivesOneIdPerServiceAndAddress) {
  BackendIds ids;
  const IpAddress a = *IpAddress::parse("10.0.0.1");
  const auto first = ids.acquire("web", a);
  EXPECT_EQ(ids.acquire("web", a), first);
  EXPECT_NE(ids.acquire("dns", a), first);
  EXPECT_EQ(ids.find("web", a), first);
  ids.release("web", a);
  EXPECT_EQ(ids.find("web", a), std::nullopt);
}

TEST(BackendIds, RestsReleasedIdsBeforeTheyReturn) {
  BackendIds ids;
  const auto address = [](uint32_t i) { return IpAddress::from_v4(Be32::from_host(0x0a000000u + i)); };
  const uint32_t released = *ids.acquire("s", address(0));
  ids.release("s", address(0));
  for (uint32_t i = 1; i <= 1000; ++i) {
    EXPECT_NE(*ids.acquire("s", address(i)), released);
    ids.release("s", address(i));
  }
  EXPECT_LE(ids.end(), 1100u);
}

TEST(BackendIds, DoesNotGrowWithChurn) {
  BackendIds ids;
  for (uint32_t i = 0; i < 100'000; ++i) {
    const IpAddress a = IpAddress::from_v4(Be32::from_host(0x0a000000u + i));
    ASSERT_TRUE(ids.acquire("s", a));
    ids.release("s", a);
  }
  EXPECT_LE(ids.end(), 1100u);
}

TEST(BackendIds, SaysWhenNoneIsLeft) {
  BackendIds ids;
  for (uint32_t i = 0; i < kMaxBackends; ++i) {
    ASSERT_TRUE(ids.acquire("s", IpAddress::from_v4(Be32::from_host(i))));
  }
  EXPECT_FALSE(ids.acquire("s", IpAddress::from_v4(Be32::from_host(kMaxBackends))));
}

TEST(Endpoint, ReadsAddressAndPort) {
  const auto v4 = parse_endpoint("192.0.2.1:80");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->address.to_string(), "192.0.2.1");
  EXPECT_EQ(v4->port, 80);
  const auto v6 = parse_endpoint("[2001:db8::1]:443");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->address.to_string(), "2001:db8::1");
  EXPECT_EQ(v6->port, 443);
}

TEST(Endpoint, RefusesEverythingElse) {
  for (const char* text : {"", ":", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
                           "192.0.2.1:80x", "192.0.2.1: 80", "[192.0.2.1]:80", "2001:db8::1:443",
                           "[2001:db8::1]", "[]:1", "host:80", "192.0.2.1:-1"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
}

}  // namespace
}  // namespace xebec
