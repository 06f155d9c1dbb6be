// SPDX-License-Identifier: BSD-2-Clause
// Request targets.
#include "control/http_target.h"

#include <gtest/gtest.h>

namespace xebec {
namespace {

using Query = std::map<std::string, std::string>;

struct Good {
  const char* raw;
  const char* path;
  Query query;
};

TEST(HttpTarget, ReadsPathAndQuery) {
  const Good cases[] = {
      {"/", "/", {}},
      {"/v1/status", "/v1/status", {}},
      {"/v1/status?", "/v1/status", {}},
      {"/a%20b/%C3%A9", "/a b/\xC3\xA9", {}},
      {"/a+b", "/a+b", {}},  // '+' is a space in the query only
      {"/x?a=1&b=2", "/x", {{"a", "1"}, {"b", "2"}}},
      {"/x?dry_run", "/x", {{"dry_run", ""}}},
      {"/x?a=&&b", "/x", {{"a", ""}, {"b", ""}}},
      {"/x?a=b=c", "/x", {{"a", "b=c"}}},
      {"/x?src=%5B2001%3Adb8%3A%3A1%5D:80", "/x", {{"src", "[2001:db8::1]:80"}}},
      {"/x?a%3Db=c+d%2B", "/x", {{"a=b", "c d+"}}},
      {"/x?a=?", "/x", {{"a", "?"}}},
      {"/%2e%2E/", "/../", {}},  // nobody opens files by it
      {"http://xebec/v1/status?x=1", "/v1/status", {{"x", "1"}}},
      {"http://xebec", "/", {}},
      {"*", "*", {}},
  };
  for (const Good& good : cases) {
    const auto got = parse_target(good.raw);
    ASSERT_TRUE(got.has_value()) << good.raw << ": " << got.error();
    EXPECT_EQ(got->path, good.path) << good.raw;
    EXPECT_EQ(got->query, good.query) << good.raw;
  }
}

TEST(HttpTarget, RefusesWhatWouldHaveToBeGuessed) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "the path does not begin with '/'"},
      {"v1/status", "the path does not begin with '/'"},
      {"http://xebec?x=1", "the path does not begin with '/'"},
      {"/a%", "'%' is not %XX"},
      {"/a%4", "'%4' is not %XX"},
      {"/a%zz", "'%zz' is not %XX"},
      {"/x?a=%g0", "'%g0' is not %XX"},
      {"/v1/status%00/secret", "control character 0x00"},
      {"/x?a=b%0d%0ac", "control character 0x0d"},
      {"/x?a=1&a=2", "'a' is given twice"},
  };
  for (const auto& [raw, error] : cases) {
    const auto got = parse_target(raw);
    ASSERT_FALSE(got.has_value()) << raw;
    EXPECT_EQ(got.error(), error) << raw;
  }
}

}  // namespace
}  // namespace xebec
