// URLs of trackers and .torrent files.
#include <algorithm>

#include "net/http.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  const auto url = parse_http_url(text_of(input));
  if (!url) return;
  const auto visible = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  };
  require(!url->host.empty() && visible(url->host), "a host");
  require(
      std::none_of(url->host.begin(), url->host.end(), [](char c) { return c >= 'A' && c <= 'Z'; }),
      "in lower case");
  require(url->port != 0, "a port");
  require(url->path.starts_with('/') && url->target.starts_with(url->path), "a path");
  require(visible(url->target), "nothing that would end the request line");
  require(is_printable(url->authorization), "nothing that would end the header");
  const bool v6 = url->host.find(':') != std::string::npos;
  const auto again = parse_http_url((url->tls ? "https://" : "http://") +
                                    (v6 ? "[" + url->host + "]" : url->host) + ":" +
                                    std::to_string(url->port) + url->target);
  require(again && again->same_origin(*url) && again->target == url->target,
          "what was understood is understood again");
}
