// A connected byte stream to a peer, and how to get one: by dialling or by being dialled. One of
// the four seams: TCP here, a simulated link in tests/sim (later uTP). Readiness-based, so that a
// reader takes buffers from the pool only when there is something to put in them.
//
// Threads: engine thread only. Errors: errno-like codes; asio::error::eof at end of stream.
// Lifetime: destroying a Stream closes it; no wait may be pending then (cancel its coroutine and
// await it).
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "net/clock.h"
#include "net/local_interface.h"
#include "storage/result.h"

namespace swarmfs::net {

using Endpoint = asio::ip::tcp::endpoint;

class Stream {
 public:
  virtual ~Stream() = default;
  // Never blocks. asio::error::would_block when nothing can be moved now; otherwise at least one
  // byte.
  [[nodiscard]] virtual Result<std::size_t> read_now(
      std::span<const asio::mutable_buffer> into) = 0;
  [[nodiscard]] virtual Result<std::size_t> write_now(std::span<const asio::const_buffer> from) = 0;
  // Complete when the corresponding call above would not say would_block (or would fail). One of
  // each at a time.
  [[nodiscard]] virtual Task<void> wait_readable() = 0;
  [[nodiscard]] virtual Task<void> wait_writable() = 0;
  // Ends the connection; waits complete and later calls fail. May be called any number of times.
  virtual void close() = 0;
  [[nodiscard]] virtual Endpoint remote() const = 0;
};

// Connects, or fails; cancellable. Deadlines are the caller's business.
using Dialer = std::function<Task<Result<std::unique_ptr<Stream>>>(Endpoint)>;

// Every connection leaves by `interface`, or fails.
[[nodiscard]] Dialer tcp_dialer(asio::any_io_executor executor, LocalInterface interface = {});

// The next connection that somebody opened to us, or why there is none; cancellable. Who holds it
// keeps the port.
using Acceptor = std::function<Task<Result<std::unique_ptr<Stream>>>()>;

// Listens at `local` (port 0: a free one, which is returned), on the interface and no other.
[[nodiscard]] Result<std::pair<Acceptor, std::uint16_t>> open_acceptor(
    const asio::any_io_executor& executor, const Endpoint& local, const LocalInterface& interface);

// Opens `socket` for `family`, bound to the interface where there is one.
[[nodiscard]] error_code open_on(asio::ip::tcp::socket& socket, const asio::ip::tcp& family,
                                 const LocalInterface& interface);

}  // namespace swarmfs::net
