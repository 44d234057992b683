#include "storage/block_pool.h"

#include <cassert>
#include <cstdlib>
#include <new>

namespace swarmfs::storage {
namespace {

constexpr std::size_t kPageSize = 4096;
// Blocks allocated at a time: 1 MiB, so that a quiet mount holds little and a busy one makes few
// system calls.
constexpr std::size_t kBlocksPerSlab = 64;

}  // namespace

Block::~Block() {
  if (data_ != nullptr) pool_->give_back(data_);
}

BlockPool::~BlockPool() {
  assert(in_use_ == 0 && "a Block outlived its pool");
  for (std::byte* slab : slabs_) std::free(slab);
}

std::optional<Block> BlockPool::acquire() {
  // What is reclaimed may still be held by a reply on its way out: then it does not free a block,
  // and the next may.
  while (in_use_ == capacity_ && reclaim_ && reclaim_()) continue;
  if (in_use_ == capacity_) return std::nullopt;
  if (free_.empty()) {
    auto* slab =
        static_cast<std::byte*>(std::aligned_alloc(kPageSize, kBlocksPerSlab * kBlockSize));
    if (slab == nullptr) throw std::bad_alloc();
    slabs_.push_back(slab);
    for (std::size_t i = kBlocksPerSlab; i-- > 0;) free_.push_back(slab + i * kBlockSize);
  }
  std::byte* data = free_.back();
  free_.pop_back();
  ++in_use_;
  return Block(this, data);
}

void BlockPool::give_back(std::byte* data) {
  --in_use_;
  free_.push_back(data);
}

}  // namespace swarmfs::storage
