#include "net/name_lookup.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "storage/wait_list.h"

namespace swarmfs::net {
namespace {

using asio::ip::tcp;

// A name lookup that can be abandoned: Asio's own cannot, it waits for getaddrinfo() to return.
struct Lookup {
  explicit Lookup(const asio::any_io_executor& executor) : resolver(executor), ended(executor) {}
  tcp::resolver resolver;
  storage::WaitList ended;
  std::optional<Result<std::vector<Endpoint>>> outcome;
};

struct CancelLookup {  // spares the lookup when it has not begun
  const std::shared_ptr<Lookup>& lookup;
  ~CancelLookup() { lookup->resolver.cancel(); }
};

std::vector<Endpoint> alternating(const tcp::resolver::results_type& results) {
  std::vector<Endpoint> first_family, second_family, mixed;
  for (const auto& entry : results) {
    const Endpoint endpoint = entry.endpoint();
    const bool first =
        first_family.empty() || endpoint.protocol() == first_family.front().protocol();
    (first ? first_family : second_family).push_back(endpoint);
  }
  for (std::size_t i = 0; i < std::max(first_family.size(), second_family.size()); ++i) {
    if (i < first_family.size()) mixed.push_back(first_family[i]);
    if (i < second_family.size()) mixed.push_back(second_family[i]);
  }
  return mixed;
}

}  // namespace

Family family_of(const asio::ip::address& address) {
  return address.is_v6() ? Family::ipv6 : Family::ipv4;
}

bool is_of(const Endpoint& endpoint, Family family) {
  return family == Family::any || family_of(endpoint.address()) == family;
}

Task<Result<std::vector<Endpoint>>> look_up(std::string host, std::uint16_t port) {
  error_code not_an_address;
  const auto address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address) {
    std::vector<Endpoint> only{Endpoint(address, port)};
    co_return only;
  }
  const auto lookup = std::make_shared<Lookup>(co_await asio::this_coro::executor);
  lookup->resolver.async_resolve(
      host, std::to_string(port), tcp::resolver::numeric_service,
      [lookup](error_code ec, const tcp::resolver::results_type& results) {
        if (ec) {
          lookup->outcome = ec;
        } else {
          lookup->outcome = alternating(results);
        }
        lookup->ended.wake_all();
      });
  const CancelLookup guard{lookup};
  while (!lookup->outcome) co_await lookup->ended.wait();
  co_return *lookup->outcome;
}

}  // namespace swarmfs::net
