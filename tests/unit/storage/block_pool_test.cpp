#include "storage/block_pool.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace swarmfs::storage {
namespace {

TEST(BlockPool, GivesNoMoreThanItsCapacity) {
  BlockPool pool(3);
  std::vector<Block> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(pool.acquire().value());
  EXPECT_EQ(pool.in_use(), 3U);
  EXPECT_EQ(pool.available(), 0U);
  EXPECT_FALSE(pool.acquire());
  blocks.pop_back();
  EXPECT_EQ(pool.available(), 1U);
  EXPECT_TRUE(pool.acquire());
  EXPECT_EQ(pool.in_use(), 2U);
  EXPECT_EQ(pool.capacity(), 3U);
}

TEST(BlockPool, EveryBlockIsPageAlignedAndTheOnlyOneThere) {
  BlockPool pool(200);  // several slabs, the last in part
  std::vector<Block> blocks;
  std::set<std::byte*> places;
  for (std::size_t i = 0; i < pool.capacity(); ++i) {
    blocks.push_back(pool.acquire().value());
    std::byte* const data = blocks.back().data();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 4096, 0U);
    std::memset(data, static_cast<int>(i), kBlockSize);  // all of it is ours
    places.insert(data);
  }
  std::byte* last = nullptr;
  for (std::byte* const place : places) {
    if (last != nullptr) {
      EXPECT_GE(place - last, std::ptrdiff_t{kBlockSize});
    }
    last = place;
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(blocks[i].data()[0], static_cast<std::byte>(i));
    EXPECT_EQ(blocks[i].bytes().back(), static_cast<std::byte>(i));
  }
}

TEST(BlockPool, ABlockThatCameBackIsGivenAgain) {
  BlockPool pool(64);
  const std::byte* const place = pool.acquire().value().data();
  EXPECT_EQ(pool.acquire().value().data(), place) << "memory grows only when it must";
}

TEST(BlockPool, AMovedBlockIsGivenBackOnce) {
  BlockPool pool(4);
  Block a = pool.acquire().value();
  std::byte* const place = a.data();
  Block b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): that it is empty is the point
  EXPECT_EQ(b.data(), place);
  EXPECT_EQ(pool.in_use(), 1U);
  a = std::move(b);
  EXPECT_EQ(a.data(), place);
  a = Block();
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST(BlockPool, AsksToReclaimOnlyWhenItIsUsedUp) {
  BlockPool pool(2);
  int asked = 0;
  std::vector<Block> spare;
  pool.set_reclaim([&] {
    ++asked;
    if (spare.empty()) return false;
    spare.pop_back();
    return true;
  });
  spare.push_back(pool.acquire().value());
  std::optional<Block> second = pool.acquire();
  EXPECT_EQ(asked, 0);
  std::optional<Block> third = pool.acquire();
  EXPECT_TRUE(third);
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(pool.acquire()) << "nothing is left to reclaim";
  EXPECT_EQ(asked, 2);
  pool.set_reclaim(nullptr);
  EXPECT_FALSE(pool.acquire());
  EXPECT_EQ(asked, 2);
}

TEST(BlockPool, GoesOnReclaimingWhileWhatIsReclaimedIsStillHeldBySomebody) {
  BlockPool pool(3);
  std::vector<std::shared_ptr<Block>> kept;
  for (int i = 0; i < 3; ++i) kept.push_back(std::make_shared<Block>(pool.acquire().value()));
  std::shared_ptr<Block> reply = kept[2], other = kept[1];
  int asked = 0;
  pool.set_reclaim([&] {
    ++asked;
    if (kept.empty()) return false;
    kept.pop_back();
    return true;
  });
  EXPECT_TRUE(pool.acquire());
  EXPECT_EQ(asked, 3) << "two were on their way out to a reader, the third was free";
  EXPECT_TRUE(pool.acquire());
  EXPECT_EQ(asked, 3);
  reply = other = nullptr;
  EXPECT_EQ(pool.in_use(), 0U);
}

RC_GTEST_PROP(BlockPoolProperty, CountsWhatIsOut, ()) {
  BlockPool pool(*rc::gen::inRange<std::size_t>(0, 150));
  std::vector<Block> out;
  for (int i = 0; i < 200; ++i) {
    if (*rc::gen::weightedElement<bool>({{3, true}, {2, false}})) {
      std::optional<Block> block = pool.acquire();
      RC_ASSERT(block.has_value() == (out.size() < pool.capacity()));
      if (block) out.push_back(std::move(*block));
    } else if (!out.empty()) {
      std::swap(out[*rc::gen::inRange<std::size_t>(0, out.size())], out.back());
      out.pop_back();
    }
    RC_ASSERT(pool.in_use() == out.size());
    RC_ASSERT(pool.available() == pool.capacity() - out.size());
  }
}

}  // namespace
}  // namespace swarmfs::storage
