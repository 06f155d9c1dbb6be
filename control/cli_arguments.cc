// SPDX-License-Identifier: BSD-2-Clause
// The parsing of the tool's structured arguments.
#include "control/cli_arguments.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "control/config_fields.h"
#include "dataplane/ip_address.h"
#include "dataplane/ip_prefix.h"

namespace xebec {
namespace {

tl::unexpected<CliError> usage(std::string message, std::string hint) {
  return tl::unexpected(CliError{"usage", std::move(message), std::move(hint)});
}

std::optional<uint64_t> port_of(std::string_view text) {
  const auto port = decimal(text);
  return port && *port >= 1 && *port <= 65535 ? port : std::nullopt;
}

/// What stands between commas.
CliJson parts_of(std::string_view text) {
  CliJson out = CliJson::array();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(std::string(text.substr(at, comma - at)));
    at = comma + 1;
  }
  return out;
}

struct HostAndPort {
  IpAddress address;
  std::string port;  ///< empty: there is none
};

/// Address and port as URLs have them: an IPv6 address stands in brackets if a port follows.
std::optional<HostAndPort> split(std::string_view text) {
  HostAndPort out;
  std::string_view host = text;
  if (text.substr(0, 1) == "[") {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && (rest[0] != ':' || rest.size() == 1)) return std::nullopt;
    if (!rest.empty()) out.port = rest.substr(1);
    if (host.find(':') == std::string_view::npos) return std::nullopt;  // [10.0.0.1]
  } else if (const std::size_t colon = text.find(':');
             colon != std::string_view::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    out.port = text.substr(colon + 1);
    if (out.port.empty()) return std::nullopt;
  }
  const auto address = IpAddress::parse(host);
  if (!address) return std::nullopt;
  out.address = *address;
  return out;
}

}  // namespace

Argument<CliJson> parse_service_endpoint(const std::string& text) {
  const char* const hint =
      "such as 203.0.113.10:443/tcp, [2001:db8::/32]:8000-8099/udp or 203.0.113.0/24:any/any";
  const std::size_t slash = text.rfind('/');
  const std::string_view before = std::string_view(text).substr(0, slash);
  // The prefix's length stands between the address and the port's colon, or the bracket.
  const std::size_t length = before.find('/');
  const std::size_t behind = length == std::string_view::npos ? length : before.find_first_of("]:", length);
  std::string address(before);
  if (behind != std::string_view::npos) address.erase(length, behind - length);
  const auto host = split(address);
  if (slash == std::string::npos || !host || host->port.empty() || slash + 1 == text.size()) {
    return usage(fmt::format("{}: not of the form VIP:PORT/PROTO", text), hint);
  }
  std::string vip = host->address.to_string();
  if (behind != std::string_view::npos) vip += before.substr(length, behind - length);
  if (!IpPrefix::parse(vip)) return usage(fmt::format("{}: {} is not an address or prefix", text, vip), hint);
  CliJson out{{"vip", vip}};
  const std::size_t dash = host->port.find('-');
  const bool range = dash != std::string::npos && port_of(std::string_view(host->port).substr(0, dash)) &&
                     port_of(std::string_view(host->port).substr(dash + 1));
  if (host->port == "any" || range) {
    out["port"] = host->port;
  } else if (const auto port = port_of(host->port)) {
    out["port"] = *port;
  } else {
    return usage(fmt::format("{}: {} is not a port from 1 to 65535, nor \"any\"", text, host->port), hint);
  }
  out["protocol"] = text.substr(slash + 1);  // which ones there are is the daemon's to say
  return out;
}

Argument<CliJson> parse_backend_address(const std::string& text) {
  const auto host = split(text);
  if (!host) {
    return usage(fmt::format("{}: not an IP address", text),
                 "such as 10.0.1.11, 2001:db8::11 or, with a port, [2001:db8::11]:80");
  }
  CliJson out{{"address", host->address.to_string()}};
  if (host->port.empty()) return out;
  const auto port = port_of(host->port);
  if (!port) return usage(fmt::format("{}: {} is not a port from 1 to 65535", text, host->port), "");
  out["port"] = *port;
  return out;
}

Argument<std::string> parse_source(const std::string& text) {
  const auto host = split(text);
  if (!host || !port_of(host->port)) {
    return usage(fmt::format("--src {}: not of the form ADDR:PORT", text),
                 "such as 198.51.100.7:40000 or [2001:db8::7]:40000");
  }
  return text;
}

Argument<uint64_t> parse_duration_ms(const std::string& option, const std::string& text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = std::string_view(text).substr(digits);
  const auto number = decimal(std::string_view(text).substr(0, digits));
  constexpr struct {
    std::string_view name;
    uint64_t ms;
  } kUnits[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  for (const auto& u : kUnits) {
    if (unit == u.name && number && *number > 0 && *number <= UINT32_MAX) return *number * u.ms;
  }
  return usage(fmt::format("{} {}: not a time", option, text), "such as 500ms, 60s, 5m, 1h or 1d");
}

namespace {

/// ADDR[:PORT] with commas between -> the list of backends.
Argument<CliJson> backends_of(const std::string& text) {
  CliJson out = CliJson::array();
  for (const CliJson& part : parts_of(text)) {
    auto backend = parse_backend_address(part.get<std::string>());
    if (!backend) return backend;
    out.push_back(std::move(*backend));
  }
  return out;
}

}  // namespace

Argument<CliJson> parse_settings(const std::vector<std::string>& settings,
                                 std::span<const std::string_view> keys) {
  const std::string known = fmt::format("{}", fmt::join(keys, ", "));
  CliJson out = CliJson::object();
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return usage(fmt::format("{}: not of the form KEY=VALUE", setting), "keys: " + known);
    }
    const std::string key = setting.substr(0, equals);
    const std::string value = setting.substr(equals + 1);
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      const std::string_view guess = nearest(key, {keys.begin(), keys.end()});
      return usage(fmt::format("{}: unknown key \"{}\"", setting, key),
                   guess.empty() ? "keys: " + known : fmt::format("did you mean \"{}\"?", guess));
    }
    if (out.contains(key == "backend" ? "backends" : key))
      return usage(fmt::format("{}: \"{}\" is given twice", setting, key), "");
    if (key == "backend") {
      auto backends = backends_of(value);
      if (!backends) return backends;
      out["backends"] = std::move(*backends);
    } else if (key == "allow" || key == "deny" || key == "server_id") {
      out[key] = parts_of(value);
    } else if (const auto number = decimal(value)) {
      out[key] = *number;
    } else if (const auto below =
                   value.starts_with('-') ? decimal(std::string_view(value).substr(1)) : std::nullopt;
               below && *below <= INT64_MAX) {
      out[key] = -static_cast<int64_t>(*below);  // that the daemon may say what it wants instead
    } else if (value == "true" || value == "false") {
      out[key] = value == "true";
    } else {
      out[key] = value;
    }
  }
  return out;
}

}  // namespace xebec
