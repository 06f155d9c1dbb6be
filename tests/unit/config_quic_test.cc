// SPDX-License-Identifier: BSD-2-Clause
// What a configuration says of QUIC connection ids: read, written, refused, and its keys kept secret.
#include <gtest/gtest.h>

#include "control/config_quic.h"
#include "control/config_reader.h"

namespace xebec {
namespace {

constexpr std::string_view kKey = "8f95f09245765f80256934e50c66207f";

std::string text_of(std::string_view quic, std::string_view backends = "",
                    std::string_view more = R"("hash": "quic")") {
  return R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 443, "protocol": "udp")" +
         (more.empty() ? std::string() : ", " + std::string(more)) +
         (quic.empty() ? std::string() : ", \"quic\": " + std::string(quic)) + R"(, "backends": [)" +
         std::string(backends) + "]}]}";
}

std::string error_of(const std::string& text) {
  const auto read = read_config(text, "f");
  return read ? "" : read.error().front().pointer + ": " + read.error().front().message;
}

constexpr std::string_view kFull = R"({"configs": [
    {"rotation": 0, "server_id_length": 2, "nonce_length": 6},
    {"rotation": 6, "server_id_length": 3, "nonce_length": 16, "key": "8F95f09245765f80256934e50c66207f"}]})";
constexpr std::string_view kBackends = R"({"address": "10.0.0.1", "server_id": "04d2"},
    {"address": "10.0.0.2", "server_id": ["04d3", "0004D3"]}, {"address": "10.0.0.3"})";

TEST(ConfigQuic, ReadsWhatItWrites) {
  const auto read = read_config(text_of(kFull, kBackends), "f");
  ASSERT_TRUE(read) << error_of(text_of(kFull, kBackends));
  const ServiceConfig& service = read->services[0];
  ASSERT_TRUE(service.quic);
  EXPECT_EQ(service.quic->configs[1].rotation, 6);
  EXPECT_EQ(service.quic->configs[1].key->at(0), 0x8f);
  EXPECT_EQ(service.backends[1].server_ids[1].length, 3);
  EXPECT_TRUE(read_config(write_config(*read, true).dump(), "f").value() == *read);
}

TEST(ConfigQuic, ShowsNoKey) {
  const Config config = read_config(text_of(kFull, kBackends), "f").value();
  for (const std::string& shown :
       {write_config(config, false).dump(), write_service(config.services[0]).dump()}) {
    EXPECT_EQ(shown.find(kKey), std::string::npos);
    EXPECT_NE(shown.find("\"key\":\"hidden\""), std::string::npos) << "but says that there is one: " << shown;
  }
  const std::string wrong =
      error_of(text_of(R"({"configs": [{"rotation": 0, "server_id_length": 2, "nonce_length": 6,
      "key": "8f95f09245765f80256934e50c66207"}]})"));
  EXPECT_EQ(wrong.find("8f95"), std::string::npos) << wrong;
  EXPECT_NE(wrong.find("32 hex digits"), std::string::npos) << wrong;
}

TEST(ConfigQuic, TakesAHiddenKeyForTheOneInForce) {
  const Config current = read_config(text_of(kFull, kBackends), "f").value();
  const std::string shown = write_config(current, false).dump();
  EXPECT_NE(error_of(shown).find("/services/0/quic/configs/1/key"), std::string::npos) << "in a file";
  Config wanted = read_config(shown, "f", HiddenKeys::allowed).value();
  EXPECT_EQ(validate(wanted).size(), 1u);
  fill_hidden_keys(wanted, current);
  EXPECT_TRUE(wanted.services[0].quic == current.services[0].quic);
  EXPECT_TRUE(validate(wanted).empty());
  wanted = read_config(shown, "f", HiddenKeys::allowed).value();
  wanted.services[0].name = "another";
  fill_hidden_keys(wanted, current);
  EXPECT_EQ(validate(wanted).size(), 1u) << "no service of that name has a key";
}

struct Row {
  std::string text, error;
};

TEST(ConfigQuic, RefusesWhatCannotBeMeant) {
  const std::string one = R"({"configs": [{"rotation": 0, "server_id_length": 2, "nonce_length": 6}]})";
  const Row rows[] = {
      {text_of(""), "/services/0/hash: \"quic\" needs the object"},
      {text_of(one, "", ""), "/services/0/quic: means nothing unless \"hash\" is \"quic\""},
      {text_of("{}"), "/services/0/quic/configs: missing or empty"},
      {text_of(R"({"configs": []})"), "/services/0/quic/configs: missing or empty"},
      {text_of(R"({"configs": [{"rotation": 7, "server_id_length": 2, "nonce_length": 6}]})"),
       "/services/0/quic/configs/0/rotation: 7 is out of range 0..6"},
      {text_of(R"({"configs": [{"rotation": 1, "server_id_length": 2, "nonce_length": 3}]})"),
       "/services/0/quic/configs/0/nonce_length: 3 is out of range 4..18"},
      {text_of(R"({"configs": [{"rotation": 1, "server_id_length": 10, "nonce_length": 10}]})"),
       "/services/0/quic/configs/0/nonce_length: server id and nonce are 20 bytes together"},
      {text_of(R"({"configs": [{"rotation": 1, "server_id_length": 2, "nonce_length": 6},
                               {"rotation": 1, "server_id_length": 3, "nonce_length": 6}]})"),
       "/services/0/quic/configs/1/rotation: 1 is that of /services/0/quic/configs/0, too"},
      {text_of(
           R"({"format": "katran", "configs": [{"rotation": 0, "server_id_length": 2, "nonce_length": 6}]})"),
       "/services/0/quic/configs: are of format quic-lb"},
      {text_of(R"({"format": "quiclb"})"),
       "/services/0/quic/format: \"quiclb\" is not a format; available: quic-lb, katran"},
      {text_of(one, R"({"address": "10.0.0.1", "server_id": "0102030"})"),
       "/services/0/backends/0/server_id: \"0102030\" is not a server id"},
      {text_of(one, R"({"address": "10.0.0.1", "server_id": 5})"),
       "/services/0/backends/0/server_id: must be hex digits"},
      {text_of(one, R"({"address": "10.0.0.1", "server_id": "010203"})"),
       "/services/0/backends/0/server_id: \"010203\" has 3 bytes, and \"server_id_length\" is 2"},
      {text_of(
           one,
           R"({"address": "10.0.0.1", "server_id": "0102"}, {"address": "10.0.0.2", "server_id": "0102"})"),
       "/services/0/backends/1/server_id: \"0102\" is that of /services/0/backends/0, too"},
      {text_of(R"({"format": "katran"})", R"({"address": "10.0.0.1", "server_id": "05"},
               {"address": "10.0.0.2", "server_id": "00000005"})"),
       "/services/0/backends/1/server_id: \"00000005\" is that of /services/0/backends/0, too"},
      {text_of(R"({"format": "katran"})", R"({"address": "10.0.0.1", "server_id": "0000"})"),
       "/services/0/backends/0/server_id: 0 is no server of Katran's"},
      {text_of("", R"({"address": "10.0.0.1", "server_id": "0102"})", ""),
       "/services/0/backends/0/server_id: means nothing unless the service has \"quic\""},
      {R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 443, "protocol": "tcp", "hash": "quic", "quic": )" +
           one + "}]}",
       "/services/0/hash: \"quic\" is of UDP, and the service is not"}};
  for (const Row& row : rows)
    EXPECT_EQ(error_of(row.text).substr(0, row.error.size()), row.error) << row.text;
}

}  // namespace
}  // namespace xebec
