#include "storage/metainfo_sources.h"

#include <algorithm>
#include <boost/asio/ip/address_v6.hpp>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <set>

namespace swarmfs::storage {
namespace {

using bencode::Type;
using bencode::Value;

bool has_control_or_space(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (c >= 0 && c <= ' ') || c == 0x7F; });
}

bool same_ignoring_case(std::string_view text, std::string_view lower) {
  const auto equal = [](char c, char l) {
    return (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) == l;
  };
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), equal);
}

bool is_url(std::string_view url, std::initializer_list<std::string_view> schemes) {
  constexpr std::string_view kSeparator = "://";
  if (url.size() > kMaxUrlSize || has_control_or_space(url)) return false;
  const std::size_t colon = url.find(kSeparator);
  if (colon == std::string_view::npos) return false;
  const std::string_view rest = url.substr(colon + kSeparator.size());
  if (rest.empty() || rest.front() == '/' || rest.front() == ':' || rest.front() == '?')
    return false;
  return std::any_of(schemes.begin(), schemes.end(), [&](std::string_view scheme) {
    return same_ignoring_case(url.substr(0, colon), scheme);
  });
}

bool fits_host_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_';
}

class TrackerReader {
 public:
  explicit TrackerReader(WarningList& warnings) : warnings_(warnings) {}

  std::vector<std::vector<std::string>> read(Value root) {
    const Value list = root["announce-list"];
    if (list && !list.is(Type::list))
      warnings_.add("the list of trackers is not a list and was ignored");
    for (const Value tier : list.items()) {
      if (tier.is(Type::list)) {
        add_tier(tier);
      } else {
        add_alone(tier);  // some programs write a flat list
      }
    }
    // BEP 12 has clients ignore `announce` beside a list. We ask it last when the list does not
    // have it.
    if (const Value announce = root["announce"]) add_alone(announce);
    if (left_out_ > 0) {
      warnings_.add(std::to_string(left_out_) + " trackers beyond the first " +
                    std::to_string(kMaxTrackers) + " were ignored");
    }
    return std::move(tiers_);
  }

 private:
  void add_tier(Value urls) {
    std::vector<std::string> tier;
    for (const Value url : urls.items()) add(url, tier);
    if (!tier.empty()) tiers_.push_back(std::move(tier));
  }

  void add_alone(Value url) {
    std::vector<std::string> tier;
    add(url, tier);
    if (!tier.empty()) tiers_.push_back(std::move(tier));
  }

  void add(Value value, std::vector<std::string>& tier) {
    const std::optional<std::string_view> url = value.string();
    if (!url) return warnings_.add("a tracker that is not text was ignored");
    if (url->empty()) return;
    if (!is_tracker_url(*url)) {
      return warnings_.add("tracker ignored (not an http, https or udp URL): " +
                           WarningList::quote(*url));
    }
    if (seen_.contains(*url)) return;
    if (seen_.size() == kMaxTrackers) {
      ++left_out_;
      return;
    }
    seen_.insert(*url);
    tier.emplace_back(*url);
  }

  WarningList& warnings_;
  std::set<std::string_view> seen_;
  std::size_t left_out_ = 0;
  std::vector<std::vector<std::string>> tiers_;
};

std::vector<std::string> read_web_seeds(Value list, WarningList& warnings) {
  std::vector<std::string> seeds;
  std::size_t left_out = 0;
  const auto add = [&](Value value) {
    const std::optional<std::string_view> url = value.string();
    if (!url) return warnings.add("a web seed that is not text was ignored");
    if (url->empty()) return;
    if (!is_web_seed_url(*url)) {
      return warnings.add("web seed ignored (not an http or https URL): " +
                          WarningList::quote(*url));
    }
    if (std::find(seeds.begin(), seeds.end(), *url) != seeds.end()) return;
    if (seeds.size() == kMaxWebSeeds) {
      ++left_out;
      return;
    }
    seeds.emplace_back(*url);
  };
  if (!list) return seeds;
  if (list.is(Type::list)) {
    for (const Value url : list.items()) add(url);
  } else {
    add(list);
  }
  if (left_out > 0) {
    warnings.add(std::to_string(left_out) + " web seeds beyond the first " +
                 std::to_string(kMaxWebSeeds) + " were ignored");
  }
  return seeds;
}

// [host, port]; empty when it is not that.
std::optional<HostPort> read_node(Value value) {
  std::vector<Value> parts;
  for (const Value part : value.items()) {
    parts.push_back(part);
    if (parts.size() > 2) return std::nullopt;
  }
  if (parts.size() != 2) return std::nullopt;
  const std::optional<std::string_view> host = parts[0].string();
  const std::optional<std::uint16_t> port = parts[1].integer_as<std::uint16_t>();
  if (!host || host->empty() || host->size() > kMaxHostSize || has_control_or_space(*host))
    return std::nullopt;
  if (!port || *port == 0) return std::nullopt;
  return HostPort{std::string(*host), *port};
}

std::vector<HostPort> read_nodes(Value list, WarningList& warnings) {
  std::vector<HostPort> nodes;
  std::size_t ignored = list && !list.is(Type::list) ? 1 : 0;
  for (const Value item : list.items()) {
    std::optional<HostPort> node = read_node(item);
    if (node && nodes.size() < kMaxNodes) {
      nodes.push_back(*std::move(node));
    } else {
      ++ignored;
    }
  }
  if (ignored > 0)
    warnings.add(std::to_string(ignored) + " entries of the list of DHT nodes were ignored");
  return nodes;
}

}  // namespace

MetainfoSources read_sources(Value root, WarningList& warnings) {
  return {.trackers = TrackerReader(warnings).read(root),
          .web_seeds = read_web_seeds(root["url-list"], warnings),
          .nodes = read_nodes(root["nodes"], warnings)};
}

bool is_tracker_url(std::string_view url) {
  return is_url(url, {"http", "https", "udp"});
}

bool is_web_seed_url(std::string_view url) {
  return is_url(url, {"http", "https"});
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (bad != std::errc() || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.empty() || host.size() > kMaxHostSize) return std::nullopt;
  if (host.front() != '[') {
    if (!std::all_of(host.begin(), host.end(), fits_host_name)) return std::nullopt;
    return HostPort{std::string(host), port};
  }
  if (host.back() != ']') return std::nullopt;
  host = host.substr(1, host.size() - 2);
  error_code not_an_address;
  asio::ip::make_address_v6(host, not_an_address);
  if (not_an_address) return std::nullopt;
  return HostPort{std::string(host), port};
}

}  // namespace swarmfs::storage
