// Errors as values for the whole program, and the error codes of storage/.
//
// Threads: any. Errors: this is where they are defined; the message of each is one line for a user.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace swarmfs {
namespace asio = boost::asio;
using boost::system::error_code;
template <class T>
using Result = boost::system::result<T>;
// A coroutine on the engine thread. It is awaited or given to a TaskGroup, never dropped.
template <class T>
using Task = asio::awaitable<T>;
}  // namespace swarmfs

namespace swarmfs::storage {

enum class StorageErrc {
  short_read = 1,  // the cache file ends before the bytes that were written to it
  closed,          // the store is shutting down; the read will not be answered
};

const boost::system::error_category& storage_category();
inline error_code make_error_code(StorageErrc e) {
  return {static_cast<int>(e), storage_category()};
}

}  // namespace swarmfs::storage

template <>
struct boost::system::is_error_code_enum<swarmfs::storage::StorageErrc> : std::true_type {};
