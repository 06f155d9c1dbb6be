// SPDX-License-Identifier: BSD-2-Clause
// What a network interface's driver says it can do with XDP frames.
#include "control/xdp_features.h"

#include <fcntl.h>
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
constexpr char kGroup[] = "mgmt";      // NETDEV_MCGRP_MGMT

constexpr char kNoFamily[] = "the kernel does not tell XDP features (it does from 6.3 on)";

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

/// An attribute of the kernel's description of the family.
const nlattr* ask_family(Question& question, uint16_t wanted) {
  nlmsghdr* request = question.begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
  mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, kFamily);
  return question.ask(request, wanted);
}

std::optional<uint16_t> family_id(const Socket& socket) {
  Question question(socket);
  const nlattr* id = ask_family(question, CTRL_ATTR_FAMILY_ID);
  if (id == nullptr) return std::nullopt;
  return mnl_attr_get_u16(id);
}

/// One entry of CTRL_ATTR_MCAST_GROUPS.
struct Group {
  const char* name = "";
  uint32_t id = 0;
};

int take_group_part(const nlattr* attribute, void* group) {
  auto* out = static_cast<Group*>(group);
  const uint16_t type = mnl_attr_get_type(attribute);
  if (type == CTRL_ATTR_MCAST_GRP_NAME && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
    out->name = mnl_attr_get_str(attribute);
  if (type == CTRL_ATTR_MCAST_GRP_ID && mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
    out->id = mnl_attr_get_u32(attribute);
  return MNL_CB_OK;
}

int take_group(const nlattr* attribute, void* id) {
  Group group;
  mnl_attr_parse_nested(attribute, take_group_part, &group);
  if (std::strcmp(group.name, kGroup) == 0) *static_cast<uint32_t*>(id) = group.id;
  return MNL_CB_OK;
}

/// 0: the kernel has no such family or group.
uint32_t group_id(const Socket& socket) {
  Question question(socket);
  const nlattr* groups = ask_family(question, CTRL_ATTR_MCAST_GROUPS);
  uint32_t id = 0;
  if (groups != nullptr) mnl_attr_parse_nested(groups, take_group, &id);
  return id;
}

std::string cannot_ask() {
  return fmt::format("cannot ask the kernel for XDP features: {}", std::strerror(errno));
}

}  // namespace

tl::expected<uint64_t, XdpFeaturesError> xdp_features(int ifindex) {
  const Socket socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return tl::unexpected(XdpFeaturesError{false, cannot_ask()});
  }
  const auto family = family_id(socket);
  if (!family)
    return tl::unexpected(XdpFeaturesError{errno == ENOENT, errno == ENOENT ? kNoFamily : cannot_ask()});
  Question question(socket);
  nlmsghdr* request = question.begin(*family, kCmdDevGet, kVersion);
  mnl_attr_put_u32(request, kAttrIfindex, static_cast<uint32_t>(ifindex));
  const nlattr* features = question.ask(request, kAttrFeatures);
  if (features == nullptr) {
    return tl::unexpected(XdpFeaturesError{
        false, fmt::format("the kernel does not tell the XDP features: {}", std::strerror(errno))});
  }
  return mnl_attr_get_u64(features);
}

tl::expected<std::unique_ptr<XdpFeatureEvents>, std::string> XdpFeatureEvents::open() {
  Socket socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return tl::unexpected(cannot_ask());
  uint32_t group = group_id(socket);
  if (group == 0) return tl::unexpected(std::string(kNoFamily));
  const int fd = mnl_socket_get_fd(socket.get());
  if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0 ||
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
    return tl::unexpected(cannot_ask());
  }
  return std::unique_ptr<XdpFeatureEvents>(new XdpFeatureEvents(socket.release()));
}

XdpFeatureEvents::~XdpFeatureEvents() {
  mnl_socket_close(socket_);
}

int XdpFeatureEvents::fd() const {
  return mnl_socket_get_fd(socket_);
}

void XdpFeatureEvents::drain() {
  std::array<char, 8192> buffer;
  // An overrun (ENOBUFS) is news like any other: everything is asked for anew.
  while (mnl_socket_recvfrom(socket_, buffer.data(), buffer.size()) > 0 || errno == ENOBUFS ||
         errno == EINTR) {
  }
}

}  // namespace xebec
