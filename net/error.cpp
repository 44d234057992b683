#include "net/error.h"

#include <string>

namespace swarmfs::net {
namespace {

class NetCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "net"; }
  std::string message(int value) const override {
    switch (static_cast<NetErrc>(value)) {
      case NetErrc::timed_out:
        return "timed out";
      case NetErrc::protocol_error:
        return "protocol error";
      case NetErrc::wrong_torrent:
        return "the peer serves another torrent";
      case NetErrc::self_connection:
        return "connected to ourselves";
      case NetErrc::duplicate_peer:
        return "connected to this peer already";
      case NetErrc::refused_address:
        return "address refused (see --allow-local)";
      case NetErrc::tracker_failure:
        return "the tracker refused";
      case NetErrc::malformed_reply:
        return "malformed reply";
      case NetErrc::too_large:
        return "reply too large";
      case NetErrc::bad_url:
        return "bad URL";
      case NetErrc::unsupported_scheme:
        return "unsupported URL scheme";
      case NetErrc::not_on_server:
        return "the server has no file of this torrent";
      case NetErrc::server_busy:
        return "the server cannot answer now";
    }
    return "unknown network error";
  }
};

}  // namespace

const boost::system::error_category& net_category() {
  static const NetCategory category;
  return category;
}

}  // namespace swarmfs::net
