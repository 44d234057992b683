// Verified bytes as the memory they lie in, and the buffers that bytes of the cache file are read
// into.
//
// Threads: engine thread only; a worker may fill a buffer that someone else keeps alive. Memory:
// kSpareReadBuffers buffers kept for reuse, and those in use. Errors: none (allocation aside).
// Lifetime: a view or a buffer keeps what it needs alive.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace swarmfs::storage {

// Verified bytes, as the memory they lie in. Keeps that memory alive.
class ReadView {
 public:
  ReadView() = default;
  ReadView(std::vector<std::span<const std::byte>> extents,
           std::vector<std::shared_ptr<const void>> owners)
      : extents_(std::move(extents)), owners_(std::move(owners)) {}
  [[nodiscard]] std::span<const std::span<const std::byte>> extents() const { return extents_; }
  [[nodiscard]] std::size_t size() const;  // bytes

 private:
  std::vector<std::span<const std::byte>> extents_;
  std::vector<std::shared_ptr<const void>> owners_;
};

// Buffers for reading back from the cache file, kept for reuse: a fresh 1 MiB allocation costs more
// in page faults than the read itself. A kernel READ is at most 1 MiB (fs.fuse.max_pages_limit =
// 256).
inline constexpr std::size_t kReadBufferSize = 1024 * 1024;
inline constexpr std::size_t kSpareReadBuffers = 4;

class ReadBuffers {
 public:
  // Page-aligned.
  [[nodiscard]] std::shared_ptr<std::byte> take(std::size_t size);

 private:
  struct FreeDeleter {
    void operator()(std::byte* p) const { std::free(p); }
  };
  using Buffer = std::unique_ptr<std::byte, FreeDeleter>;
  std::shared_ptr<std::vector<Buffer>> spare_ = std::make_shared<std::vector<Buffer>>();
};

}  // namespace swarmfs::storage
