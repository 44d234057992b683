// A bound datagram socket. One of the four seams: UDP here, a simulated network in tests/sim.
// Readiness-based, like Stream.
//
// Threads: engine thread only. Memory: none beyond the kernel's buffers. Errors: errno-like codes.
// Lifetime: destroying a Datagram closes it; no wait may be pending then (cancel its coroutine and
// await it).
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "net/clock.h"
#include "net/local_interface.h"
#include "storage/result.h"

namespace swarmfs::net {

using UdpEndpoint = asio::ip::udp::endpoint;

struct Received {
  std::size_t size = 0;  // bytes put into the buffer; 0: something came that is of no use
  UdpEndpoint from;      // IPv4 is never written as IPv6
};

class Datagram {
 public:
  virtual ~Datagram() = default;
  // Never blocks. What cannot be sent now is lost, as it may be anywhere on its way: only what will
  // never work (no route for the family, closed) is an error.
  [[nodiscard]] virtual Result<void> send_now(std::span<const std::byte> payload,
                                              const UdpEndpoint& to) = 0;
  // Never blocks. asio::error::would_block when nothing waits; any other error is for good. What
  // does not fit is dropped whole, and what an ICMP message says of earlier sends is swallowed
  // (both count as something of no use).
  [[nodiscard]] virtual Result<Received> receive_now(std::span<std::byte> into) = 0;
  // Complete when receive_now() would not say would_block (or would fail). One at a time.
  [[nodiscard]] virtual Task<void> wait_readable() = 0;
  // Waits complete and later calls fail. May be called any number of times.
  virtual void close() = 0;
  [[nodiscard]] virtual UdpEndpoint local() const = 0;
};

// A UDP socket bound to `local` alone (an IPv6 one takes no IPv4), and to the interface's device.
[[nodiscard]] Result<std::unique_ptr<Datagram>> open_datagram(asio::any_io_executor executor,
                                                              UdpEndpoint local,
                                                              const LocalInterface& interface = {});

}  // namespace swarmfs::net
