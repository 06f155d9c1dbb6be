// SPDX-License-Identifier: BSD-2-Clause
// The doctor: frames that go out and answers that come back, and what follows from them.
#include "control/doctor_findings.h"
#include "control/doctor_frames.h"
#include "control/doctor_host.h"
#include "control/probe_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using Level = Finding::Level;
using test::address;
using test::Bytes;
using test::FrameBuilder;
using testing::HasSubstr;

BackendEvidence evidence(Mode mode = Mode::dsr_l2) {
  BackendEvidence e;
  e.service = "web";
  e.backend = "10.0.0.1";
  e.vip = "203.0.113.10";
  e.mode = mode;
  return e;
}

struct Row {
  const char* name;
  BackendEvidence evidence;
  Level level;
  const char* text;
  const char* mend;
};

TEST(DoctorFindings, FollowFromWhatWasSeen) {
  const auto with = [](Mode mode, auto&& change) {
    BackendEvidence e = evidence(mode);
    change(e);
    return e;
  };
  const Row rows[] = {
      {"all is well", with(Mode::dsr_l2, [](auto& e) { e.plain = e.to_vip = true; }), Level::ok,
       "takes packets to 203.0.113.10", ""},
      {"no VIP", with(Mode::dsr_l2, [](auto& e) { e.plain = true; }), Level::fail, "does not hold the VIP",
       "ip address add 203.0.113.10/32 dev lo"},
      {"silent", evidence(), Level::warn, "answers no echo request", "ping 10.0.0.1"},
      {"no way", with(Mode::dsr_l2, [](auto& e) { e.has_way = false; }), Level::fail, "no way to it",
       "xebec backend list"},
      {"a tunnel that works", with(Mode::ipip, [](auto& e) { e.plain = e.to_vip = true; }), Level::ok,
       "out of its ipip tunnel", ""},
      {"no tunnel device",
       with(Mode::ipip,
            [](auto& e) {
              e.plain = true;
              e.refused = "protocol unreachable";
            }),
       Level::fail, "no tunnel device for ipip: it answers with ICMP protocol unreachable",
       "modprobe ipip && ip link set tunl0 up"},
      {"a tunnel and no VIP", with(Mode::gre, [](auto& e) { e.plain = e.inside = true; }), Level::fail,
       "does not hold the VIP", "ip address add"},
      {"a tunnel that swallows", with(Mode::gre, [](auto& e) { e.plain = true; }), Level::fail,
       "reverse-path filtering", "rp_filter=0"},
      {"a silent end of a tunnel", evidence(Mode::gue), Level::warn, "answers no echo request", "ping"},
      {"translated", with(Mode::dnat, [](auto& e) { e.plain = true; }), Level::ok, "answers", ""},
      {"translated and silent", evidence(Mode::nat), Level::warn, "answers no echo request", "ping"},
  };
  for (const Row& row : rows) {
    const auto found = findings_of(row.evidence);
    ASSERT_EQ(found.size(), 1u) << row.name;
    EXPECT_EQ(found[0].level, row.level) << row.name;
    EXPECT_THAT(found[0].text, HasSubstr(row.text)) << row.name;
    EXPECT_THAT(found[0].text, HasSubstr("backend 10.0.0.1 of web")) << row.name;
    EXPECT_THAT(found[0].mend, HasSubstr(row.mend)) << row.name;
    EXPECT_EQ(found[0].mend.empty(), *row.mend == '\0') << row.name;
  }
}

TEST(DoctorFindings, TellOfArpBesideTheRest) {
  BackendEvidence e = evidence();
  e.plain = e.to_vip = e.answers_arp = true;
  const auto found = findings_of(e);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].level, Level::fail);
  EXPECT_THAT(found[0].text, HasSubstr("answers ARP requests for 203.0.113.10"));
  EXPECT_THAT(found[0].mend, HasSubstr("arp_ignore=1"));
  EXPECT_EQ(found[1].level, Level::ok);
}

constexpr DoctorMark kMark{0x0123456789abcdef, 42};

/// The echo request as its receiver would answer it.
Bytes answered(Bytes frame, bool v4) {
  frame[14 + (v4 ? 20 : 40)] = v4 ? 0 : 129;
  uint8_t* const from = frame.data() + 14 + (v4 ? 12 : 8);
  std::swap_ranges(from, from + (v4 ? 4 : 16), from + (v4 ? 4 : 16));
  return frame;
}

TEST(DoctorFrames, AnEchoThatIsAnsweredIsKnownByItsMark) {
  for (const auto& [own, vip] :
       {std::pair{"10.0.0.9", "203.0.113.10"}, std::pair{"2001:db8::9", "2001:db8::10"}}) {
    const Bytes frame = echo_frame(address(own), address(vip), kMark);
    ParsedPacket parsed;
    ASSERT_FALSE(parse(frame, parsed));
    EXPECT_EQ(parsed.kind, PacketKind::icmp_echo);
    EXPECT_FALSE(read_answer(frame)) << "a request is no answer";
    const auto answer = read_answer(answered(frame, address(own).is_v4()));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->kind, DoctorAnswer::Kind::echo);
    EXPECT_EQ(answer->address, address(vip));
    EXPECT_EQ(answer->mark, kMark);
  }
}

TEST(DoctorFrames, GoTheWayOfTheDataPath) {
  const Bytes frame = echo_frame(address("10.0.0.9"), address("203.0.113.10"), kMark);
  for (const Mode mode : {Mode::dsr_l2, Mode::ipip, Mode::gre, Mode::gue, Mode::vxlan}) {
    const Backend backend = test::backend_at("10.0.0.1", mode);
    const Bytes sent = through_data_path(frame, backend);
    ASSERT_FALSE(sent.empty());
    EXPECT_TRUE(std::equal(sent.begin(), sent.begin() + 6, backend.next_hop.destination.bytes));
    const auto tail = std::search(sent.begin() + 14, sent.end(), frame.begin() + 14, frame.end());
    EXPECT_NE(tail, sent.end()) << "the packet is inside";
    EXPECT_EQ(tail == sent.begin() + 14, mode == Mode::dsr_l2);
  }
}

TEST(DoctorFrames, KnowARefusedTunnelByWhatIsQuoted) {
  const Bytes inside = echo_frame(address("10.0.0.9"), address("203.0.113.10"), kMark);
  const Bytes outer = through_data_path(inside, test::backend_at("10.0.0.1", Mode::ipip));
  for (const auto& [code, port] : {std::pair<uint8_t, bool>{2, false}, {3, true}}) {
    Bytes quoted(outer.begin() + 14, outer.begin() + 14 + 28);
    const Bytes error = FrameBuilder()
                            .ethernet()
                            .ipv4("10.0.0.1", "10.0.0.9")
                            .icmp(3, {.code = code})
                            .payload(quoted)
                            .build();
    const auto answer = read_answer(error);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->kind, DoctorAnswer::Kind::unreachable);
    EXPECT_EQ(answer->address, address("10.0.0.1"));
    EXPECT_EQ(answer->port, port);
  }
}

TEST(DoctorFrames, AskForAnAddressByArpWithoutANameOfTheirOwn) {
  const MacAddress mac{{2, 0, 0, 0, 0, 9}};
  Bytes frame = arp_probe(mac, address("203.0.113.10"));
  EXPECT_EQ(Bytes(frame.begin(), frame.begin() + 14),
            (Bytes{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6}));
  EXPECT_EQ(Bytes(frame.begin() + 14, frame.begin() + 42),
            (Bytes{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 203, 0, 113, 10}));
  EXPECT_FALSE(read_answer(frame));
  const Bytes reply{2, 0, 0, 0, 0, 9, 2, 0,   0, 0,   0,  1, 8, 6, 0, 1, 8, 0, 6, 4, 0,
                    2, 2, 0, 0, 0, 0, 1, 203, 0, 113, 10, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0};
  const auto answer = read_answer(reply);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, DoctorAnswer::Kind::arp);
  EXPECT_EQ(answer->address, address("203.0.113.10"));
  EXPECT_EQ(answer->mac, (MacAddress{{2, 0, 0, 0, 0, 1}}));
}

TEST(DoctorFrames, ReadNothingBehindTheEnd) {
  const Bytes echo = answered(echo_frame(address("10.0.0.9"), address("203.0.113.10"), kMark), true);
  const Bytes echo6 = answered(echo_frame(address("2001:db8::9"), address("2001:db8::10"), kMark), false);
  for (const Bytes& whole : {echo, echo6}) {
    for (std::size_t n = 0; n < whole.size(); ++n) {
      const Bytes cut(
          whole.begin(),
          whole.begin() + static_cast<std::ptrdiff_t>(n));  // of exactly its size: ASan sees a step outside
      EXPECT_FALSE(read_answer(cut)) << n;
    }
  }
}

Config nat_config(uint16_t first, uint16_t last) {
  Config config;
  ServiceConfig service;
  service.mode = Mode::nat;
  config.services.push_back(service);
  config.nat.table.first_port = first;
  config.nat.table.last_port = last;
  return config;
}

TEST(DoctorHost, FindsPortsThatTheHostMayTakeForItself) {
  const auto level = [](const Config& config, const char* range, const char* reserved) {
    const auto found = examine_ports(config, {range, reserved});
    return found.empty() ? std::string("nothing") : to_string(found[0]);
  };
  const char* const kRange = "32768\t60999";
  EXPECT_THAT(level(nat_config(1024, 32767), kRange, ""), HasSubstr("ok"));
  EXPECT_THAT(level(nat_config(1024, 40000), kRange, ""),
              HasSubstr("mend: sysctl -w net.ipv4.ip_local_reserved_ports=32768-40000"));
  EXPECT_THAT(level(nat_config(1024, 40000), kRange, "22,32768-40000"), HasSubstr("ok"));
  EXPECT_THAT(level(nat_config(1024, 40000), kRange, "32768-39999"), HasSubstr("fail"));
  EXPECT_THAT(level(nat_config(1024, 40000), "", ""), HasSubstr("warn"));
  EXPECT_EQ(level(Config{}, kRange, ""), "nothing");
}

TEST(DoctorHost, LeavesPortsAloneOnAddressesThatTheHostDoesNotTakeForItself) {
  struct Case {
    const char* what;
    std::vector<const char*> ours, chosen;
    bool ok;
  };
  const Case cases[] = {
      {"none are configured: the route's own is taken", {}, {"10.0.0.254"}, false},
      {"another address", {"10.0.0.253"}, {"10.0.0.254"}, true},
      {"the same among others", {"10.0.0.253", "10.0.0.254"}, {"10.0.0.254"}, false},
      {"none of the family", {"10.0.0.253"}, {"10.0.0.254", "2001:db8::fe"}, false},
      {"one of each family", {"10.0.0.253", "2001:db8::fd"}, {"10.0.0.254", "2001:db8::fe"}, true},
  };
  for (const Case& c : cases) {
    Config config = nat_config(1024, 40000);
    HostFacts facts{"32768\t60999", ""};
    facts.chosen.emplace();
    for (const char* a : c.ours) config.nat.addresses.push_back(address(a));
    for (const char* a : c.chosen) facts.chosen->insert(address(a));
    const auto found = examine_ports(config, facts);
    ASSERT_EQ(found.size(), 1u) << c.what;
    EXPECT_EQ(found[0].level == Finding::Level::ok, c.ok) << c.what << ": " << found[0].text;
  }
  Config config = nat_config(1024, 40000);
  config.nat.addresses = {address("10.0.0.253")};
  EXPECT_EQ(examine_ports(config, {"32768\t60999", ""})[0].level, Finding::Level::fail) << "nobody has asked";
}

}  // namespace
}  // namespace xebec
