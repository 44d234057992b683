// Bencode, as strict as for messages and as lenient as for old .torrent files.
#include "storage/bencode.h"

#include <set>
#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace swarmfs::fuzz {
namespace {

namespace bencode = storage::bencode;
using bencode::Type;

// The value written again by our encoder. Recursion is bounded by the reader's depth.
std::string rewritten(bencode::Value value) {
  if (const auto number = value.integer()) return bencode::encode(*number);
  if (const auto text = value.string()) return bencode::encode(*text);
  if (value.is(Type::list)) {
    bencode::List list;
    for (const bencode::Value item : value.items()) list.add_encoded(rewritten(item));
    return list.encode();
  }
  require(value.is(Type::dictionary), "a value has a type, and an integer a value");
  bencode::Dictionary dictionary;
  for (const bencode::Entry entry : value.entries()) {
    require(value[entry.key].raw().data() == entry.value.raw().data(), "a key leads to its value");
    dictionary.add_encoded(entry.key, rewritten(entry.value));
  }
  return dictionary.encode();
}

void check_keys(bencode::Value value) {
  std::set<std::string_view> keys;
  for (const bencode::Entry entry : value.entries()) {
    require(keys.insert(entry.key).second, "no key twice");
    check_keys(entry.value);
  }
  for (const bencode::Value item : value.items()) check_keys(item);
}

}  // namespace

void run(Bytes input) {
  const auto lenient =
      bencode::Document::read(input, bencode::kTorrentLimits, bencode::Mode::lenient);
  const auto strict =
      bencode::Document::read(input, bencode::kMessageLimits, bencode::Mode::strict);
  if (lenient) check_keys(lenient->root());
  if (!strict) return;
  require(lenient.has_value(), "what is strict is lenient too");
  require(lenient->end() == strict->end() && lenient->token_count() == strict->token_count(),
          "both read the same");
  require(!strict->oddities().any() && !lenient->oddities().any(), "nothing odd in what is strict");
  require(strict->token_count() <= bencode::kMessageLimits.tokens, "the limit of tokens");
  require(rewritten(strict->root()) == text_of(input.first(strict->end())),
          "what is canonical is written the same");
}

}  // namespace swarmfs::fuzz
