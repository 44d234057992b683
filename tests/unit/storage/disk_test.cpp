#include "storage/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/storage/engine_loop.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::storage {
namespace {
namespace stdfs = std::filesystem;
namespace errc = boost::system::errc;

using Bytes = std::vector<std::byte>;

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    seed = seed * 1664525 + 1013904223;
    bytes[i] = static_cast<std::byte>(seed >> 24);
  }
  return bytes;
}

class RealDiskTest : public testing::Test {
 protected:
  std::unique_ptr<RealDisk> opened() { return RealDisk::open(directory, workers).value(); }
  error_code write(Disk& disk, std::uint64_t offset, const Bytes& bytes) {
    return loop.run(disk.write(offset, {bytes}));
  }
  Bytes read(Disk& disk, std::uint64_t offset, std::size_t size) {
    Bytes into(size);
    EXPECT_EQ(loop.run(disk.read(offset, into)), error_code());
    return into;
  }

  EngineLoop loop;
  WorkerPool workers{loop.executor(), 2};
  TempFolder folder;
  stdfs::path directory = folder.path();
};

TEST_F(RealDiskTest, GivesBackWhatWasWritten) {
  const auto disk = opened();
  const Bytes first = pattern(100'000, 1), second = pattern(5, 2);
  EXPECT_EQ(write(*disk, 3, first), error_code());
  EXPECT_EQ(write(*disk, 100'003, second), error_code());
  EXPECT_EQ(loop.run(disk->sync()), error_code());
  EXPECT_EQ(read(*disk, 3, first.size()), first);
  EXPECT_EQ(read(*disk, 100'003, 5), second);
  EXPECT_EQ(read(*disk, 0, 3), Bytes(3)) << "what was never written is a hole";
}

TEST_F(RealDiskTest, AHoleReadsAsZerosAndGivesItsSpaceBack) {
  const auto disk = opened();
  const Bytes truth = pattern(256 * 1024, 4);
  EXPECT_EQ(write(*disk, 0, truth), error_code());
  EXPECT_EQ(loop.run(disk->sync()), error_code());
  const auto blocks = [this] {
    struct stat info {};
    EXPECT_EQ(::stat((directory / "data").c_str(), &info), 0);
    return info.st_blocks;
  };
  const auto before = blocks();
  const error_code ec = loop.run(disk->punch({64 * 1024, 192 * 1024 + 5}));
  ASSERT_EQ(ec, error_code()) << "this test needs a filesystem that makes holes";
  EXPECT_EQ(read(*disk, 64 * 1024, 128 * 1024 + 5), Bytes(128 * 1024 + 5));
  EXPECT_EQ(read(*disk, 0, 64 * 1024), Bytes(truth.begin(), truth.begin() + 64 * 1024));
  EXPECT_EQ(read(*disk, 192 * 1024 + 5, 1), Bytes(1, truth[192 * 1024 + 5]));
  EXPECT_LE(blocks(), before - 128 * 1024 / 512);
  EXPECT_EQ(loop.run(disk->punch({192 * 1024, 256 * 1024})), error_code());
  EXPECT_EQ(stdfs::file_size(directory / "data"), truth.size()) << "it stays as long as it is";
}

TEST_F(RealDiskTest, AFileThatSomebodyCutIsNotMadeLongAgainUnnoticed) {
  const auto disk = opened();
  const Bytes truth = pattern(100'000, 5);
  EXPECT_EQ(write(*disk, 0, truth), error_code());
  stdfs::resize_file(directory / "data", 10);
  EXPECT_EQ(write(*disk, 100'000, truth), StorageErrc::short_read);
  EXPECT_EQ(stdfs::file_size(directory / "data"), 10U) << "nothing was written";
  EXPECT_EQ(write(*disk, 100'000, truth), error_code()) << "said once";
  EXPECT_EQ(read(*disk, 100'000, truth.size()), truth);
}

TEST_F(RealDiskTest, AFileThatWasThereIsOpenedAsItIs) {
  std::ofstream(directory / "data") << "0123456789";
  const auto disk = opened();
  EXPECT_EQ(stdfs::file_size(directory / "data"), 10U);
  EXPECT_EQ(read(*disk, 3, 2), (Bytes{std::byte{'3'}, std::byte{'4'}}));
}

TEST_F(RealDiskTest, WritesManyPiecesOfMemoryOneAfterTheOther) {
  const auto disk = opened();
  const Bytes truth = pattern(3000 * 7, 3);  // more pieces than one system call takes
  std::vector<std::span<const std::byte>> from;
  for (std::size_t i = 0; i < 3000; ++i) from.push_back(std::span(truth).subspan(i * 7, 7));
  from.insert(from.begin() + 10, std::span<const std::byte>());
  EXPECT_EQ(loop.run(disk->write(11, from)), error_code());
  EXPECT_EQ(read(*disk, 11, truth.size()), truth);
}

// Memory that begins at a page.
struct Pages {
  explicit Pages(const Bytes& bytes)
      : memory(static_cast<std::byte*>(std::aligned_alloc(4096, (bytes.size() / 4096 + 1) * 4096)),
               &std::free),
        size(bytes.size()) {
    std::ranges::copy(bytes, memory.get());
  }
  [[nodiscard]] std::span<const std::byte> part(std::size_t from, std::size_t count) const {
    return {memory.get() + from, count};
  }
  std::unique_ptr<std::byte, decltype(&std::free)> memory;
  std::size_t size;
};

TEST_F(RealDiskTest, WholePagesAndWhatIsLeftOfOneArriveAlike) {
  const auto disk = opened();
  const Bytes truth = pattern(5 * 16384 + 777, 30);
  const Pages pages(truth);
  std::vector<std::span<const std::byte>> from;
  for (std::size_t at = 0; at < truth.size(); at += 16384)
    from.push_back(pages.part(at, std::min<std::size_t>(16384, truth.size() - at)));
  EXPECT_EQ(loop.run(disk->write(8192, from)), error_code());
  EXPECT_EQ(read(*disk, 8192, truth.size()), truth);
  EXPECT_EQ(stdfs::file_size(directory / "data"), 8192 + truth.size());

  EXPECT_EQ(loop.run(disk->write(8192, {pages.part(16384, 16384)})), error_code());
  EXPECT_EQ(read(*disk, 8192, 16384), Bytes(truth.begin() + 16384, truth.begin() + 32768))
      << "what was read before must not be remembered";
  EXPECT_EQ(loop.run(disk->write(100, {pages.part(0, 4096), pages.part(4096, 5)})), error_code());
  EXPECT_EQ(read(*disk, 100, 4101), Bytes(truth.begin(), truth.begin() + 4101));
}

TEST_F(RealDiskTest, WhatIsWrittenInWholePagesIsNotKeptInThePageCache) {
  const UniqueFd probe(
      ::open((directory / "probe").c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
  ASSERT_TRUE(probe) << "this test needs a filesystem with O_DIRECT for " << directory;
  const auto disk = opened();
  const Pages pages(pattern(1 << 20, 31));
  EXPECT_EQ(loop.run(disk->write(0, {pages.part(0, 1 << 20)})), error_code());
  Bytes into(4096);
  EXPECT_FALSE(disk->read_now(0, into)) << "a filesystem in memory will not do for this test";
  EXPECT_EQ(read(*disk, 0, 4096), pattern(4096, 31));
}

TEST_F(RealDiskTest, WhatCannotBeWrittenDirectlyIsWrittenAllTheSame) {
  { std::ofstream make(directory / "data"); }
  UniqueFd file(::open((directory / "data").c_str(), O_RDWR | O_CLOEXEC));
  UniqueFd refusing(::open((directory / "data").c_str(), O_RDONLY | O_CLOEXEC));
  RealDisk disk(std::move(file), workers, std::move(refusing));
  const Pages pages(pattern(8192, 32));
  for (const std::uint64_t offset : {0, 8192}) {
    EXPECT_EQ(loop.run(disk.write(offset, {pages.part(0, 8192)})), error_code());
    EXPECT_EQ(read(disk, offset, 8192), pattern(8192, 32));
  }
}

TEST_F(RealDiskTest, OffsetsBeyondFourGibibytesAreKeptApart) {
  const auto disk = opened();
  const std::uint64_t far = (std::uint64_t{5} << 30) + 1;
  EXPECT_EQ(write(*disk, far, pattern(10, 4)), error_code());
  EXPECT_EQ(read(*disk, far, 10), pattern(10, 4));
  struct stat info {};
  ASSERT_EQ(::stat((directory / "data").c_str(), &info), 0);
  EXPECT_LT(info.st_blocks, 1000) << "the file is sparse";
}

TEST_F(RealDiskTest, AFileThatEndsEarlyIsAShortReadAndNotZeros) {
  const auto disk = opened();
  EXPECT_EQ(write(*disk, 0, pattern(1000, 5)), error_code());
  Bytes into(10);
  EXPECT_EQ(loop.run(disk->read(995, into)), StorageErrc::short_read);
  EXPECT_EQ(loop.run(disk->read(5000, into)), StorageErrc::short_read);
  EXPECT_FALSE(disk->read_now(995, into));
  EXPECT_FALSE(disk->read_now(5000, into));
  EXPECT_EQ(loop.run(disk->read(990, into)), error_code());
}

TEST_F(RealDiskTest, ReadNowGivesWhatThePageCacheHolds) {
  const auto disk = opened();
  const Bytes truth = pattern(200'000, 6);
  EXPECT_EQ(write(*disk, 0, truth), error_code());
  const UniqueFd probe(::open((directory / "data").c_str(), O_RDONLY | O_CLOEXEC));
  std::byte one{};
  const iovec part{&one, 1};
  ASSERT_EQ(::preadv2(probe.get(), &part, 1, 0, RWF_NOWAIT), 1)
      << "this test needs a filesystem that can say what is cached (RWF_NOWAIT) for " << directory;
  Bytes into(50'000);
  EXPECT_TRUE(disk->read_now(100'001, into));
  EXPECT_TRUE(std::equal(into.begin(), into.end(), truth.begin() + 100'001));
}

TEST_F(RealDiskTest, ReadNowIsRightOrSaysNoWhenThePageCacheWasDropped) {
  const auto disk = opened();
  const Bytes truth = pattern(200'000, 7);
  EXPECT_EQ(write(*disk, 0, truth), error_code());
  EXPECT_EQ(loop.run(disk->sync()), error_code());
  const UniqueFd other(::open((directory / "data").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::posix_fadvise(other.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  Bytes into(truth.size());
  if (disk->read_now(0, into)) {
    EXPECT_EQ(into, truth) << "a filesystem in memory";
  }
  EXPECT_EQ(read(*disk, 0, truth.size()), truth);
}

TEST_F(RealDiskTest, WhatIsThereFromAnEarlierProcessIsKept) {
  EXPECT_EQ(write(*opened(), 7, pattern(50, 8)), error_code());
  EXPECT_EQ(read(*opened(), 7, 50), pattern(50, 8));
}

// -- what it refuses

TEST_F(RealDiskTest, TheFileIsForItsOwnerAlone) {
  const mode_t before = ::umask(0);
  (void)opened();
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat((directory / "data").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
}

TEST_F(RealDiskTest, ASymbolicLinkIsRefusedAndItsTargetUntouched) {
  const stdfs::path target = directory / "precious";
  std::ofstream(target) << "precious";
  stdfs::create_symlink(target, directory / "data");
  EXPECT_EQ(RealDisk::open(directory, workers).error(), errc::too_many_symbolic_link_levels);
  EXPECT_EQ(stdfs::file_size(target), 8U);
}

TEST_F(RealDiskTest, ADanglingSymbolicLinkIsRefusedAndItsTargetNotMade) {
  stdfs::create_symlink(directory / "new", directory / "data");
  EXPECT_EQ(RealDisk::open(directory, workers).error(), errc::too_many_symbolic_link_levels);
  EXPECT_FALSE(stdfs::exists(directory / "new"));
}

TEST_F(RealDiskTest, OnlyAFileWillDo) {
  stdfs::create_directory(directory / "data");
  EXPECT_EQ(RealDisk::open(directory, workers).error(), errc::is_a_directory);
  stdfs::remove(directory / "data");
  ASSERT_EQ(::mkfifo((directory / "data").c_str(), 0600), 0);
  EXPECT_TRUE(RealDisk::open(directory, workers).has_error()) << "and does not wait for a writer";
}

TEST_F(RealDiskTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_EQ(RealDisk::open(directory / "missing", workers).error(),
            errc::no_such_file_or_directory);
}

TEST_F(RealDiskTest, AFileOpenForReadingOnlyCannotBeWritten) {
  EXPECT_EQ(write(*opened(), 0, pattern(10, 9)), error_code());
  RealDisk disk(UniqueFd(::open((directory / "data").c_str(), O_RDONLY | O_CLOEXEC)), workers);
  EXPECT_EQ(write(disk, 0, pattern(10, 10)), errc::bad_file_descriptor);
  EXPECT_EQ(read(disk, 0, 10), pattern(10, 9));
}

TEST_F(RealDiskTest, AFullDiskIsItsErrno) {
  RealDisk disk(UniqueFd(::open("/dev/full", O_RDWR | O_CLOEXEC)), workers);
  EXPECT_EQ(write(disk, 0, pattern(10, 11)), errc::no_space_on_device);
}

TEST_F(RealDiskTest, AWriteThatWasCutShortIsFinishedOrAnError) {
  const auto disk = opened();
  EXPECT_EQ(write(*disk, 0, pattern(10, 13)), error_code());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 1'000'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const Bytes bytes = pattern(300'000, 12);
  std::vector<std::span<const std::byte>> from;
  for (std::size_t at = 0; at < bytes.size(); at += 1000)
    from.push_back(std::span(bytes).subspan(at, 1000));
  const error_code ec = loop.run(disk->write(850'500, from));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_action);
  EXPECT_EQ(ec, errc::file_too_large);
  const Bytes fitted = read(*disk, 850'500, 149'500);
  EXPECT_TRUE(std::equal(fitted.begin(), fitted.end(), bytes.begin()))
      << "the system took a part, and was asked again for the rest";
  EXPECT_EQ(read(*disk, 0, 10), pattern(10, 13));
}

// -- the descriptor's owner

TEST(UniqueFd, ClosesWhatItOwnsOnce) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  {
    UniqueFd a(ends[0]);
    UniqueFd b = std::move(a);
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): that it is empty is the point
    EXPECT_EQ(b.get(), ends[0]);
    b = UniqueFd(ends[1]);
    EXPECT_EQ(::fcntl(ends[0], F_GETFD), -1) << "what it owned before is closed";
    EXPECT_NE(::fcntl(ends[1], F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(ends[1], F_GETFD), -1);
  EXPECT_FALSE(UniqueFd());
}

}  // namespace
}  // namespace swarmfs::storage
