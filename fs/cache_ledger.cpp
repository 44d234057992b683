#include "fs/cache_ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "fs/small_file.h"

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;
using storage::UniqueFd;

constexpr const char* kFileName = "budget";
constexpr std::size_t kSlotSize = 32;
constexpr off_t kCountLock = kMaxLedgerSlots * kSlotSize;
// Counting takes a millisecond, punching holes into another torrent's file some more. Who takes
// longer is stopped or stuck, and a piece that is not kept costs less than waiting for it.
constexpr auto kPatience = 500ms;
constexpr useconds_t kLockPoll = 1000;
// No disk is larger; keeps sums of what others wrote from wrapping.
constexpr std::uint64_t kMostReserved = std::uint64_t{1} << 56;

error_code last_error() {
  return {errno, boost::system::system_category()};
}

struct flock range(short type, off_t begin, off_t size) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = begin;
  lock.l_len = size;
  return lock;
}

bool try_lock(int fd, off_t begin, off_t size) {
  struct flock lock = range(F_WRLCK, begin, size);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

off_t slot_offset(std::size_t slot) {
  return static_cast<off_t>(slot * kSlotSize);
}

// By somebody else: a process sees no locks of its own descriptor.
bool is_held(int fd, std::size_t slot) {
  struct flock lock = range(F_WRLCK, slot_offset(slot), kSlotSize);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

template <class Integer>
Integer get(const std::byte* at) {
  Integer value = 0;
  for (std::size_t i = sizeof value; i-- > 0;)
    value = static_cast<Integer>((value << 8U) | std::to_integer<Integer>(at[i]));
  return value;
}

template <class Integer>
void put(std::byte* at, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i)
    at[i] = static_cast<std::byte>((value >> (8 * i)) & 0xFFU);
}

}  // namespace

std::int64_t room_left(const CacheLimits& limits, const DiskSpace& disk, std::uint64_t used,
                       std::uint64_t reserved) {
  const auto left = [](std::uint64_t have, std::uint64_t need) {
    const auto clamped = [](std::uint64_t n) {
      return static_cast<std::int64_t>(std::min<std::uint64_t>(n, INT64_MAX));
    };
    return have >= need ? clamped(have - need) : -clamped(need - have);
  };
  const std::uint64_t min_free =
      limits.min_free
          ? limits.min_free->resolve(disk.total)
          : std::min(Amount::of_percent(kDefaultFreePercent).resolve(disk.total), kMostDefaultFree);
  const std::int64_t free = left(disk.free, min_free + reserved);
  if (!limits.size) return free;
  return std::min(free, left(limits.size->resolve(disk.total), used + reserved));
}

Result<CacheLedger> CacheLedger::open(const std::string& root, CacheLimits limits) {
  const UniqueFd folder = open_folder(root);
  if (!folder) return last_error();
  UniqueFd file = open_in(folder.get(), kFileName, O_RDWR | O_CREAT);
  if (!file) return last_error();
  std::size_t slot = 0;
  while (slot < kMaxLedgerSlots && !try_lock(file.get(), slot_offset(slot), kSlotSize)) ++slot;
  if (slot == kMaxLedgerSlots) return error_code(ENOLCK, boost::system::system_category());
  CacheLedger ledger(root, limits, std::move(file), slot);
  if (const error_code ec = ledger.write_slot()) return ec;  // whatever a dead process left there
  return ledger;
}

Result<CacheLedger::Count> CacheLedger::count() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!try_lock(file_.get(), kCountLock, 1)) {
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) return last_error();
    if (std::chrono::steady_clock::now() > deadline)
      return error_code(EBUSY, boost::system::system_category());
    ::usleep(kLockPoll);
  }
  return Count(*this);
}

CacheLedger::Count::~Count() {
  if (ledger_ == nullptr) return;
  struct flock lock = range(F_UNLCK, kCountLock, 1);
  ::fcntl(ledger_->file_.get(), F_OFD_SETLK, &lock);
}

std::int64_t CacheLedger::Count::room(std::uint64_t held) const {
  std::uint64_t reserved = held;
  for (const Slot& slot : ledger_->others()) reserved += slot.reserved;
  return room_left(ledger_->limits_, disk_space(ledger_->root_), cache_usage(ledger_->root_),
                   reserved);
}

error_code CacheLedger::Count::reserve(std::uint64_t bytes) {
  ledger_->own_.reserved = bytes;
  return ledger_->write_slot();
}

error_code CacheLedger::want(Want want) {
  if (want.bytes == own_.wanted && want.oldest == own_.oldest) return {};
  own_.wanted = want.bytes;
  own_.oldest = want.oldest;
  return write_slot();
}

std::vector<CacheLedger::Want> CacheLedger::wanted_by_others() const {
  std::vector<Want> wants;
  for (const Slot& slot : others())
    if (slot.wanted > 0) wants.push_back({slot.wanted, slot.oldest});
  return wants;
}

std::vector<CacheLedger::Slot> CacheLedger::others() const {
  std::array<std::byte, kMaxLedgerSlots * kSlotSize> bytes{};
  const ssize_t n = ::pread(file_.get(), bytes.data(), bytes.size(), 0);
  const std::size_t count = n > 0 ? static_cast<std::size_t>(n) / kSlotSize : 0;
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* const at = bytes.data() + i * kSlotSize;
    Slot slot{get<std::uint64_t>(at), get<std::uint64_t>(at + 8), get<std::uint32_t>(at + 16)};
    if (i == slot_ || (slot.reserved == 0 && slot.wanted == 0) || !is_held(file_.get(), i))
      continue;
    slot.reserved = std::min(slot.reserved, kMostReserved);
    slot.wanted = std::min(slot.wanted, kMostReserved);
    slots.push_back(slot);
  }
  return slots;
}

error_code CacheLedger::write_slot() const {
  std::array<std::byte, kSlotSize> bytes{};
  put(bytes.data(), own_.reserved);
  put(bytes.data() + 8, own_.wanted);
  put(bytes.data() + 16, own_.oldest);
  const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), slot_offset(slot_));
  if (n == static_cast<ssize_t>(bytes.size())) return {};
  if (n < 0) return last_error();
  return {ENOSPC, boost::system::system_category()};
}

}  // namespace swarmfs::fs
