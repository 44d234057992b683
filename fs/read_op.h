// One READ that the kernel waits for: how it is answered exactly once (ReadRequest), what it holds
// while it waits (HeldRead), and its life as a coroutine (read_op).
//
// Threads:  engine thread only.
// Memory:   one HeldRead and one coroutine frame a waiting READ; TorrentFs bounds their number.
// Errors:   the answer carries FsErrc or StorageErrc; fuse_session makes errnos of them.
// Lifetime: a HeldRead leaves its file's list when it is destroyed.
#pragma once
#include <boost/intrusive/list_hook.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "fs/error.h"
#include "fs/file_tree.h"
#include "net/clock.h"
#include "net/swarm.h"
#include "storage/piece_store.h"

namespace swarmfs::fs {

using ReadId =
    std::uint64_t;  // chosen by who makes the request; names it to TorrentFs::interrupt()

// A read the kernel waits for. reply() consumes it; when it is dropped instead, the reader gets
// FsErrc::interrupted. Costs no allocation.
class ReadRequest {
 public:
  // On success `ec` is clear and `extents` are the bytes, valid during the call only.
  using Extents = std::span<const std::span<const std::byte>>;
  using Answer = void (*)(void* token, Extents extents, error_code ec);

  ReadRequest(ReadId id, void* token, Answer once) : id_(id), token_(token), answer_(once) {}
  ReadRequest(ReadRequest&& other) noexcept
      : id_(other.id_), token_(other.token_), answer_(std::exchange(other.answer_, nullptr)) {}
  ReadRequest& operator=(ReadRequest&&) = delete;
  ~ReadRequest() { answer({}, FsErrc::interrupted); }

  [[nodiscard]] ReadId id() const { return id_; }
  [[nodiscard]] bool answered() const { return answer_ == nullptr; }

  // `exact`: what the file's size promises for this READ. The kernel takes a shorter reply for the
  // end of the file and shrinks it for everybody, so any other length is answered with an error.
  void reply(const storage::ReadView& bytes, std::size_t exact) &&;
  void reply(error_code ec) && { answer({}, ec); }

 private:
  void answer(Extents extents, error_code ec) {
    if (const Answer once = std::exchange(answer_, nullptr)) once(token_, extents, ec);
  }
  ReadId id_;
  void* token_;
  Answer answer_;  // null: answered
};

// A READ whose bytes are not there yet.
struct HeldRead
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  HeldRead(ReadRequest r, storage::ByteRange where, net::Demand wish, bool pages)
      : request(std::move(r)), range(where), demand(std::move(wish)), several_pages(pages) {}
  ~HeldRead() { answer(FsErrc::interrupted); }
  HeldRead(const HeldRead&) = delete;
  HeldRead& operator=(const HeldRead&) = delete;

  // Each answers at once and withdraws the wish; no effect when already answered. The coroutine
  // ends by itself or is cancelled.
  void answer(const storage::ReadView& bytes);
  void answer(error_code ec);

  ReadRequest request;
  storage::ByteRange range;  // torrent offsets
  net::Demand demand;
  // Buffered and longer than a page: after an error the kernel asks for single pages, and no reader
  // sees it (measured: 6.18).
  bool several_pages;
  std::optional<net::Timer> deadline;
  std::function<void()> on_answer;  // called once, just before the answer goes out
  std::uint64_t task = 0;           // in TorrentFs's TaskGroup

 private:
  void leave();
};

// Waits for the bytes and answers. Whoever answers sooner (flush, interrupt, deadline, drain)
// cancels this coroutine.
[[nodiscard]] Task<void> read_op(std::unique_ptr<HeldRead> held, storage::PieceStore& store);

}  // namespace swarmfs::fs
