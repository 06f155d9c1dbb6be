// SPDX-License-Identifier: BSD-2-Clause
// What becomes of configurations: their history, their file, and what a change would move.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "control/author.h"
#include "control/config_file.h"
#include "control/config_history.h"
#include "control/config_impact.h"
#include "control/table_builder.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

const std::chrono::system_clock::time_point kNow{1'000'000'000s};

Config config_of(std::size_t backends) {
  Config config;
  ServiceConfig service;
  service.name = "web";
  service.vip = IpAddress::parse("203.0.113.10").value();
  service.port = 80;
  service.table_size = 251;
  for (std::size_t i = 0; i < backends; ++i) {
    BackendConfig backend;
    backend.address =
        IpAddress::parse("10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250)).value();
    service.backends.push_back(backend);
  }
  config.services.push_back(service);
  return config;
}

TEST(ConfigHistory, CountsGenerationsAndKeepsWhatWasInForce) {
  ConfigHistory history(config_of(1), "start", kNow);
  EXPECT_EQ(history.generation(), 1u);
  history.add(config_of(2), diff(config_of(1), config_of(2)), "uid 0", kNow + 1s);
  EXPECT_EQ(history.generation(), 2u);
  EXPECT_EQ(history.entries().back().by, "uid 0");
  EXPECT_EQ(history.entries().back().changes, 1u);
  ASSERT_NE(history.find(1), nullptr);
  EXPECT_EQ(history.find(1)->services[0].backends.size(), 1u);
  EXPECT_EQ(history.find(0), nullptr);
  EXPECT_EQ(history.find(3), nullptr);
}

TEST(ConfigHistory, GoesBackBeforeWhatSomebodyDidAndNotBeforeAnAnswerOfDns) {
  ConfigHistory history(config_of(1), "start", kNow);
  const auto add = [&](const char* by) { history.add(config_of(1), {}, by, kNow); };
  EXPECT_EQ(history.before_last_made(), 0u);
  add("dns web.example.org");
  EXPECT_EQ(history.before_last_made(), 0u);
  add("API of uid 0");
  add("dns web.example.org");
  add("dns web.example.org");
  EXPECT_EQ(history.before_last_made(), 2u);
}

TEST(ConfigHistory, IsNotFilledByAnswersOfDns) {
  ConfigHistory history(config_of(1), "start", kNow);
  history.add(config_of(2), {}, "API of uid 0", kNow);
  for (int i = 0; i < 100; ++i) {
    history.add(config_of(3), {}, "dns web.example.org", kNow);
    history.add(config_of(4), {}, "dns api.example.org", kNow);
  }
  EXPECT_EQ(history.generation(), 202u);
  ASSERT_EQ(history.entries().size(), 4u);
  EXPECT_EQ(history.before_last_made(), 1u);
  EXPECT_EQ(history.find(2)->services[0].backends.size(), 2u);
  EXPECT_EQ(history.find(202)->services[0].backends.size(), 4u);
  EXPECT_EQ(history.find(100), nullptr);
  history.add(config_of(5), {}, "API of uid 0", kNow);
  EXPECT_EQ(history.before_last_made(), 202u);
}

TEST(ConfigHistory, IsBoundedInEntriesAndLines) {
  ConfigHistory history(config_of(1), "start", kNow);
  const auto changes = diff(config_of(0), config_of(200));
  ASSERT_EQ(changes.size(), 200u);
  for (int i = 0; i < 100; ++i) history.add(config_of(1), changes, "me", kNow);
  EXPECT_EQ(history.entries().size(), ConfigHistory::kMaxEntries);
  EXPECT_EQ(history.generation(), 101u);
  EXPECT_EQ(history.find(51), nullptr);
  EXPECT_NE(history.find(52), nullptr);
  EXPECT_EQ(history.entries().back().diff.size(), ConfigHistory::kMaxDiff);
  EXPECT_EQ(history.entries().back().changes, 200u);
}

TEST(ConfigHistory, LetsGoOfOldLargeConfigurationsButNeverOfTheLastTwo) {
  Config large = config_of(0);
  large.services[0].backends.resize(ConfigHistory::kMaxKept);
  ConfigHistory history(large, "start", kNow);
  history.add(large, {}, "me", kNow);
  history.add(large, {}, "me", kNow);
  EXPECT_EQ(history.find(1), nullptr);
  EXPECT_NE(history.find(2), nullptr);
  EXPECT_NE(history.find(3), nullptr);
  EXPECT_EQ(history.entries().size(), 3u);
}

class ConfigFileTest : public ::testing::Test {
 protected:
  ConfigFileTest() {
    char name[] = "/tmp/xebec-config-file-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/xebec.json";
  }
  ~ConfigFileTest() override { std::filesystem::remove_all(directory_); }
  static std::string content(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  void write(const std::string& text) { std::ofstream(path_) << text; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  /// A file that the daemon has read.
  ConfigFile taken(const std::string& text) {
    write(text);
    ConfigFile file(path_);
    file.took(file.read().value());
    return file;
  }
  std::string directory_, path_;
};

TEST_F(ConfigFileTest, ReplacesTheFileAndKeepsTheOldOneBesideIt) {
  ConfigFile file = taken("// mine\n{}");
  chmod(path_.c_str(), 0604);
  ASSERT_TRUE(file.save("{\"a\":1}", false).has_value());
  EXPECT_EQ(content(path_), "{\"a\":1}");
  EXPECT_EQ(content(path_ + ".old"), "// mine\n{}");
  ASSERT_TRUE(file.save("{}", false).has_value());  // its own writing is not somebody else's
  EXPECT_EQ(content(path_ + ".old"), "{\"a\":1}");
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0604u);
  EXPECT_EQ(files(), 2u);
}

TEST_F(ConfigFileTest, RefusesToOverwriteWhatItHasNotReadUnlessForced) {
  ConfigFile file = taken("{}");
  write("{ }");
  const auto refused = file.save("new", false);
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().changed);
  EXPECT_EQ(refused.error().message, path_ + ": was changed since the daemon read it");
  EXPECT_EQ(content(path_), "{ }");
  EXPECT_EQ(files(), 1u);
  EXPECT_TRUE(file.save("new", true).has_value());
  EXPECT_EQ(content(path_), "new");

  ConfigFile unread(path_);
  EXPECT_TRUE(unread.save("{}", false).error().changed);
  ConfigFile fresh(directory_ + "/new.json");
  EXPECT_TRUE(fresh.save("{}", false).has_value());
}

TEST_F(ConfigFileTest, WritesThroughASymbolicLink) {
  std::filesystem::create_symlink(path_, directory_ + "/link");
  write("{}");
  ConfigFile file(directory_ + "/link");
  file.took("{}");
  ASSERT_TRUE(file.save("new", false).has_value());
  EXPECT_TRUE(std::filesystem::is_symlink(directory_ + "/link"));
  EXPECT_EQ(content(path_), "new");
}

/// A process of its own: the limit is one.
int with_a_full_disk(const std::string& path, const std::string& text) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    setrlimit(RLIMIT_FSIZE, &limit);
    ConfigFile file(path);
    file.took("old");
    const auto saved = file.save(text, false);
    _exit(!saved && !saved.error().changed ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(ConfigFileTest, LeavesTheOldFileAndNothingElseWhereTheDiskIsFull) {
  write("old");
  EXPECT_EQ(with_a_full_disk(path_, std::string(10'000, 'x')), 0);
  EXPECT_EQ(content(path_), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(ConfigFileTest, HoldsTheOldTextOrTheNewOneWheneverItIsKilled) {
  const std::string old_text(200'000, 'o'), new_text(300'000, 'n');
  int killed = 0;
  for (useconds_t delay = 0; delay < 4000; delay += 200) {
    write(old_text);
    const pid_t child = fork();
    if (child == 0) {
      for (bool first = true;; first = false) {
        ConfigFile file(path_);
        (void)file.save(first ? new_text : old_text, true);
      }
    }
    usleep(delay);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status);
    const std::string now = content(path_);
    EXPECT_TRUE(now == old_text || now == new_text) << now.size() << " bytes after " << delay << " us";
    ConfigFile next(path_);
    EXPECT_TRUE(next.save("{}", true).has_value());  // over what the killed one left
  }
  EXPECT_EQ(killed, 20);
}

/// Tables of one network in which everybody answers.
class Impact : public ::testing::Test {
 protected:
  Impact() : builder_({1, 2, 3}) {
    network_.links = {{7, "eth0", {{2, 0, 0, 0, 0, 1}}, 1500}};
    hop_.state = ResolvedHop::State::reachable;
    hop_.ifindex = 7;
    network_.find_hop = [this](const IpAddress&) { return &hop_; };
  }
  std::unique_ptr<const Table> build(TableBuilder& builder, const Config& config) {
    return std::move(builder.build(config, network_, 1'000'000'000).value());
  }
  /// Of going from one to the other, with ten live flows on each backend.
  std::vector<ServiceImpact> of(const Config& from, const Config& to) {
    const auto before = build(builder_, from);
    TableBuilder trial = builder_;
    const auto after = build(trial, to);
    return impact_of(*before, *after, [&](uint32_t id) {
      return id < before->backends().size() && before->backends()[id].usable ? 10u : 0u;
    });
  }
  TableBuilder builder_;
  NetworkView network_;
  ResolvedHop hop_;
};

TEST_F(Impact, IsNoneOfWhatStays) {
  EXPECT_TRUE(of(config_of(4), config_of(4)).empty());
}

TEST_F(Impact, OfABackendThatDrainsIsItsShareAndFlowsThatStay) {
  Config to = config_of(4);
  to.services[0].backends[3].admin = Admin::drain;
  const auto impact = of(config_of(4), to);
  ASSERT_EQ(impact.size(), 1u);
  EXPECT_GE(impact[0].array_moved, 0.25);
  EXPECT_EQ(impact[0].flows_moved, 0u);
  EXPECT_EQ(impact[0].flows_draining, 10u);
  EXPECT_TRUE(of(to, to).empty()) << "it drains already";
}

TEST_F(Impact, OfARemovedBackendIsItsShareAndItsFlows) {
  const auto impact = of(config_of(4), config_of(3));
  ASSERT_EQ(impact.size(), 1u);
  EXPECT_EQ(impact[0].service, "web");
  EXPECT_GE(impact[0].array_moved, 0.25);
  EXPECT_LT(impact[0].array_moved, 0.30);
  EXPECT_EQ(impact[0].live_flows, 40u);
  EXPECT_EQ(impact[0].flows_moved, 10u);
}

TEST_F(Impact, OfADrainIsItsShareAndNoFlow) {
  Config to = config_of(4);
  to.services[0].backends[0].admin = Admin::drain;
  const auto impact = of(config_of(4), to);
  ASSERT_EQ(impact.size(), 1u);
  EXPECT_GE(impact[0].array_moved, 0.25);
  EXPECT_EQ(impact[0].flows_moved, 0u);
}

TEST_F(Impact, OfAnotherTableSizeIsFoundBySampling) {
  Config to = config_of(4);
  to.services[0].table_size = 65537;
  const auto impact = of(config_of(4), to);
  ASSERT_EQ(impact.size(), 1u);
  EXPECT_NEAR(impact[0].array_moved, 0.75, 0.15);  // two arrays that have nothing to do with each other
  EXPECT_EQ(impact[0].flows_moved, 0u);
}

TEST_F(Impact, OfAServiceThatGoesIsAllAndOneThatComesIsAllOfNothing) {
  Config other = config_of(2);
  other.services[0].name = "new";
  const auto impact = of(config_of(4), other);
  ASSERT_EQ(impact.size(), 2u);
  EXPECT_EQ(impact[0], (ServiceImpact{"web", 1, 40, 40, 0}));
  EXPECT_EQ(impact[1], (ServiceImpact{"new", 1, 0, 0, 0}));
}

TEST(Author, HasANameAsLongAsTheProcessLives) {
  EXPECT_EQ(author("API of", 5, 0), "API of uid 5 pid 0");
  const std::string me = author("API of", getuid(), getpid());
  EXPECT_NE(me.find("(config_life"), std::string::npos) << me;
}

}  // namespace
}  // namespace xebec
