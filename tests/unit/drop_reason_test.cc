// SPDX-License-Identifier: BSD-2-Clause
// docs/drops.md says what dataplane/drop_reason.h says.
#include "dataplane/drop_reason.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace xebec {
namespace {

TEST(DropReasons, StandInTheirDocumentInOrderWithTheirText) {
  std::ifstream file(XEBEC_SOURCE_DIR "/docs/drops.md");
  ASSERT_TRUE(file) << "docs/drops.md cannot be read";
  std::stringstream text;
  text << file.rdbuf();
  std::string rows;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("| `")) rows += line + "\n";
  }
  std::string expected;
  for (const DropReasonText& reason : kDropReasons) {
    expected += "| `" + std::string(reason.name) + "` | " + std::string(reason.text) + " |\n";
  }
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace xebec
