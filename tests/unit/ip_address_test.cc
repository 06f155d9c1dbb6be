// SPDX-License-Identifier: BSD-2-Clause
// Addresses as text.
#include "dataplane/ip_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace xebec {
namespace {

TEST(IpAddress, PrintsWhatRfc5952AsksFor) {
  const struct {
    const char* text;
    const char* printed;
  } rows[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:0DB8::0001", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"1:0:0:2:3:4:0:0", "1::2:3:4:0:0"},
      {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
      {"fe80:0000:0000:0000:00a0:0b00:c000:000d", "fe80::a0:b00:c000:d"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
  };
  for (const auto& row : rows) {
    const auto address = IpAddress::parse(row.text);
    ASSERT_TRUE(address.has_value()) << row.text;
    EXPECT_EQ(address->to_string(), row.printed);
  }
}

TEST(IpAddress, RefusesWhatIsNotAnAddress) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv,
                                      " "sv,
                                      "1.2.3"sv,
                                      "1.2.3.4.5"sv,
                                      "1.2.3.256"sv,
                                      "01.2.3.4"sv,
                                      "1.2.3.4 "sv,
                                      " 1.2.3.4"sv,
                                      "1.2.3.4/32"sv,
                                      "1.2.3.4\0"sv,
                                      "1.2.3.4\0x"sv,
                                      "0x1.2.3.4"sv,
                                      "1"sv,
                                      "localhost"sv,
                                      ":"sv,
                                      ":::"sv,
                                      "1::2::3"sv,
                                      "1:2:3:4:5:6:7"sv,
                                      "1:2:3:4:5:6:7:8:9"sv,
                                      "12345::"sv,
                                      "fe80::1%eth0"sv,
                                      "[::1]"sv,
                                      "::g"sv,
                                      "::ffff:1.2.3.4"sv,
                                      "::ffff:102:304"sv,
                                      "0:0:0:0:0:FFFF:1.2.3.4"sv,
                                      "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"sv}) {
    EXPECT_FALSE(IpAddress::parse(text).has_value()) << text;
  }
}

TEST(IpAddress, KnowsItsFamily) {
  EXPECT_TRUE(IpAddress::parse("192.0.2.1")->is_v4());
  EXPECT_FALSE(IpAddress::parse("::c000:201")->is_v4());
  EXPECT_FALSE(IpAddress{}.is_v4());
  EXPECT_EQ(IpAddress::parse("192.0.2.1")->v4(), (Be32{{192, 0, 2, 1}}));
  EXPECT_EQ(IpAddress::from_v4(Be32{{192, 0, 2, 1}}), *IpAddress::parse("192.0.2.1"));
}

TEST(IpAddress, SurvivesTheRoundTripThroughText) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    uint8_t bytes[16];
    // Many zero groups, so that every position and length of "::" comes up.
    for (uint8_t& byte : bytes) byte = random() % 4 == 0 ? static_cast<uint8_t>(random()) : uint8_t{0};
    const IpAddress address = IpAddress::from_v6(bytes);
    ASSERT_EQ(IpAddress::parse(address.to_string()), address) << address.to_string();
    uint8_t peer[16];
    ASSERT_EQ(inet_pton(AF_INET6, address.to_string().c_str(), peer), 1);
    ASSERT_EQ(IpAddress::from_v6(peer), address);
  }
}

TEST(MacAddress, ReadsAndPrintsSixPairs) {
  const auto mac = parse_mac("02:aB:00:0f:F0:ff");
  ASSERT_TRUE(mac.has_value());
  EXPECT_EQ(*mac, (MacAddress{{0x02, 0xab, 0x00, 0x0f, 0xf0, 0xff}}));
  EXPECT_EQ(to_string(*mac), "02:ab:00:0f:f0:ff");
}

TEST(MacAddress, RefusesWhatIsNotOne) {
  for (const char* text :
       {"", "02:ab:00:0f:f0", "02:ab:00:0f:f0:ff:00", "02-ab-00-0f-f0-ff", "02:ab:00:0f:f0:fg",
        "2:ab:00:0f:f0:ff", "02:ab:00:0f:f0:f", "02ab:00:0f:f0:fff", " 2:ab:00:0f:f0:ff"}) {
    EXPECT_FALSE(parse_mac(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace xebec
