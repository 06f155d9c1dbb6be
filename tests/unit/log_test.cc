// SPDX-License-Identifier: BSD-2-Clause
// What is logged: which lines are alike, how many of them, and what the journal gets.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "control/journal.h"
#include "control/log_rate.h"
#include "control/log_sinks.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(LogKind, IsTheLineWithoutItsNumbersAndAddresses) {
  struct {
    const char* line;
    const char* kind;
  } const kRows[] = {
      {"", ""},
      {"stopped", "stopped"},
      {"backend 10.0.1.11 of web: usable", "backend # of web: usable"},
      {"backend fd77::11 of web4: usable", "backend # of web#: usable"},
      {"eth0 queue 12: stuck with 3 frames.", "eth# queue #: stuck with # frames."},
      {"digest 00ff00aa", "digest #"},
      {"added a dead face", "added a dead face"},
  };
  for (const auto& row : kRows) EXPECT_EQ(log_kind(row.line), row.kind);
  EXPECT_NE(log_kind("backend 10.0.1.11 of web: usable"), log_kind("backend 10.0.1.11 of web: not usable"));
}

class LogRateTest : public testing::Test {
 protected:
  uint32_t admitted(uint32_t lines, std::chrono::milliseconds at,
                    std::string_view text = "backend {} is down") {
    uint32_t count = 0;
    for (uint32_t i = 0; i < lines; ++i)
      count += rate_.admit(fmt::format(fmt::runtime(text), i), start_ + at) ? 1 : 0;
    return count;
  }
  std::vector<std::string> told(std::chrono::milliseconds at) { return rate_.summaries(start_ + at); }

  LogRate rate_;
  LogRate::Clock::time_point start_{1000s};
};

TEST_F(LogRateTest, WritesABurstAndThenSaysHowManyItLeftOut) {
  EXPECT_EQ(admitted(1000, 0ms), LogRate::kBurst);
  EXPECT_EQ(admitted(5, 9'999ms), 0u);
  EXPECT_THAT(told(9'999ms), IsEmpty());
  EXPECT_THAT(told(10'000ms), ElementsAre("955 similar lines suppressed: backend 50 is down"));
  EXPECT_THAT(told(11'000ms), IsEmpty());
  EXPECT_EQ(admitted(1, 11'000ms), 1u) << "and begins again";
}

TEST_F(LogRateTest, LeavesAloneWhatIsSeldomEnough) {
  for (int i = 0; i < 600; ++i) EXPECT_EQ(admitted(1, i * 1000ms), 1u) << i;
  EXPECT_THAT(told(600'000ms), IsEmpty());
}

TEST_F(LogRateTest, TellsKindsApart) {
  EXPECT_EQ(admitted(100, 0ms), LogRate::kBurst);
  EXPECT_EQ(admitted(100, 0ms, "backend {} is up"), LogRate::kBurst);
  EXPECT_EQ(told(10s).size(), 2u);
}

TEST_F(LogRateTest, LeavesOutNoLineOfTheAudit) {
  EXPECT_EQ(admitted(1000, 0ms, "api: PATCH /v1/services/web by uid {} pid 7: 200"), 1000u);
  EXPECT_EQ(admitted(1000, 0ms, "audit: uid {} pid 7: change services/web/backends/10.0.0.1/weight"), 1000u);
}

TEST_F(LogRateTest, KeepsABoundedNumberOfKinds) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < 10'000; ++i) {
    std::string name;
    for (uint32_t n = i; n != 0; n /= 10) name += static_cast<char>('q' + n % 10);
    count += rate_.admit("kind " + name, start_) ? 1 : 0;
  }
  EXPECT_EQ(count, LogRate::kKinds + LogRate::kBurst) << "one each, and a burst for all that have no place";
  EXPECT_EQ(admitted(1, 20s, "another {}"), 1u);
}

TEST(LimitedSink, WritesOneLineAnEventAndCountsTheRest) {
  std::ostringstream out;
  auto inner = std::make_shared<spdlog::sinks::ostream_sink_mt>(out);
  auto limited = std::make_shared<LimitedSink>(inner);
  spdlog::logger logger("test", limited);
  logger.set_pattern("%l %v");
  logger.info("a\nforged line\x1b[0m");
  for (int i = 0; i < 60; ++i) logger.error("fault {}", i);
  limited->tell_suppressed(LogRate::Clock::now() + 11s);
  EXPECT_THAT(out.str(), testing::StartsWith("info a?forged line?[0m\nerror fault 0\n"));
  EXPECT_THAT(out.str(),
              testing::EndsWith("error fault 49\nwarning 10 similar lines suppressed: fault 50\n"));
}

TEST(Journal, FieldsOfALineAreWhatItIsAbout) {
  struct {
    const char* line;
    JournalFields fields;
  } const kRows[] = {
      {"stopped", {}},
      {"ready: 3 services, control socket /run/x", {{"XEBEC_AREA", "ready"}}},
      {"api: DELETE /v1/services/web by uid 0 pid 1: 200", {{"XEBEC_AREA", "api"}}},
      {"backend fd77::11 of web: down: connection refused",
       {{"XEBEC_AREA", "backend"}, {"XEBEC_BACKEND", "fd77::11"}, {"XEBEC_SERVICE", "web"}}},
      {"worker 3: binding its sockets anew", {{"XEBEC_AREA", "worker"}, {"XEBEC_WORKER", "3"}}},
      {"eth0 queue 2: the transmit ring moves again",
       {{"XEBEC_AREA", "queue"}, {"XEBEC_INTERFACE", "eth0"}, {"XEBEC_QUEUE", "2"}}},
      {"the table was not updated: why", {}},
  };
  for (const auto& row : kRows) EXPECT_EQ(fields_of_line(row.line), row.fields) << row.line;
}

TEST(Journal, WritesItsProtocol) {
  using namespace std::string_literals;
  EXPECT_EQ(journal_datagram({{"MESSAGE", "a"}, {"PRIORITY", "6"}}), "MESSAGE=a\nPRIORITY=6\n");
  EXPECT_EQ(journal_datagram({{"MESSAGE", "a\nFORGED=b"}}), "MESSAGE\n\x0a\0\0\0\0\0\0\0a\nFORGED=b\n"s);
}

TEST(Journal, SinkSendsADatagramForEachLine) {
  char directory[] = "/tmp/xebec-journal-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/socket";
  EXPECT_FALSE(Journal::open(path).has_value()) << "nobody listens there";
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  auto journal = Journal::open(path);
  ASSERT_TRUE(journal.has_value()) << journal.error();
  spdlog::logger logger("test", std::make_shared<JournalSink>(std::move(*journal), "lb1"));
  logger.warn("worker {}: binding its sockets anew", 2);
  char buffer[4096];
  const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
  ASSERT_GT(got, 0);
  EXPECT_EQ(
      std::string(buffer, static_cast<std::size_t>(got)),
      "MESSAGE=worker 2: binding its sockets anew\nPRIORITY=4\nSYSLOG_IDENTIFIER=xebecd\nSYSLOG_FACILITY=3\n"
      "XEBEC_INSTANCE=lb1\nXEBEC_AREA=worker\nXEBEC_WORKER=2\n");
  close(fd);
  logger.warn("nobody hears this, and it does not matter");
  unlink(path.c_str());
  rmdir(directory);
}

}  // namespace
}  // namespace xebec
