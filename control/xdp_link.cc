// SPDX-License-Identifier: BSD-2-Clause
// Attaching an XDP program by bpf_link, and saying why the kernel would not.
#include "control/xdp_link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <system_error>

#include "control/libbpf_log.h"
#include "control/netdev.h"
#include "control/steering_error.h"

namespace xebec {
namespace {

std::string interface_name(int ifindex) {
  std::string name = name_of_interface(ifindex);
  return name.empty() ? fmt::format("interface {}", ifindex) : name;
}

bool is_there(int ifindex) {
  const int error = errno;
  const bool there = !name_of_interface(ifindex).empty();
  errno = error;
  return there;
}

/// As the kernel knows it, 15 characters of it. Asking by id needs CAP_SYS_ADMIN.
std::string program_name(uint32_t id) {
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd < 0) {
    return fmt::format("of unknown name (id {}: asking needs CAP_SYS_ADMIN; `bpftool prog show id {}` tells)",
                       id, id);
  }
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  const int result = bpf_obj_get_info_by_fd(fd, &info, &length);
  close(fd);
  if (result != 0 || info.name[0] == '\0') return fmt::format("without a name (id {})", id);
  return fmt::format("\"{}\" (id {})", info.name, id);
}

/// The programs behind libxdp's dispatcher, for a sentence. libxdp finds them by their pins under /sys/fs/bpf, which
/// another mount namespace does not have.
std::string dispatched_programs(int ifindex) {
  xdp_multiprog* multi = xdp_multiprog__get_from_ifindex(ifindex);
  if (libxdp_get_error(multi) != 0) return "whose programs cannot be read here (`xdp-loader status` tells)";
  std::string names;
  for (xdp_program* p = xdp_multiprog__next_prog(nullptr, multi); p != nullptr;
       p = xdp_multiprog__next_prog(p, multi)) {
    names += fmt::format("{}\"{}\" (id {})", names.empty() ? "with " : ", ", xdp_program__name(p),
                         xdp_program__id(p));
  }
  xdp_multiprog__close(multi);
  return names.empty() ? "with no program" : names;
}

/// A dispatcher runs several programs in turn (xdp-tools, lib/libxdp/protocol.org). It takes them by freplace, under a
/// protocol of pins and locks that outlives a process; the shim's hold is one that ends with the process (xdp_link.h).
SteeringError dispatcher_error(int ifindex, const std::string& name, std::string_view mode) {
  return steering_error(
      SteeringError::Kind::foreign_program,
      fmt::format(
          "attach to {}: it has libxdp's dispatcher, {}, in {} mode; Xebec runs beside no other XDP program "
          "(`xdp-loader unload {} --all` takes them off)",
          name, dispatched_programs(ifindex), mode, name));
}

/// The error to give if a program is on the interface.
std::optional<SteeringError> foreign_program(int ifindex) {
  bpf_xdp_query_opts query{};
  query.sz = sizeof query;
  if (bpf_xdp_query(ifindex, 0, &query) != 0) return std::nullopt;
  struct Place {
    uint32_t id;
    std::string_view mode;
  };
  for (const Place& place : {Place{query.drv_prog_id, "native"}, Place{query.skb_prog_id, "generic"},
                             Place{query.hw_prog_id, "offloaded"}}) {
    if (place.id == 0) continue;
    const std::string name = interface_name(ifindex);
    const std::string program = program_name(place.id);
    if (program.starts_with("\"xdp_dispatcher\"")) return dispatcher_error(ifindex, name, place.mode);
    return steering_error(
        program.starts_with("\"xebec_shim\"") ? SteeringError::Kind::other_shim
                                              : SteeringError::Kind::foreign_program,
        fmt::format("attach to {}: it has an XDP program already, {}, in {} mode; it is left alone "
                    "(`ip link set dev {} xdp off` removes it, unless a bpf_link holds it)",
                    name, program, place.mode, name));
  }
  return std::nullopt;
}

int create_link(int program_fd, int ifindex, uint32_t flags) {
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.flags = flags;
  return bpf_link_create(program_fd, ifindex, BPF_XDP, &options);
}

/// Why the kernel refused, in the driver's words if it has any ("XDP expects number of rx queues not less than peer
/// tx queues"). Those come only by netlink, so the same attachment is asked for there. Should it succeed against
/// expectation, it is undone.
std::string refusal(int program_fd, int ifindex, uint32_t flags, int error) {
  LibbpfLog log;
  if (bpf_xdp_attach(ifindex, program_fd, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr) == 0) {
    bpf_xdp_attach_opts own{};
    own.sz = sizeof own;
    own.old_prog_fd = program_fd;
    bpf_xdp_detach(ifindex, flags | XDP_FLAGS_REPLACE, &own);
  }
  const std::string_view words = log.after("Kernel error message: ");
  const std::string plain = std::generic_category().message(error);
  return words.empty() ? plain : fmt::format("{} ({})", words, plain);
}

std::string what_of(int ifindex, std::string_view mode) {
  return fmt::format("attach to {} in {} mode", interface_name(ifindex), mode);
}

}  // namespace

tl::expected<XdpLink, SteeringError> XdpLink::attach(int program_fd, int ifindex, XdpMode mode) {
  LibbpfLog log;
  struct Try {
    std::string_view mode;
    uint32_t flags;
    bool wanted;
  };
  const Try tries[] = {{"native", XDP_FLAGS_DRV_MODE, mode != XdpMode::generic},
                       {"generic", XDP_FLAGS_SKB_MODE, mode != XdpMode::native}};
  std::string native_refusal, failed;
  for (const Try& attempt : tries) {
    if (!attempt.wanted) continue;
    const int fd = create_link(program_fd, ifindex, attempt.flags);
    if (fd >= 0) return XdpLink(fd, attempt.mode, std::move(native_refusal));

    // What has nothing to do with the mode will not be better in the other one. The kernel says EINVAL for an
    // interface that is not there.
    const int error = is_there(ifindex) ? errno : ENODEV;
    const std::string what = what_of(ifindex, attempt.mode);
    if (error == EPERM || error == ENODEV || error == ENOMEM)
      return tl::unexpected(steering_error(what, error, LibbpfLog()));
    if (auto foreign = foreign_program(ifindex)) return tl::unexpected(std::move(*foreign));
    native_refusal = refusal(program_fd, ifindex, attempt.flags, error);
    failed += fmt::format("{}{}: {}", failed.empty() ? "" : "; ", what, native_refusal);
  }
  return tl::unexpected(steering_error(SteeringError::Kind::unsupported, std::move(failed)));
}

XdpLink& XdpLink::operator=(XdpLink&& other) noexcept {
  if (this == &other) return *this;
  release();
  fd_ = std::exchange(other.fd_, -1);
  mode_ = other.mode_;
  native_refusal_ = std::move(other.native_refusal_);
  return *this;
}

XdpLink::~XdpLink() {
  release();
}

void XdpLink::release() {
  if (fd_ < 0) return;
  bpf_link_detach(fd_);  // at once, where close() may leave it to a kernel worker
  close(fd_);
}

bool XdpLink::holds() const {
  bpf_link_info info{};
  uint32_t length = sizeof info;
  return bpf_obj_get_info_by_fd(fd_, &info, &length) == 0 && info.xdp.ifindex != 0;
}

}  // namespace xebec
