// The error codes of net/.
#pragma once
#include "storage/result.h"

namespace swarmfs::net {

enum class NetErrc {
  timed_out = 1,       // a total deadline passed
  protocol_error,      // the other side broke the protocol
  wrong_torrent,       // the peer's handshake names another info-hash
  self_connection,     // we reached ourselves
  duplicate_peer,      // connected to it already, at another of its addresses
  refused_address,     // the connect policy forbids the address
  tracker_failure,     // the tracker answered with a failure reason
  malformed_reply,     // a tracker's or web server's answer makes no sense
  too_large,           // an answer passed its size limit
  bad_url,             // not a URL we can use
  unsupported_scheme,  // a URL scheme we do not speak
  not_on_server,       // a web seed has none of the torrent's files
  server_busy,         // a web server puts us off
};

const boost::system::error_category& net_category();
inline error_code make_error_code(NetErrc e) {
  return {static_cast<int>(e), net_category()};
}

}  // namespace swarmfs::net

template <>
struct boost::system::is_error_code_enum<swarmfs::net::NetErrc> : std::true_type {};
