// What the user is told when something cannot be done: one line that names the thing, the cause
// and, where there is one, the remedy; and the code to end with.
//
// Threads: plain values. Memory: one line. Errors: this is where the command line's are defined.
#pragma once
#include <boost/system/result.hpp>
#include <string>

namespace swarmfs::fs {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;  // the command line makes no sense

struct Complaint {
  std::string line;  // without "swarmfs: " and without a newline
  int exit_code = kExitFailure;
};

template <class T>
using OrComplaint = boost::system::result<T, Complaint>;

}  // namespace swarmfs::fs
