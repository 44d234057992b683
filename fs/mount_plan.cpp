#include "fs/mount_plan.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace swarmfs::fs {
namespace {

// In a tier of its own, if it is new.
void add_tracker(MountPlan& plan, const std::string& url) {
  const auto has = [&url](const std::vector<std::string>& tier) {
    return std::find(tier.begin(), tier.end(), url) != tier.end();
  };
  if (std::none_of(plan.trackers.begin(), plan.trackers.end(), has)) plan.trackers.push_back({url});
}

// The user's word counts for more than that of others, wherever they have named it too.
void put_first(MountPlan& plan, const std::vector<std::string>& urls) {
  std::vector<std::vector<std::string>> others = std::exchange(plan.trackers, {});
  for (const std::string& url : urls) add_tracker(plan, url);
  plan.user_tiers = plan.trackers.size();
  for (std::vector<std::string>& tier : others) {
    std::erase_if(tier, [&urls](const std::string& url) {
      return std::find(urls.begin(), urls.end(), url) != urls.end();
    });
    if (!tier.empty()) plan.trackers.push_back(std::move(tier));
  }
}

void take_torrent(MountPlan& plan, std::vector<std::byte> bytes, storage::Metainfo metainfo) {
  plan.title = metainfo.name;
  plan.trackers = metainfo.trackers;
  plan.web_seeds = metainfo.web_seeds;
  plan.metainfo = std::move(metainfo);
  plan.torrent = std::move(bytes);
}

void take_magnet(MountPlan& plan, storage::Magnet magnet) {
  if (plan.title.empty()) plan.title = std::move(magnet.name);
  if (plan.title.empty()) plan.title = plan.info_hash.hex();
  for (const std::string& url : magnet.trackers) add_tracker(plan, url);
  for (const std::string& url : magnet.web_seeds) {
    const auto& known = plan.web_seeds;
    if (std::find(known.begin(), known.end(), url) == known.end()) plan.web_seeds.push_back(url);
  }
  plan.hinted_peers = std::move(magnet.peers);
  plan.selected = std::move(magnet.selected);
  plan.warnings = std::move(magnet.warnings);
}

}  // namespace

const storage::InfoHash& info_hash_of(const Source& source) {
  if (const auto* torrent = std::get_if<TorrentFile>(&source)) return torrent->metainfo.info_hash;
  return *std::get<storage::Magnet>(source).info_hash;
}

MountPlan plan_mount(Source source, std::optional<KeptTorrent> kept,
                     const std::vector<std::string>& more_trackers) {
  MountPlan plan;
  plan.info_hash = info_hash_of(source);
  if (auto* torrent = std::get_if<TorrentFile>(&source)) {
    take_torrent(plan, std::move(torrent->bytes), std::move(torrent->metainfo));
  } else {
    if (kept) take_torrent(plan, std::move(kept->bytes), std::move(kept->metainfo));
    take_magnet(plan, std::move(std::get<storage::Magnet>(source)));
  }
  put_first(plan, more_trackers);
  return plan;
}

}  // namespace swarmfs::fs
