#include "storage/bitfield.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "storage/layout.h"

namespace swarmfs::storage {
namespace {

// Numbers become pieces only through a layout: one byte a piece.
PieceIndex piece(std::uint32_t index) {
  return Layout(1'000'000, 1).piece_at(index).value();
}

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

TEST(Bitfield, TheHighBitOfTheFirstByteIsPieceZero) {
  Bitfield field(10);
  field.set(piece(0));
  field.set(piece(9));
  EXPECT_EQ(field.to_wire(), bytes({0x80, 0x40}));
  const std::optional<Bitfield> read = Bitfield::from_wire(bytes({0x80, 0x40}), 10);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, field);
}

TEST(Bitfield, AWrongLengthIsRefused) {
  EXPECT_FALSE(Bitfield::from_wire(bytes({0xFF}), 9));
  EXPECT_FALSE(Bitfield::from_wire(bytes({0xFF, 0, 0}), 9));
  EXPECT_FALSE(Bitfield::from_wire({}, 1));
  EXPECT_TRUE(Bitfield::from_wire(bytes({0xFF, 0}), 9));
}

TEST(Bitfield, SpareBitsAreMasked) {
  const std::optional<Bitfield> field = Bitfield::from_wire(bytes({0xFF, 0xFF}), 9);
  ASSERT_TRUE(field);
  EXPECT_EQ(field->count(), 9U);
  EXPECT_TRUE(field->all());
  EXPECT_EQ(field->to_wire(), bytes({0xFF, 0x80}));
}

TEST(Bitfield, SettingTellsWhetherAnythingChanged) {
  Bitfield field(100);
  EXPECT_TRUE(field.none());
  EXPECT_TRUE(field.set(piece(64)));
  EXPECT_FALSE(field.set(piece(64)));
  EXPECT_EQ(field.count(), 1U);
  EXPECT_TRUE(field.reset(piece(64)));
  EXPECT_FALSE(field.reset(piece(64)));
  EXPECT_TRUE(field.none());
}

TEST(Bitfield, AllMeansAllAlsoWhenTheLastWordIsFull) {
  for (const std::uint32_t size : {1U, 63U, 64U, 65U, 128U}) {
    Bitfield field(size);
    field.set_all();
    EXPECT_TRUE(field.all()) << size;
    EXPECT_EQ(field.count(), size);
    EXPECT_EQ(*Bitfield::from_wire(field.to_wire(), size), field) << size;
    field.reset(piece(size - 1));
    EXPECT_FALSE(field.all()) << size;
    field.reset_all();
    EXPECT_EQ(field, Bitfield(size));
  }
}

RC_GTEST_PROP(BitfieldProperty, BehavesLikeASetOfNumbers, ()) {
  const auto size = *rc::gen::inRange<std::uint32_t>(1, 300);
  const auto index = rc::gen::inRange<std::uint32_t>(0, size);
  Bitfield field(size);
  std::set<std::uint32_t> model;
  for (const std::uint32_t i : *rc::gen::container<std::vector<std::uint32_t>>(index)) {
    RC_ASSERT(field.set(piece(i)) == model.insert(i).second);
  }
  for (const std::uint32_t i : *rc::gen::container<std::vector<std::uint32_t>>(index)) {
    RC_ASSERT(field.reset(piece(i)) == (model.erase(i) > 0));
  }
  RC_ASSERT(field.count() == model.size());
  for (std::uint32_t i = 0; i < size; ++i) RC_ASSERT(field.test(piece(i)) == model.contains(i));
  const std::uint32_t first = *index, last = *rc::gen::inRange(first, size);
  const auto expected = std::distance(model.lower_bound(first), model.upper_bound(last));
  RC_ASSERT(field.count(piece(first), piece(last)) == static_cast<std::uint32_t>(expected));
  RC_ASSERT(Bitfield::from_wire(field.to_wire(), size) == field);
}

}  // namespace
}  // namespace swarmfs::storage
