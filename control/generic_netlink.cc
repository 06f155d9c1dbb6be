// SPDX-License-Identifier: BSD-2-Clause
// A socket of one family of generic netlink.
#include "control/generic_netlink.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace xebec {
namespace {

// The longest answer asked for is a NIC's list of features by name, some 12 KiB.
constexpr std::size_t kBufferSize = 64 * 1024;
constexpr std::size_t kRequestSize = 512;
// The kernel answers within the send; the deadline is for one that breaks this.
constexpr timeval kAnswerDeadline{1, 0};
// More than a receive buffer of 208 KiB, the default, holds: who drains it until it is empty reads fewer.
constexpr int kMessagesPerDrain = 4096;

GenericNetlinkError error_of(int code, const std::string& what) {
  return {code, fmt::format("{}: {}", what, std::strerror(code))};
}

/// Keeps the first message of an answer that is one.
int keep(const nlmsghdr* message, void* out) {
  auto* kept = static_cast<std::unique_ptr<GenericMessage>*>(out);
  if (!*kept) *kept = std::make_unique<GenericMessage>(message);
  return MNL_CB_OK;
}

}  // namespace

// libmnl looks for attributes up to the aligned end of a message; what it may find there is zeros.
GenericMessage::GenericMessage(const nlmsghdr* message) : bytes_(MNL_ALIGN(message->nlmsg_len)) {
  std::memcpy(bytes_.data(), message, message->nlmsg_len);
}

uint8_t GenericMessage::command() const {
  if (mnl_nlmsg_get_payload_len(header()) < sizeof(genlmsghdr)) return 0;
  return static_cast<const genlmsghdr*>(mnl_nlmsg_get_payload(header()))->cmd;
}

tl::expected<GenericNetlink, GenericNetlinkError> GenericNetlink::open(const std::string& family,
                                                                       uint8_t version) {
  Socket socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return tl::unexpected(error_of(errno, "cannot open a generic netlink socket"));
  (void)setsockopt(mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &kAnswerDeadline,
                   sizeof kAnswerDeadline);
  GenericNetlink netlink(std::move(socket));
  const auto described = netlink.ask_family(family);
  if (!described) return tl::unexpected(described.error());
  visit_attributes(described->header(), [&](const nlattr* a) {
    if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID && mnl_attr_validate(a, MNL_TYPE_U16) == 0)
      netlink.family_ = mnl_attr_get_u16(a);
  });
  if (netlink.family_ == 0) return tl::unexpected(error_of(ENOENT, "netlink family " + family));
  netlink.name_ = family;
  netlink.version_ = version;
  return netlink;
}

tl::expected<GenericMessage, GenericNetlinkError> GenericNetlink::ask_family(const std::string& name) {
  return exchange(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, [&](nlmsghdr* request) {
    mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, name.c_str());
  });
}

tl::expected<GenericMessage, GenericNetlinkError> GenericNetlink::ask(uint8_t command, const Fill& fill) {
  return exchange(family_, command, version_, fill);
}

tl::expected<GenericMessage, GenericNetlinkError> GenericNetlink::exchange(uint16_t type, uint8_t command,
                                                                           uint8_t version,
                                                                           const Fill& fill) {
  alignas(nlmsghdr) std::array<char, kRequestSize> request{};
  nlmsghdr* header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_seq = ++sequence_;
  auto* generic = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(header, sizeof(genlmsghdr)));
  generic->cmd = command;
  generic->version = version;
  fill(header);
  const std::string what = fmt::format("netlink request {} of family {}", command, type);
  if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0)
    return tl::unexpected(error_of(errno, what));
  std::vector<char> buffer(kBufferSize);
  const ssize_t length = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
  if (length < 0) return tl::unexpected(error_of(errno == EAGAIN ? ETIMEDOUT : errno, what));
  std::unique_ptr<GenericMessage> kept;
  const unsigned port = mnl_socket_get_portid(socket_.get());
  if (mnl_cb_run(buffer.data(), static_cast<std::size_t>(length), sequence_, port, keep, &kept) < 0)
    return tl::unexpected(error_of(errno, what));
  if (!kept) return tl::unexpected(error_of(ENODATA, what));
  return std::move(*kept);
}

tl::expected<void, GenericNetlinkError> GenericNetlink::listen(const std::string& group) {
  const auto described = ask_family(name_);
  if (!described) return tl::unexpected(described.error());
  uint32_t id = 0;
  visit_attributes(described->header(), [&](const nlattr* groups) {
    if (mnl_attr_get_type(groups) != CTRL_ATTR_MCAST_GROUPS) return;
    visit_nest(groups, [&](const nlattr* one) {
      std::string name;
      uint32_t number = 0;
      visit_nest(one, [&](const nlattr* part) {
        if (mnl_attr_get_type(part) == CTRL_ATTR_MCAST_GRP_NAME) name = text_of(part);
        if (mnl_attr_get_type(part) == CTRL_ATTR_MCAST_GRP_ID) number = u32_of(part);
      });
      if (name == group) id = number;
    });
  });
  if (id == 0) return tl::unexpected(error_of(ENOENT, fmt::format("netlink group {} of {}", group, name_)));
  if (mnl_socket_setsockopt(socket_.get(), NETLINK_ADD_MEMBERSHIP, &id, sizeof id) < 0 ||
      fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK) < 0) {
    return tl::unexpected(error_of(errno, fmt::format("cannot join netlink group {} of {}", group, name_)));
  }
  return {};
}

bool GenericNetlink::drain(const std::function<void(const GenericMessage&)>& each) {
  bool complete = true;
  std::vector<char> buffer(kBufferSize);
  for (int i = 0; i < kMessagesPerDrain; ++i) {
    const ssize_t got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      complete = false;
      continue;
    }
    if (got <= 0) break;
    int left = static_cast<int>(got);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
         each && mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      each(GenericMessage(message));
    }
  }
  return complete;
}

uint32_t u32_of(const nlattr* attribute, uint32_t otherwise) {
  return mnl_attr_validate(attribute, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(attribute) : otherwise;
}

std::string text_of(const nlattr* attribute) {
  return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0 ? mnl_attr_get_str(attribute) : "";
}

}  // namespace xebec
