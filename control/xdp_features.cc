// SPDX-License-Identifier: BSD-2-Clause
// What a network interface's driver says it can do with XDP frames.
#include "control/xdp_features.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include <fmt/format.h>

namespace xebec {
namespace {

// include/uapi/linux/netdev.h
constexpr char kFamily[] = "netdev";
constexpr uint8_t kVersion = 1;
constexpr uint8_t kCmdDevGet = 1;      // NETDEV_CMD_DEV_GET
constexpr uint16_t kAttrIfindex = 1;   // NETDEV_A_DEV_IFINDEX
constexpr uint16_t kAttrFeatures = 3;  // NETDEV_A_DEV_XDP_FEATURES

struct Closer {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, Closer>;

/// One request of one attribute, and one attribute of its answer; errno says why there is none.
class Question {
 public:
  explicit Question(const Socket& socket) : socket_(socket) {}

  nlmsghdr* begin(uint16_t family, uint8_t command, uint8_t version) {
    nlmsghdr* header = mnl_nlmsg_put_header(buffer_.data());
    header->nlmsg_type = family;
    header->nlmsg_flags = NLM_F_REQUEST;
    header->nlmsg_seq = 1;
    auto* generic = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(header, sizeof(genlmsghdr)));
    generic->cmd = command;
    generic->version = version;
    return header;
  }

  const nlattr* ask(const nlmsghdr* request, uint16_t wanted) {
    wanted_ = wanted;
    found_ = nullptr;
    const uint32_t port = mnl_socket_get_portid(socket_.get());
    if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) return nullptr;
    const ssize_t length = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (length < 0) return nullptr;
    errno = ENODATA;
    const auto each = [](const nlmsghdr* message, void* self) {
      return static_cast<Question*>(self)->take(message);
    };
    if (mnl_cb_run(buffer_.data(), static_cast<std::size_t>(length), 1, port, each, this) < 0) return nullptr;
    return found_;
  }

 private:
  // mnl_attr_for_each is C only; this is the same with attributes parsed by the library.
  int take(const nlmsghdr* message) {
    const auto each = [](const nlattr* attribute, void* self) {
      auto* question = static_cast<Question*>(self);
      if (mnl_attr_get_type(attribute) == question->wanted_) question->found_ = attribute;
      return MNL_CB_OK;
    };
    return mnl_attr_parse(message, sizeof(genlmsghdr), each, this);
  }

  const Socket& socket_;
  uint16_t wanted_ = 0;
  const nlattr* found_ = nullptr;
  alignas(nlmsghdr) std::array<char, 8192> buffer_{};
};

std::optional<uint16_t> family_id(const Socket& socket) {
  Question question(socket);
  nlmsghdr* request = question.begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
  mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, kFamily);
  const nlattr* id = question.ask(request, CTRL_ATTR_FAMILY_ID);
  if (id == nullptr) return std::nullopt;
  return mnl_attr_get_u16(id);
}

}  // namespace

tl::expected<uint64_t, std::string> xdp_features(int ifindex) {
  const Socket socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return tl::unexpected(fmt::format("cannot ask the kernel for XDP features: {}", std::strerror(errno)));
  }
  const auto family = family_id(socket);
  if (!family)
    return tl::unexpected(std::string("the kernel does not tell XDP features (it does from 6.3 on)"));
  Question question(socket);
  nlmsghdr* request = question.begin(*family, kCmdDevGet, kVersion);
  mnl_attr_put_u32(request, kAttrIfindex, static_cast<uint32_t>(ifindex));
  const nlattr* features = question.ask(request, kAttrFeatures);
  if (features == nullptr) {
    return tl::unexpected(fmt::format("the kernel does not tell the XDP features: {}", std::strerror(errno)));
  }
  return mnl_attr_get_u64(features);
}

}  // namespace xebec
