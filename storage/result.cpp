#include "storage/result.h"

#include <string>

namespace swarmfs::storage {
namespace {

class StorageCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "storage"; }
  std::string message(int value) const override {
    switch (static_cast<StorageErrc>(value)) {
      case StorageErrc::short_read:
        return "the cache file is shorter than what was written to it";
      case StorageErrc::closed:
        return "the mount is shutting down";
    }
    return "unknown storage error";
  }
};

}  // namespace

const boost::system::error_category& storage_category() {
  static const StorageCategory category;
  return category;
}

}  // namespace swarmfs::storage
