// SPDX-License-Identifier: BSD-2-Clause
// Keeping the shim's maps for replies as wanted.
#include "control/reply_maps.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "bpf/abi.h"
#include "control/libbpf_log.h"
#include "control/steering_error.h"

namespace xebec {
namespace {

using Error = SteeringError;
using Result = tl::expected<void, Error>;

xebec_address key_of(const IpAddress& address) {
  xebec_address key{};
  std::memcpy(key.bytes, address.bytes.data(), sizeof key.bytes);
  return key;
}

xebec_service_key key_of(const ReplyEndpoint& endpoint) {
  xebec_service_key key{};
  key.vip = key_of(endpoint.address);
  key.port = Be16::from_host(endpoint.port).raw();
  key.protocol = endpoint.protocol;
  key.narrower = endpoint.all ? XEBEC_ALL_ENDPOINTS : 0;
  return key;
}

/// Entries of `wanted` that `held` does not have are written; those that are not wanted any more removed. `held` follows what
/// the map holds. A deletion fails only where nothing is (ENOENT), which is what is wanted.
template <typename Held, typename Write>
Result synchronise(int fd, const char* what, const Held& wanted, Held& held, Write write) {
  LibbpfLog log;
  for (auto it = held.begin(); it != held.end();) {
    if constexpr (requires { it->second; }) {
      if (wanted.contains(it->first)) {
        ++it;
        continue;
      }
      const auto key = key_of(it->first);
      bpf_map_delete_elem(fd, &key);
    } else {
      if (wanted.contains(*it)) {
        ++it;
        continue;
      }
      const auto key = key_of(*it);
      bpf_map_delete_elem(fd, &key);
    }
    it = held.erase(it);
  }
  for (const auto& entry : wanted) {
    if constexpr (requires { entry.second; }) {
      if (held.contains(entry.first)) continue;
    } else if (held.contains(entry)) {
      continue;
    }
    if (write(fd, entry) != 0)
      return tl::unexpected(steering_error(fmt::format("tell the shim {}", what), errno, log));
    held.insert(entry);
  }
  return {};
}

}  // namespace

Result ReplyMaps::set(const ReplyRules& wanted) {
  if (wanted == rules_) return {};
  if (wanted.backends.size() > XEBEC_MAX_NAT_BACKENDS || wanted.sources.size() > XEBEC_MAX_NAT_SOURCES ||
      wanted.own.size() > XEBEC_MAX_OWN_ADDRESSES) {
    return tl::unexpected(
        steering_error(Error::Kind::other,
                       fmt::format("tell the shim of replies: {} backend endpoints, {} sources and {} own "
                                   "addresses; it holds at most {}, "
                                   "{} and {}",
                                   wanted.backends.size(), wanted.sources.size(), wanted.own.size(),
                                   XEBEC_MAX_NAT_BACKENDS, XEBEC_MAX_NAT_SOURCES, XEBEC_MAX_OWN_ADDRESSES)));
  }
  Result own =
      synchronise(own_fd_, "its own addresses", wanted.own, rules_.own, [](int fd, const IpAddress& address) {
        const xebec_address key = key_of(address);
        const uint32_t one = 1;
        return bpf_map_update_elem(fd, &key, &one, BPF_ANY);
      });
  if (!own) return own;
  rules_.first_port = wanted.first_port;
  rules_.last_port = wanted.last_port;
  Result sources = synchronise(sources_fd_, "what stands for clients", wanted.sources, rules_.sources,
                               [&](int fd, const IpAddress& address) {
                                 const xebec_address key = key_of(address);
                                 const xebec_port_range ports{wanted.first_port, wanted.last_port};
                                 return bpf_map_update_elem(fd, &key, &ports, BPF_ANY);
                               });
  if (!sources) return sources;
  // An endpoint that translates otherwise than before is written again.
  std::erase_if(rules_.backends, [&](const auto& held) {
    const auto it = wanted.backends.find(held.first);
    return it != wanted.backends.end() && it->second != held.second;
  });
  return synchronise(backends_fd_, "where replies come from", wanted.backends, rules_.backends,
                     [](int fd, const std::pair<const ReplyEndpoint, uint32_t>& entry) {
                       const xebec_service_key key = key_of(entry.first);
                       return bpf_map_update_elem(fd, &key, &entry.second, BPF_ANY);
                     });
}

}  // namespace xebec
