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
  using Extents = std::span<const std::span<const std::byte>>;
  // Whoever speaks to the kernel. One constant object for all requests.
  struct Asker {
    // On success `ec` is clear and `extents` are the bytes, valid during the call only.
    void (*answer)(void* token, Extents extents, error_code ec);
    // True when it is certain that the thread that caused this READ does not wait for this very
    // answer: the kernel then takes an error for a failed readahead, and asks again for what is
    // needed.
    bool (*in_background)(void* token);
  };

  ReadRequest(ReadId id, void* token, const Asker& asker)
      : id_(id), token_(token), asker_(&asker) {}
  ReadRequest(ReadRequest&& other) noexcept
      : id_(other.id_), token_(other.token_), asker_(std::exchange(other.asker_, nullptr)) {}
  ReadRequest& operator=(ReadRequest&&) = delete;
  ~ReadRequest() { answer({}, FsErrc::interrupted); }

  [[nodiscard]] ReadId id() const { return id_; }
  [[nodiscard]] bool answered() const { return asker_ == nullptr; }
  [[nodiscard]] bool in_background() const {
    return asker_ != nullptr && asker_->in_background(token_);
  }

  // `exact`: what the file's size promises for this READ. The kernel takes a shorter reply for the
  // end of the file and shrinks it for everybody, so any other length is answered with an error.
  void reply(const storage::ReadView& bytes, std::size_t exact) &&;
  void reply(error_code ec) && { answer({}, ec); }

 private:
  void answer(Extents extents, error_code ec) {
    if (const Asker* const once = std::exchange(asker_, nullptr)) once->answer(token_, extents, ec);
  }
  ReadId id_;
  void* token_;
  const Asker* asker_;  // null: answered
};

// A READ whose bytes are not there yet.
struct HeldRead
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  // What an error would mean, other than to end the wait of a reader on a signal.
  enum class Error : std::uint8_t {
    unseen,  // buffered and of several pages: the kernel asks again for the page that is needed
    unseen_in_background,  // a page: so too if it is readahead; else the reader sees the error
    seen,                  // O_DIRECT
  };

  HeldRead(ReadRequest r, storage::ByteRange where, net::Demand wish, Error e, net::TimePoint now)
      : request(std::move(r)), range(where), demand(std::move(wish)), error(e), since(now) {}
  ~HeldRead() { answer(FsErrc::interrupted); }
  HeldRead(const HeldRead&) = delete;
  HeldRead& operator=(const HeldRead&) = delete;

  // Each answers at once and withdraws the wish; no effect when already answered. The coroutine
  // ends by itself or is cancelled.
  void answer(const storage::ReadView& bytes);
  void answer(error_code ec);
  // True when an error now is certain to reach no reader.
  [[nodiscard]] bool may_fail() const {
    return error == Error::unseen ||
           (error == Error::unseen_in_background && request.in_background());
  }

  ReadRequest request;
  storage::ByteRange range;  // torrent offsets
  net::Demand demand;
  Error error;
  net::TimePoint since;
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
