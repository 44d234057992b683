#include "net/address_votes.h"

#include <gtest/gtest.h>

#include <string>

namespace swarmfs::net {
namespace {

asio::ip::address ip(const std::string& text) {
  return asio::ip::make_address(text);
}

class AddressVotesTest : public testing::Test {
 protected:
  void vote(int from, int to, const char* seen) {  // one voter a provider
    for (int i = from; i < to; ++i) votes.add(ip("80." + std::to_string(i) + ".0.1"), ip(seen));
  }
  AddressVotes votes;
};

TEST_F(AddressVotesTest, BelieveFiveProvidersThatAgree) {
  vote(0, 4, "9.9.9.9");
  EXPECT_FALSE(votes.winner());
  vote(3, 4, "9.9.9.9");
  EXPECT_FALSE(votes.winner()) << "one voted twice";
  vote(4, 5, "9.9.9.9");
  EXPECT_EQ(votes.winner(), ip("9.9.9.9"));
  votes.clear();
  EXPECT_FALSE(votes.winner());
}

TEST_F(AddressVotesTest, GiveOneProviderOneVote) {
  for (int i = 0; i < 200; ++i) {
    votes.add(ip("80.1." + std::to_string(i) + ".1"), ip("6.6.6.6"));
  }
  EXPECT_FALSE(votes.winner());
  vote(10, 15, "9.9.9.9");
  EXPECT_EQ(votes.winner(), ip("9.9.9.9"));
}

TEST_F(AddressVotesTest, NeedMoreThanHalf) {
  vote(0, 8, "6.6.6.6");
  vote(8, 16, "9.9.9.9");
  EXPECT_FALSE(votes.winner());
  vote(16, 17, "9.9.9.9");
  EXPECT_EQ(votes.winner(), ip("9.9.9.9"));
}

TEST_F(AddressVotesTest, FollowAChangeOfAddress) {
  vote(0, 100, "6.6.6.6");
  vote(100, 117, "9.9.9.9");
  EXPECT_EQ(votes.winner(), ip("9.9.9.9")) << "only the latest count";
}

TEST_F(AddressVotesTest, IgnoreAddressesThatAreNobodysAndOtherFamilies) {
  vote(0, 10, "127.0.0.1");
  vote(0, 10, "192.168.1.1");
  vote(0, 10, "2001:db8::1");
  EXPECT_FALSE(votes.winner());
  for (int i = 0; i < 5; ++i) {
    votes.add(ip("2001:" + std::to_string(i) + "::1"), ip("2001:db8::9"));
  }
  EXPECT_EQ(votes.winner(), ip("2001:db8::9"));
}

}  // namespace
}  // namespace swarmfs::net
