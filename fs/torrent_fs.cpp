#include "fs/torrent_fs.h"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstdio>

namespace swarmfs::fs {
namespace {

// A READ that waits longer than this is given up where no reader sees it; the kernel then asks for
// the one page its reader needs, in a way that a signal can interrupt. A reader that handles ^C
// itself is thus free after at most this long. Not shorter: most reads of a live swarm end within
// it, and each one that is given up costs 32 small READs later.
constexpr net::Duration kGrace = std::chrono::milliseconds(700);

// A READ from the disk while the mount is going away; longer than any disk needs.
constexpr net::Duration kDrainHold = std::chrono::seconds(5);

// Names, directories and complete files never change.
constexpr std::chrono::seconds kForever = std::chrono::hours(24);
// st_blocks of a file that is not complete moves.
constexpr std::chrono::seconds kMoving{1};
// The root may get more torrents one day.
constexpr std::chrono::seconds kRootAbsence{1};
// What may change at any moment: the empty root.
constexpr std::chrono::seconds kNotAtAll{0};

constexpr std::string_view kUserPrefix = "user.";
constexpr std::string_view kInfoHashName = "user.swarmfs.infohash";
constexpr std::string_view kProgressName = "user.swarmfs.progress";
constexpr std::string_view kCompleteName = "user.swarmfs.complete";

constexpr unsigned kGenerationShift = 32;

std::string percent(std::uint64_t present, std::uint64_t total) {
  if (present >= total) return "100.00";
  const double share = 100.0 * static_cast<double>(present) / static_cast<double>(total);
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", std::min(share, 99.99));
  return text;
}

}  // namespace

TorrentFs::TorrentFs(Parts parts)
    : parts_(std::move(parts)),
      tree_(parts_.options.owner),
      page_size_(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))),
      tasks_(parts_.executor) {}

TorrentFs::~TorrentFs() {
  assert(held_.empty() && "stop() before destruction");
}

void TorrentFs::attach(const storage::Metainfo& metainfo, std::span<const storage::FileEntry> files,
                       storage::PieceStore& store) {
  assert(!attached());
  tree_ = FileTree(metainfo, files, parts_.options.owner);
  store_ = &store;
}

// -- names and attributes

Entry TorrentFs::entry(Inode inode) const {
  const FileTree::Node& node = *tree_.find(inode);
  if (!attached()) return {tree_.attributes(inode, 0), kNotAtAll, kNotAtAll};
  const std::uint64_t present = node.directory ? 0 : store_->present_bytes(node.range);
  const bool settled = node.directory || present == node.range.size();
  return {tree_.attributes(inode, present), kForever, settled ? kForever : kMoving};
}

Result<Entry> TorrentFs::lookup(Inode directory, std::string_view name) const {
  const FileTree::Node* const node = tree_.find(directory);
  if (node == nullptr) return FsErrc::not_found;
  if (!node->directory) return FsErrc::not_a_directory;
  const std::optional<Inode> found = tree_.lookup(directory, name);
  if (!found) return FsErrc::not_found;
  return entry(*found);
}

std::chrono::seconds TorrentFs::absence_timeout(Inode directory) const {
  if (!attached()) return kNotAtAll;
  return directory == kRootInode ? kRootAbsence : kForever;
}

Result<Entry> TorrentFs::getattr(Inode inode) const {
  if (tree_.find(inode) == nullptr) return FsErrc::not_found;
  return entry(inode);
}

Result<std::optional<DirectoryEntry>> TorrentFs::entry_at(Inode directory,
                                                          std::uint64_t index) const {
  const FileTree::Node* const node = tree_.find(directory);
  if (node == nullptr) return FsErrc::not_found;
  if (!node->directory) return FsErrc::not_a_directory;
  if (index == 0) return DirectoryEntry{".", entry(directory)};
  if (index == 1) return DirectoryEntry{"..", entry(node->parent)};
  if (index - 2 >= node->child_count) return std::nullopt;
  const Inode child = node->first_child + (index - 2);
  return DirectoryEntry{tree_.find(child)->name, entry(child)};
}

FileSystemStatus TorrentFs::statfs() const {
  FileSystemStatus status;
  if (!attached()) return status;
  const auto [present, total] = progress(*tree_.find(kRootInode));
  const auto blocks = [&status](std::uint64_t bytes) {
    return bytes / status.block_size + (bytes % status.block_size != 0 ? 1 : 0);
  };
  status.blocks = blocks(total);
  status.missing_blocks = blocks(total - present);
  status.files = tree_.size();
  return status;
}

TorrentFs::Progress TorrentFs::progress(const FileTree::Node& node) const {
  Progress sum;
  const auto add = [this, &sum](storage::ByteRange range) {
    sum.present += store_->present_bytes(range);
    sum.total += range.size();
  };
  if (node.whole) {
    std::for_each(tree_.shown().begin(), tree_.shown().end(), add);
  } else {
    add(node.range);
  }
  return sum;
}

bool TorrentFs::has_progress(const FileTree::Node& node) const {
  return attached() && (!node.directory || node.whole);
}

Result<std::string> TorrentFs::getxattr(Inode inode, std::string_view name) const {
  const FileTree::Node* const node = tree_.find(inode);
  if (node == nullptr) return FsErrc::not_found;
  if (!name.starts_with(kUserPrefix)) return FsErrc::unsupported;
  if (name == kInfoHashName) return parts_.info_hash.hex();
  if (!has_progress(*node) || (name != kProgressName && name != kCompleteName)) {
    return FsErrc::no_such_attribute;
  }
  const auto [present, total] = progress(*node);
  if (name == kProgressName) return percent(present, total);
  return std::string(present == total ? "1" : "0");
}

Result<std::vector<std::string_view>> TorrentFs::listxattr(Inode inode) const {
  const FileTree::Node* const node = tree_.find(inode);
  if (node == nullptr) return FsErrc::not_found;
  if (!has_progress(*node)) return std::vector{kInfoHashName};
  return std::vector{kInfoHashName, kProgressName, kCompleteName};
}

// -- open files

Result<Handle> TorrentFs::open(Inode inode, bool for_writing) {
  const FileTree::Node* const node = tree_.find(inode);
  if (node == nullptr) return FsErrc::not_found;
  if (node->directory) return FsErrc::is_a_directory;
  if (for_writing) return FsErrc::read_only;
  if (open_files_ == kMaxOpenFiles) return FsErrc::too_many_open;
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.file = std::make_unique<OpenFile>(inode, node->range, parts_.options.max_readahead,
                                         parts_.clock, index + 1);
  ++open_files_;
  return (Handle{slot.generation} << kGenerationShift) | index;
}

OpenFile* TorrentFs::find(Handle handle) const {
  const auto index = static_cast<std::uint32_t>(handle);
  if (index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  return slot.generation == handle >> kGenerationShift ? slot.file.get() : nullptr;
}

void TorrentFs::release(Handle handle) {
  OpenFile* const file = find(handle);
  if (file == nullptr) return;
  // The kernel releases a handle after its last READ was answered; be sure.
  while (!file->held().empty()) fail(file->held().front(), FsErrc::flushed);
  const auto index = static_cast<std::uint32_t>(handle);
  slots_[index].file.reset();
  ++slots_[index].generation;
  free_slots_.push_back(index);
  --open_files_;
}

bool TorrentFs::is_there(storage::ByteRange range) const {
  return store_->present_bytes(range) == range.size();
}

void TorrentFs::read(Handle handle, std::uint64_t offset, std::uint64_t size, bool direct,
                     ReadRequest request) {
  OpenFile* const file = find(handle);
  if (file == nullptr) return std::move(request).reply(FsErrc::bad_handle);
  const storage::ByteRange range = file->clip(offset, size);
  if (range.empty()) return std::move(request).reply(storage::ReadView(), 0);
  if (const std::optional<net::Wish> plan = file->on_read(range)) {
    const bool nothing_to_get = draining_ || plan->range.empty() || is_there(plan->range);
    // The new wish before the old one goes: what is on its way for both is not cancelled.
    file->set_readahead(nothing_to_get ? net::Demand() : parts_.want(*plan));
  }
  if (const std::optional<storage::ReadView> bytes = store_->try_read(range)) {
    return std::move(request).reply(*bytes, static_cast<std::size_t>(range.size()));
  }
  // What only has to come from the disk still comes.
  if (draining_ && !is_there(range)) return std::move(request).reply(FsErrc::draining);
  if (held_.size() >= kMaxHeldReads) return std::move(request).reply(FsErrc::too_many_waiting);
  hold(*file, range, direct, std::move(request));
}

void TorrentFs::hold(OpenFile& file, storage::ByteRange range, bool direct, ReadRequest request) {
  const ReadId id = request.id();
  // What is part of a READ that was given up is probably the kernel asking again, and waiting; with
  // large folios that can be more than a page.
  const bool readahead = range.size() > page_size_ && !file.asked_before(range);
  const HeldRead::Error error = direct      ? HeldRead::Error::seen
                                : readahead ? HeldRead::Error::unseen
                                            : HeldRead::Error::unseen_in_background;
  net::Demand demand = parts_.want({range, net::Urgency::now, 0, file.reader()});
  auto owned = std::make_unique<HeldRead>(std::move(request), range, std::move(demand), error,
                                          parts_.clock.now());
  HeldRead& read = *owned;
  held_.emplace(id, &read);
  file.hold(read);
  read.on_answer = [this, id, &file] {
    held_.erase(id);
    file.on_answered();
  };
  // The file stays while it has held READs.
  read.deadline.emplace(parts_.clock, [this, &file, &read] { on_deadline(file, read); });
  set_deadline(read, kGrace);
  const std::uint64_t task = tasks_.spawn(read_op(std::move(owned), *store_));
  // It may have ended inside spawn(); `read` is gone then.
  if (held_.contains(id)) read.task = task;
}

std::optional<net::Duration> TorrentFs::patience() const {
  std::optional<net::Duration> patience = parts_.options.soft_timeout;
  const auto at_most = [&patience](net::Duration d) {
    patience = std::min(patience.value_or(d), d);
  };
  if (hold_limit_) at_most(*hold_limit_);
  if (draining_) at_most(kDrainHold);
  return patience;
}

// Looks at the READ when it has waited for `waited`, or has used up its time.
void TorrentFs::set_deadline(HeldRead& read, net::Duration waited) {
  read.deadline->arm(read.since + std::min(waited, patience().value_or(waited)));
}

void TorrentFs::on_deadline(OpenFile& file, HeldRead& read) {
  const net::Duration waited = parts_.clock.now() - read.since;
  if (waited >= kGrace && read.may_fail()) {
    file.linger(read);
    return fail(read, FsErrc::ask_again);
  }
  if (const auto limit = patience(); limit && waited >= *limit) {
    return fail(read, FsErrc::timed_out);
  }
  // Whether a page is readahead was not certain, and may be later.
  if (read.error != HeldRead::Error::seen || patience())
    set_deadline(read, std::max(kGrace, 2 * waited));
}

void TorrentFs::fail(HeldRead& read, error_code ec) {
  const std::uint64_t task = read.task;
  read.answer(ec);
  tasks_.cancel_one(task);
}

void TorrentFs::interrupt(ReadId id) {
  const auto found = held_.find(id);
  if (found != held_.end()) fail(*found->second, FsErrc::interrupted);
}

void TorrentFs::flush(Handle handle) {
  OpenFile* const file = find(handle);
  if (file == nullptr) return;
  file->withdraw();
  for (auto at = file->held().begin(); at != file->held().end();) {
    HeldRead& read = *at++;  // leaves the list when it is answered
    if (read.may_fail()) fail(read, FsErrc::flushed);
  }
}

// -- the end

void TorrentFs::drain() {
  draining_ = true;
  while (!held_.empty()) fail(*held_.begin()->second, FsErrc::draining);
  for (const Slot& slot : slots_) {
    if (slot.file) slot.file->withdraw();
  }
}

Task<void> TorrentFs::stop() {
  drain();
  co_await tasks_.join();
}

std::vector<storage::ByteRange> TorrentFs::windows() const {
  std::vector<storage::ByteRange> windows = waiting_for();
  for (const Slot& slot : slots_)
    if (slot.file && !slot.file->window().empty()) windows.push_back(slot.file->window());
  return windows;
}

std::vector<storage::ByteRange> TorrentFs::open_ranges() const {
  std::vector<storage::ByteRange> files;
  for (const Slot& slot : slots_)
    if (slot.file) files.push_back(slot.file->file());
  return files;
}

std::vector<storage::ByteRange> TorrentFs::waiting_for() const {
  std::vector<storage::ByteRange> ranges;
  for (const auto& [id, held] : held_) ranges.push_back(held->range);
  return ranges;
}

}  // namespace swarmfs::fs
