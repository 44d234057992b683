#include "fs/dht_file.h"
#include "tests/unit/temp_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace swarmfs::fs {
namespace {

namespace stdfs = std::filesystem;

class DhtFileTest : public testing::Test {
 protected:
  TempFolder folder;
  stdfs::path root = folder.path();
};

net::DhtState known() {
  net::DhtState state;
  state.id.emplace();
  state.id->bytes[0] = std::byte{7};
  net::NodeContact node;
  node.id.bytes[19] = std::byte{9};
  node.endpoint = net::UdpEndpoint(boost::asio::ip::make_address("192.0.2.7"), 6881);
  state.nodes.push_back(node);
  return state;
}

TEST_F(DhtFileTest, WhatWasKnownIsKnownAgain) {
  ASSERT_EQ(save_dht_state(root, known()), 0);
  EXPECT_EQ(load_dht_state(root), known());
  ASSERT_EQ(save_dht_state(root, net::DhtState()), 0);
  EXPECT_EQ(load_dht_state(root), net::DhtState());
}

TEST_F(DhtFileTest, NothingOrGarbageIsNothingRemembered) {
  EXPECT_EQ(load_dht_state(root), net::DhtState());
  EXPECT_EQ(load_dht_state(root / "missing"), net::DhtState());
  { std::ofstream(root / "dht") << "d2:id5:shorte"; }
  EXPECT_EQ(load_dht_state(root), net::DhtState());
  { std::ofstream(root / "dht") << std::string(1 << 20, 'x'); }
  EXPECT_EQ(load_dht_state(root), net::DhtState());
}

TEST_F(DhtFileTest, ItIsNotWrittenThroughASymbolicLink) {
  { std::ofstream(root / "victim") << "precious"; }
  stdfs::create_symlink(root / "victim", root / "dht");
  ASSERT_EQ(save_dht_state(root, known()), 0);
  std::string text;
  std::ifstream(root / "victim") >> text;
  EXPECT_EQ(text, "precious");
  EXPECT_EQ(load_dht_state(root), known());
}

TEST_F(DhtFileTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_EQ(save_dht_state(root / "missing", known()), ENOENT);
}

}  // namespace
}  // namespace swarmfs::fs
