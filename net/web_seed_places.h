// Where the files of a web seed are asked for: at the URLs that the torrent gives, or where servers
// have sent us since.
//
// Threads: engine thread. Memory: at most kMaxMoved URLs besides the seed's own. Errors: none.
// Lifetime: the files outlive it.
#pragma once
#include <map>
#include <string_view>

#include "net/http_connection.h"
#include "net/web_seed_files.h"

namespace swarmfs::net {

// Files whose own redirect is remembered. Beyond that it is asked for again.
inline constexpr std::size_t kMaxMoved = 1000;

class WebSeedPlaces {
 public:
  using File = WebSeedFiles::File;
  // `seed`: the URL as the torrent gives it.
  WebSeedPlaces(const WebSeedFiles& files, HttpHop seed);

  [[nodiscard]] const HttpHop& seed() const { return seed_; }
  [[nodiscard]] HttpHop of(File file) const;
  // The server at `here` says that the file is elsewhere. False: nowhere we may go. All files have
  // moved when only what stands before this one's name is another.
  [[nodiscard]] bool follow(File file, std::string_view location, const asio::ip::address& here);
  // The file is not where we were sent. True: we had been sent, and its place is the torrent's
  // again.
  bool go_back(File file);

 private:
  const WebSeedFiles& files_;
  HttpHop original_;
  HttpHop seed_;
  std::map<File, HttpHop> moved_;
};

}  // namespace swarmfs::net
