// Page-aligned 16 KiB buffers from one bounded pool. A Block is moved from the socket to the store
// and never copied.
//
// Threads: engine thread takes and gives back; a worker may read a block that someone else keeps
// alive. Memory: at most `capacity` blocks, allocated 1 MiB at a time as they are first needed, and
// kept; a pool of capacity 0 is empty until it grows. Errors: acquire() is empty when the pool is:
// stop reading from the network. Lifetime: must outlive its blocks.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "storage/units.h"

namespace swarmfs::storage {

class BlockPool;

class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}
  Block& operator=(Block&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Block();
  explicit operator bool() const { return data_ != nullptr; }
  [[nodiscard]] std::byte* data() { return data_; }
  [[nodiscard]] const std::byte* data() const { return data_; }
  // Always the full kBlockSize; how many of them mean something is the Layout's business.
  [[nodiscard]] std::span<std::byte, kBlockSize> bytes() {
    return std::span<std::byte, kBlockSize>(data_, kBlockSize);
  }

 private:
  friend class BlockPool;
  Block(BlockPool* pool, std::byte* data) : pool_(pool), data_(data) {}
  BlockPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
};

class BlockPool {
 public:
  explicit BlockPool(std::size_t capacity) : capacity_(capacity) {}
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  [[nodiscard]] std::optional<Block> acquire();
  void grow(std::size_t capacity) { capacity_ = std::max(capacity_, capacity); }
  // `reclaim` is called when the pool is used up; it gives back blocks that are only kept for
  // convenience, and says whether it could.
  void set_reclaim(std::function<bool()> reclaim) { reclaim_ = std::move(reclaim); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t in_use() const { return in_use_; }
  [[nodiscard]] std::size_t available() const { return capacity_ - in_use_; }

 private:
  friend class Block;
  void give_back(std::byte* data);
  std::size_t capacity_;
  std::size_t in_use_ = 0;
  std::function<bool()> reclaim_;
  std::vector<std::byte*> free_;
  std::vector<std::byte*> slabs_;
};

}  // namespace swarmfs::storage
