// SPDX-License-Identifier: BSD-2-Clause
// A socket of one family of generic netlink: questions with their answers, and a family's notifications.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <tl/expected.hpp>

namespace xebec {

struct GenericNetlinkError {
  int code = 0;         ///< errno; ENOENT from open(): the kernel has no such family
  std::string message;  ///< a sentence
};

/// One message of the kernel, kept.
class GenericMessage {
 public:
  explicit GenericMessage(const nlmsghdr* message);
  /// Aligned as any header wants to be (operator new).
  const nlmsghdr* header() const { return reinterpret_cast<const nlmsghdr*>(bytes_.data()); }
  uint8_t command() const;

 private:
  std::vector<char> bytes_;
};

/// One thread.
class GenericNetlink {
 public:
  static tl::expected<GenericNetlink, GenericNetlinkError> open(const std::string& family, uint8_t version);

  using Fill = std::function<void(nlmsghdr* request)>;
  /// Sends one request of one message and returns its answer.
  tl::expected<GenericMessage, GenericNetlinkError> ask(uint8_t command, const Fill& fill);

  /// From here on the socket is for listening to `group` of the family: fd() is readable at news, and non-blocking.
  tl::expected<void, GenericNetlinkError> listen(const std::string& group);
  int fd() const { return mnl_socket_get_fd(socket_.get()); }
  /// Takes all that is there, a bounded number of messages. `each` may be empty. False: the kernel had to drop some.
  bool drain(const std::function<void(const GenericMessage&)>& each);

 private:
  struct Closer {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  using Socket = std::unique_ptr<mnl_socket, Closer>;
  explicit GenericNetlink(Socket socket) : socket_(std::move(socket)) {}
  tl::expected<GenericMessage, GenericNetlinkError> exchange(uint16_t type, uint8_t command, uint8_t version,
                                                             const Fill& fill);
  tl::expected<GenericMessage, GenericNetlinkError> ask_family(const std::string& name);

  Socket socket_;
  std::string name_;
  uint16_t family_ = 0;
  uint8_t version_ = 1;
  uint32_t sequence_ = 0;
};

namespace detail {
template <typename F>
int visit_attribute(const nlattr* attribute, void* visitor) {
  (*static_cast<F*>(visitor))(attribute);
  return MNL_CB_OK;
}
}  // namespace detail

/// Calls `visit` for every attribute of a message, or of a nest, as far as their lengths can be believed.
/// (mnl_attr_for_each is C only.)
template <typename F>
void visit_attributes(const nlmsghdr* message, F&& visit) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(genlmsghdr)) return;
  (void)mnl_attr_parse(message, sizeof(genlmsghdr), detail::visit_attribute<std::remove_reference_t<F>>,
                       &visit);
}
template <typename F>
void visit_nest(const nlattr* nest, F&& visit) {
  (void)mnl_attr_parse_nested(nest, detail::visit_attribute<std::remove_reference_t<F>>, &visit);
}

/// Of the wrong size: the default.
uint32_t u32_of(const nlattr* attribute, uint32_t otherwise = 0);
/// Not terminated: empty.
std::string text_of(const nlattr* attribute);

}  // namespace xebec
