#include "storage/read_view.h"

#include <algorithm>
#include <new>

namespace swarmfs::storage {

std::size_t ReadView::size() const {
  std::size_t total = 0;
  for (const auto& extent : extents_) total += extent.size();
  return total;
}

std::shared_ptr<std::byte> ReadBuffers::take(std::size_t size) {
  const bool reusable = size <= kReadBufferSize;
  Buffer buffer;
  if (reusable && !spare_->empty()) {
    buffer = std::move(spare_->back());
    spare_->pop_back();
  } else {
    buffer.reset(static_cast<std::byte*>(
        std::aligned_alloc(4096, (std::max(size, kReadBufferSize) + 4095) / 4096 * 4096)));
    if (!buffer) throw std::bad_alloc();
  }
  std::byte* data = buffer.release();
  return {data, [reusable, pool = std::weak_ptr(spare_)](std::byte* p) {
            Buffer back(p);
            const auto list = pool.lock();
            if (reusable && list && list->size() < kSpareReadBuffers)
              list->push_back(std::move(back));
          }};
}

}  // namespace swarmfs::storage
