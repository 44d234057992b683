#include "net/web_seed_places.h"

#include <string>
#include <utility>

#include "storage/metainfo_sources.h"

namespace swarmfs::net {

WebSeedPlaces::WebSeedPlaces(const WebSeedFiles& files, HttpHop seed)
    : files_(files), original_(seed), seed_(std::move(seed)) {}

HttpHop WebSeedPlaces::of(File file) const {
  if (const auto moved = moved_.find(file); moved != moved_.end()) return moved->second;
  HttpHop hop = seed_;
  const std::string suffix = files_.suffix(file, seed_.url.target);
  hop.url.target += suffix;
  hop.url.path += suffix;
  return hop;
}

bool WebSeedPlaces::follow(File file, std::string_view location, const asio::ip::address& here) {
  if (location.size() > storage::kMaxUrlSize) return false;
  Result<HttpHop> hop = redirected(of(file), location, here);
  if (!hop) return false;
  const std::string& old_seed = seed_.url.target;
  const std::string suffix = files_.suffix(file, old_seed);
  std::string target = hop->url.target;
  const bool same_name = target.size() > suffix.size() && target.ends_with(suffix);
  if (same_name) target.resize(target.size() - suffix.size());
  if (same_name && target.ends_with('/') == old_seed.ends_with('/')) {
    moved_.erase(file);
    seed_ = std::move(*hop);
    seed_.url.target = seed_.url.path = target;
  } else {
    if (moved_.size() == kMaxMoved) moved_.clear();
    moved_.insert_or_assign(file, std::move(*hop));
  }
  return true;
}

bool WebSeedPlaces::go_back(File file) {
  const bool moved = moved_.erase(file) > 0 || seed_.url.text() != original_.url.text();
  seed_ = original_;
  return moved;
}

}  // namespace swarmfs::net
