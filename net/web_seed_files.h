// Where a web server keeps the bytes of a torrent (BEP 19): in which file, and what that file's URL
// is.
//
// Threads: engine thread; immutable. Memory: an index a file; the metainfo outlives it. Errors:
// none.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/metainfo.h"

namespace swarmfs::net {

class WebSeedFiles {
 public:
  using File = std::size_t;  // into Metainfo::files
  struct Span {
    storage::ByteRange bytes;  // torrent offsets, not empty
    std::optional<File> file;  // empty: padding, which is zeros and lies on no server
  };

  explicit WebSeedFiles(const storage::Metainfo& metainfo);

  [[nodiscard]] const storage::Layout& layout() const { return metainfo_.layout; }
  // `bytes`, in order.
  [[nodiscard]] std::vector<Span> spans(storage::ByteRange bytes) const;
  [[nodiscard]] storage::ByteRange range(File file) const;  // torrent offsets
  // What stands behind the seed's URL in that of the file, percent-encoded. BEP 19: the name behind
  // a URL that ends in a slash, and the path in a torrent of many files.
  [[nodiscard]] std::string suffix(File file, std::string_view seed_url) const;

 private:
  const storage::Metainfo& metainfo_;
  std::vector<File> files_;  // those that have bytes, in the order of these
};

// Everything but RFC 3986's unreserved characters, slashes included.
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace swarmfs::net
