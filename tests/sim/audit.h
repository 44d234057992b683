// What can be seen from outside: every stream of the engine is read along, at the engine's own
// edge, and each rule that a correct engine keeps is checked as it acts (the numbers are those of
// the invariants in the research, section 2.11). The bytes counted as known to the engine are those
// it has read; what is still on the way cannot be held against it.
//
// Threads: one. Memory: one entry a block and an outstanding request; at most kMaxViolations lines.
// Errors: violations() says what was broken, when and by whom. Lifetime: the Ledger outlives the
// taps.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/piece_store.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/truth.h"
#include "tests/sim/wire.h"

namespace swarmfs::sim {

class StreamAudit;

class Ledger {
 public:
  static constexpr std::size_t kMaxViolations = 20;

  Ledger(SimLoop& loop, const Truth& truth) : loop_(loop), truth_(truth) {}
  void watch(const storage::PieceStore* store) { store_ = store; }
  [[nodiscard]] std::unique_ptr<Tap> tap(const Endpoint& remote);

  // What readers want; the pieces of these ranges are all that may be asked for.
  void wish(storage::ByteRange range);
  void withdraw(storage::ByteRange range);

  // Prints what is asked, cancelled and got of one piece, as it happens: for finding out why a read
  // was slow.
  void follow(std::uint32_t piece) { followed_ = piece; }
  void violation(const std::string& what);
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  // Hash of everything the engine wrote: to whom, when, which bytes.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }  // bytes of blocks
  [[nodiscard]] std::uint64_t redundant() const {
    return redundant_;
  }  // ... that had come before, both right
  // The most that was redundant within 10 s beyond `share` of what came in them.
  static constexpr Duration kRedundancyWindow = 10s;
  [[nodiscard]] double most_redundant(double share) const;
  [[nodiscard]] std::uint64_t corrupt() const { return corrupt_; }  // ... that were wrong
  [[nodiscard]] std::uint64_t unwanted() const {
    return unwanted_;
  }  // ... of pieces nobody wanted any more
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::uint64_t cancels() const { return cancels_; }
  // Requests on open streams that were neither answered nor cancelled.
  [[nodiscard]] std::size_t outstanding() const;
  // Who could deliver the piece and what is asked of them, for a report.
  [[nodiscard]] std::string describe(std::uint32_t piece) const;
  // Some reader wants it, or did a moment ago.
  [[nodiscard]] bool wanted(std::uint32_t piece) const;

 private:
  friend class StreamAudit;
  void add_trace(std::uint32_t stream, std::span<const std::byte> bytes);
  void print(const char* what, const Endpoint& remote, std::uint32_t index,
             std::uint32_t begin) const;
  void on_block(std::uint32_t index, std::uint32_t begin, std::span<const std::byte> data);

  SimLoop& loop_;
  const Truth& truth_;
  const storage::PieceStore* store_ = nullptr;
  std::map<std::uint32_t, int> wished_;           // piece -> wishes
  std::map<std::uint32_t, TimePoint> withdrawn_;  // piece -> when its last wish ended
  std::map<std::uint64_t, bool> arrived_;         // offset of a block that came right
  std::set<StreamAudit*> streams_;
  std::vector<std::string> violations_;
  std::uint64_t trace_ = 0xcbf29ce484222325U;
  std::uint64_t received_ = 0, redundant_ = 0, corrupt_ = 0, unwanted_ = 0, requests_ = 0,
                cancels_ = 0;
  struct Mark {
    TimePoint at;
    std::uint64_t received, redundant;  // up to and including it
  };
  std::vector<Mark> marks_;  // one a right block
  std::uint32_t next_stream_ = 0;
  std::optional<std::uint32_t> followed_;
};

class StreamAudit final : public Tap {
 public:
  StreamAudit(Ledger& ledger, Endpoint remote, std::uint32_t number);
  ~StreamAudit() override { ledger_.streams_.erase(this); }
  void on_read(std::span<const std::byte> bytes) override { from_peer_.feed(bytes); }
  void on_write(std::span<const std::byte> bytes) override;
  void on_close() override;
  [[nodiscard]] std::size_t outstanding() const { return closed_ ? 0 : asked_.size(); }
  // One line: what it has to say about the piece.
  [[nodiscard]] std::string describe(std::uint32_t piece) const;

 private:
  using Key = std::array<std::uint32_t, 3>;  // index, begin, length
  void heard(std::uint8_t id, std::span<const std::byte> body);
  void heard_pieces(std::uint8_t id, std::span<const std::byte> body);
  void heard_block(std::span<const std::byte> body);
  void said(std::uint8_t id, std::span<const std::byte> body);
  void said_request(const Key& key);
  void said_cancel(const Key& key);
  void said_have(std::uint32_t piece);
  void require(bool holds, const std::string& what);

  Ledger& ledger_;
  Endpoint remote_;
  std::uint32_t number_;
  wire::Splitter from_peer_, from_engine_;
  std::uint32_t messages_said_ = 0;
  bool fast_offered_ = false, fast_heard_ = false, interested_ = false, closed_ = false;
  bool choked_ = true;
  TimePoint choked_since_{};
  std::uint32_t reqq_ = 250;  // BEP 10 handshakes that name none; libtorrent's default
  std::vector<bool> pieces_;
  std::set<std::uint32_t> allowed_fast_;
  std::set<Key> asked_;
  std::map<Key, int> cancelled_;
  std::set<Key> unclear_;  // the engine may take the last answer for that of the cancelled request
};

}  // namespace swarmfs::sim
