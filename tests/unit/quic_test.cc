// SPDX-License-Identifier: BSD-2-Clause
// QUIC connection ids: the cipher by FIPS 197, the ids by the draft's vectors, and where packets that carry them go.
#include <random>

#include <gtest/gtest.h>

#include "dataplane/aes128.h"
#include "dataplane/quic_routes.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr const char* kVip = "203.0.113.10";

Bytes hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(digit(text[i]) * 16 + digit(text[i + 1])));
  return bytes;
}
Aes128::Block block(std::string_view text) {
  const Bytes bytes = hex(text);
  Aes128::Block out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}
ServerId server_id(std::string_view text) {
  const Bytes bytes = hex(text);
  ServerId id;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  id.length = static_cast<uint8_t>(bytes.size());
  return id;
}
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// FIPS 197 appendices B and C.1.
constexpr std::string_view kCipherRows[][3] = {
    {"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734",
     "3925841d02dc09fbdc118597196a0b32"},
    {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
     "69c4e0d86a7b0430d8cdb78070b4c55a"}};

TEST(Aes128, HasTheStandardsAnswersInHardwareAndInPortableCode) {
  for (const auto& [key, plain, cipher] : kCipherRows) {
    for (const auto engine : {Aes128::Engine::automatic, Aes128::Engine::portable}) {
      const Aes128 aes(block(key), engine);
      EXPECT_EQ(aes.encrypt(block(plain)), block(cipher)) << aes.is_hardware();
      EXPECT_EQ(aes.decrypt(block(cipher)), block(plain)) << aes.is_hardware();
    }
  }
}

TEST(Aes128, IsTheSameInHardwareAndInPortableCode) {
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    Aes128::Block key, text;
    for (uint8_t& byte : key) byte = static_cast<uint8_t>(random());
    for (uint8_t& byte : text) byte = static_cast<uint8_t>(random());
    const Aes128 one(key), other(key, Aes128::Engine::portable);
    ASSERT_FALSE(other.is_hardware());
    ASSERT_EQ(one.encrypt(text), other.encrypt(text));
    ASSERT_EQ(one.decrypt(text), other.decrypt(text));
    ASSERT_EQ(other.decrypt(other.encrypt(text)), text);
  }
}

struct LbRow {
  std::string_view server_id, nonce, key, connection_id;
};
// draft-ietf-quic-load-balancers-21: appendices B.1 (the second row with the nonce that its id has) and B.2, and the
// example of section 5.4.2.4.
constexpr std::string_view kKey = "8f95f09245765f80256934e50c66207f";
constexpr LbRow kLbRows[] = {
    {"c4605e", "4504cc4f", "", "07c4605e4504cc4f"},
    {"350d28b420", "3487d970b0", "", "20350d28b4203487d970b0"},
    {"ed793a", "ee080dbf", kKey, "0720b1d07b359d3c"},
    {"ed793a51d49b8f5fab65", "ee080dbf48", kKey, "2fcc381bc74cb4fbad2823a3d1f8fed2"},
    {"ed793a51d49b8f5f", "ee080dbf48c0d1e5", kKey, "504dd2d05a7b0de9b2b9907afb5ecf8cc3"},
    {"ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", kKey, "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
    {"31441a", "9c69c275", "fdf726a9893ec05c0632d3956680baf0", "0767947d29be054a"}};

QuicLbCode code_of(const LbRow& row) {
  QuicLbCode code{static_cast<uint8_t>(row.server_id.size() / 2), static_cast<uint8_t>(row.nonce.size() / 2)};
  if (!row.key.empty()) code.cipher.emplace(block(row.key));
  return code;
}

TEST(QuicLb, DecodesTheDraftsVectors) {
  for (const LbRow& row : kLbRows)
    EXPECT_EQ(code_of(row).decode(hex(row.connection_id)), server_id(row.server_id)) << row.connection_id;
}

TEST(QuicLb, TakesNoIdThatIsTooShortAndPassesOverWhatIsTooLong) {
  for (const LbRow& row : kLbRows) {
    Bytes id = hex(row.connection_id);
    EXPECT_EQ(code_of(row).decode(id + Bytes{1, 2, 3}), server_id(row.server_id))
        << "servers may append bytes";
    while (!id.empty()) {
      id.pop_back();
      EXPECT_EQ(code_of(row).decode(id), ServerId{}) << row.connection_id << " of " << id.size();
    }
  }
}

// The server's side of section 5.4.2, written after its steps and on nibbles, where the product works on bytes.
Bytes encrypt_slowly(const Aes128& aes, const Bytes& plain) {
  std::vector<int> nibbles;
  for (const uint8_t byte : plain) nibbles.insert(nibbles.end(), {byte >> 4, byte & 15});
  const std::size_t half = plain.size();  // in nibbles
  std::vector<int> left(nibbles.begin(), nibbles.begin() + static_cast<long>(half));
  std::vector<int> right(nibbles.begin() + static_cast<long>(half), nibbles.end());
  for (uint8_t number = 1; number <= 4; ++number) {
    std::vector<int>& from = number % 2 == 1 ? left : right;
    std::vector<int>& to = number % 2 == 1 ? right : left;
    // An odd right half begins in the middle of a byte.
    const std::size_t odd = half % 2;
    const std::size_t from_at = number % 2 == 1 ? 0 : odd, to_at = number % 2 == 1 ? odd : 0;
    Aes128::Block input{};
    for (std::size_t i = 0; i < half; ++i)
      input[(i + from_at) / 2] =
          static_cast<uint8_t>(input[(i + from_at) / 2] | from[i] << ((i + from_at) % 2 == 0 ? 4 : 0));
    input[14] = static_cast<uint8_t>(plain.size());
    input[15] = number;
    const Aes128::Block mask = aes.encrypt(input);
    for (std::size_t i = 0; i < half; ++i)
      to[i] ^= mask[(i + to_at) / 2] >> ((i + to_at) % 2 == 0 ? 4 : 0) & 15;
  }
  left.insert(left.end(), right.begin(), right.end());
  Bytes out;
  for (std::size_t i = 0; i < left.size(); i += 2)
    out.push_back(static_cast<uint8_t>(left[i] << 4 | left[i + 1]));
  return out;
}

TEST(QuicLb, DecryptsWhatAServerEncryptsWithEveryPairOfLengths) {
  EXPECT_EQ(encrypt_slowly(Aes128(block(kLbRows[6].key)), hex("31441a9c69c275")), hex("67947d29be054a"));
  std::mt19937 random(2);
  for (uint8_t id_length = 1; id_length <= kMaxServerIdLength; ++id_length) {
    for (uint8_t nonce = kMinNonceLength; id_length + nonce <= kMaxQuicBlock; ++nonce) {
      Bytes plain(id_length + std::size_t{nonce});
      for (uint8_t& byte : plain) byte = static_cast<uint8_t>(random());
      Aes128::Block key;
      for (uint8_t& byte : key) byte = static_cast<uint8_t>(random());
      const QuicLbCode code{id_length, nonce, Aes128(key)};
      Bytes cipher = encrypt_slowly(*code.cipher, plain);
      if (plain.size() == 16) {
        Aes128::Block one;
        std::copy(plain.begin(), plain.end(), one.begin());
        one = code.cipher->encrypt(one);
        cipher.assign(one.begin(), one.end());
      }
      const ServerId id = code.decode(Bytes{0} + cipher);
      ASSERT_EQ(Bytes(id.bytes.begin(), id.bytes.begin() + id.length),
                Bytes(plain.begin(), plain.begin() + id_length))
          << int{id_length} << "+" << int{nonce};
    }
  }
}

TEST(Katran, ReadsItsThreeVersions) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"4100800000000000", "00000402"},  // version 1: 16 bits behind the first two
      {"7fffc00000000000", "0000ffff"},
      {"8012345600000000", "00123456"},
      {"c012345678000000", "12345678"}};
  for (const auto& [id, server] : rows) EXPECT_EQ(katran_server_id(hex(id)), server_id(server)) << id;
  for (const std::string_view none :
       {"0012345678000000", "4000000000000000", "80ff000000000000", "80123456000000"}) {
    const bool zero = none == std::string_view("80ff000000000000");
    EXPECT_EQ(katran_server_id(hex(none)), zero ? server_id("00ff0000") : ServerId{}) << none;
  }
}

TEST(QuicPacket, ShowsItsDestinationIdWhateverTheVersion) {
  const Bytes id = hex("07c4605e4504cc4f");
  const auto found = [](const Bytes& payload) {
    const auto at = quic_destination_id(payload);
    return Bytes(at.begin(), at.end());
  };
  for (const char* version : {"00000001", "6b3343cf", "deadbeef", "00000000"})
    EXPECT_EQ(found(Bytes{0xc3} + hex(version) + Bytes{8} + id + Bytes{0, 9, 9}), id) << version;
  EXPECT_EQ(found(Bytes{0x41} + id), id) << "a short header";
  EXPECT_EQ(found(Bytes{0x41} + id + Bytes{1, 2}), (id + Bytes{1, 2})) << "as far as the packet goes";
  const Bytes full = Bytes{0x80} + hex("00000001") + Bytes{8} + id;
  for (std::size_t length = 0; length < full.size(); ++length)
    EXPECT_TRUE(found(Bytes(full.begin(), full.begin() + static_cast<long>(length))).empty()) << length;
  EXPECT_TRUE(found({0x80, 0, 0, 0, 1, 0, 0}).empty()) << "an id of no bytes";
}

// ---- Packets ----
class QuicForward : public testing::Test {
 protected:
  void SetUp() override {
    story.service(kVip, kProtoUdp, 443);
    for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) ids.push_back(story.backend(a));
    remake();
  }
  void remake() {
    QuicRoutes::Codes codes;
    codes[0] = {3, 4};
    codes[2] = {8, 8, Aes128(block(kKey))};
    std::vector<QuicRoutes::Server> servers = {{server_id("000001"), ids[0]},
                                               {server_id("000002"), ids[1]},
                                               {server_id("ed793a51d49b8f5f"), ids[2]}};
    Service& service = story.service_at(0);
    service.hash_input = HashInput::quic;
    service.quic = std::make_shared<const QuicRoutes>(QuicFormat::quic_lb, codes, std::move(servers));
    table = story.make();
  }
  Decision send(uint16_t client_port, const Bytes& payload) {
    const Bytes received =
        FrameBuilder().ethernet().ipv4("192.0.2.1", kVip).udp(client_port, 443).payload(payload).build();
    const HeapFrame frame(received);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, now);
    count_sent(state->counters, {&decision, 1});
    EXPECT_EQ(test::judge(received, decision, packet, *table), "");
    EXPECT_TRUE(test::accounts_balance(state->counters));
    return decision;
  }
  static Bytes short_packet(const Bytes& id) { return Bytes{0x43} + id + Bytes(20, 'd'); }
  static Bytes long_packet(const Bytes& id) {
    return Bytes{0xc3, 0, 0, 0, 1, static_cast<uint8_t>(id.size())} + id + Bytes{0} + Bytes(1200, 'i');
  }
  /// Of a client that has not heard from the server: nothing that is configured.
  static Bytes clients_own(uint8_t byte = 0x66) { return Bytes(8, byte); }
  static Bytes id_of_server(uint8_t number) { return Bytes{0x07, 0, 0, number, 0x11, 0x22, 0x33, 0x44}; }

  TableStory story;
  std::vector<uint32_t> ids;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  uint64_t now = 100 * kSecond;
};

TEST_F(QuicForward, FollowsARoutableIdFromWhateverAddress) {
  for (uint16_t port = 1000; port < 1100; ++port) {
    const Decision d = send(port, short_packet(id_of_server(2)));
    ASSERT_EQ(d.backend, ids[1]) << port;
    ASSERT_EQ(d.origin, FlowOrigin::connection_id);
    ASSERT_EQ(send(port, long_packet(id_of_server(1))).backend, ids[0]) << port;
    ASSERT_EQ(send(port, short_packet(hex("504dd2d05a7b0de9b2b9907afb5ecf8cc3"))).backend, ids[2]) << port;
  }
  EXPECT_EQ(state->counters.quic_routed.read(), 300u);
  EXPECT_EQ(state->counters.quic_unrouted.read(), 0u);
}

TEST_F(QuicForward, SendsAllOthersByAddressesAndPorts) {
  const Bytes unroutable[] = {long_packet(clients_own()),               // a rotation that is not configured
                              short_packet(Bytes{0xe7} + Bytes(7, 1)),  // 0b111
                              short_packet(id_of_server(9)),            // no such server
                              Bytes{0x43, 0x07, 0, 0, 1, 0x11},         // too short for an id
                              long_packet({0x07, 0, 0, 1}),             // says so itself
                              Bytes{},
                              Bytes{0xc3, 0, 0, 0, 1, 200}};  // an id longer than the packet
  for (uint16_t port = 2000; port < 2050; ++port) {
    const uint32_t first = send(port, unroutable[0]).backend;
    ASSERT_EQ(first,
              table->services()[0].backend_ids[table->services()[0].lookup->pick(state->in_hand[0].hash)]);
    for (const Bytes& payload : unroutable) {
      const Decision d = send(port, payload);
      ASSERT_EQ(d.backend, first) << payload.size();
      ASSERT_EQ(d.origin, FlowOrigin::hit);
    }
  }
  EXPECT_EQ(state->counters.quic_unrouted.read(), 50u * 8);
}

TEST_F(QuicForward, LetsARoutableIdWinOverARememberedFlowAndLeavesThatAsItIs) {
  uint16_t port = 3000;
  while (send(port, long_packet(clients_own())).backend != ids[0]) ++port;
  EXPECT_EQ(send(port, short_packet(id_of_server(2))).backend, ids[1]);
  const Decision again = send(port, long_packet(clients_own()));
  EXPECT_EQ(again.backend, ids[0]) << "not moved by what anybody could have written";
  EXPECT_EQ(again.origin, FlowOrigin::hit);
}

TEST_F(QuicForward, RemembersWhereAnIdHasLedIfNothingWasRemembered) {
  uint16_t port = 4000;
  // A port that the lookup array has elsewhere.
  for (ForwardState probe(FlowTableConfig{.capacity = 4096, .timeouts = {}});; ++port) {
    state = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
    if (send(port, long_packet(clients_own())).backend != ids[1]) break;
  }
  state = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  EXPECT_EQ(send(port, short_packet(id_of_server(2))).backend, ids[1]);
  const Decision by_flow = send(port, short_packet(Bytes{0xe7} + Bytes(7, 1)));
  EXPECT_EQ(by_flow.backend, ids[1]);
  EXPECT_EQ(by_flow.origin, FlowOrigin::hit);
}

TEST_F(QuicForward, TreatsTheIdOfAServerThatTakesNoPacketsAsUnknown) {
  story.at(ids[1]).usable = false;
  remake();
  for (uint16_t port = 5000; port < 5050; ++port) {
    const Decision d = send(port, short_packet(id_of_server(2)));
    ASSERT_EQ(d.verdict, Verdict::forward);
    ASSERT_NE(d.backend, ids[1]);
    ASSERT_EQ(d.origin, FlowOrigin::created);
  }
  // Once it is back, its id leads to it again, and the flow follows only if its own backend is gone.
  story.at(ids[1]).usable = true;
  story.at(ids[0]).usable = story.at(ids[2]).usable = false;
  remake();
  for (uint16_t port = 5000; port < 5050; ++port)
    ASSERT_EQ(send(port, short_packet(id_of_server(2))).backend, ids[1]);
  story.at(ids[0]).usable = story.at(ids[2]).usable = true;
  remake();
  for (uint16_t port = 5000; port < 5050; ++port)
    ASSERT_EQ(send(port, long_packet(clients_own())).backend, ids[1]);
}

TEST_F(QuicForward, FollowsIdsOfAStatelessServiceAndRemembersNothing) {
  story.service_at(0).stateless = true;
  remake();
  EXPECT_EQ(send(6000, short_packet(id_of_server(2))).backend, ids[1]);
  EXPECT_EQ(send(6000, short_packet(clients_own())).origin, FlowOrigin::stateless);
  EXPECT_EQ(state->flows.stats().inserts, 0u);
}

TEST_F(QuicForward, SurvivesEveryTruncationOfAPacket) {
  for (const Bytes& whole : {long_packet(id_of_server(1)), short_packet(id_of_server(1))}) {
    for (std::size_t length = 0; length <= std::min<std::size_t>(whole.size(), 64); ++length)
      send(7000, Bytes(whole.begin(), whole.begin() + static_cast<long>(length)));
  }
}

}  // namespace
}  // namespace xebec
