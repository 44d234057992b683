#include "net/web_seed.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cstring>
#include <utility>
#include <variant>

namespace swarmfs::net {
namespace {

using storage::ByteRange;
using storage::PieceIndex;

// Until it is measured: a middling line, as for peers.
constexpr double kPriorRate = 1e6;
// What is always read to its end: less than a connection's first window and a half.
constexpr std::uint64_t kLeastRest = 32 * 1024;
// Shorter bodies say little about the rate.
constexpr std::uint64_t kRateSample = 64 * 1024;
// A server that lacked this many files, and had none, has none.
constexpr std::size_t kMaxMissing = 4;

}  // namespace

// What the swarm holds.
class WebSeed::SwarmSide final : public Stream {
 public:
  SwarmSide(std::shared_ptr<WebSeed> seed, const Endpoint& remote)
      : seed_(std::move(seed)), remote_(remote) {}
  ~SwarmSide() override { seed_->close(); }
  SwarmSide(const SwarmSide&) = delete;
  SwarmSide& operator=(const SwarmSide&) = delete;

  Result<std::size_t> read_now(std::span<const asio::mutable_buffer> into) override {
    return seed_->take(into);
  }
  Result<std::size_t> write_now(std::span<const asio::const_buffer> from) override {
    std::size_t size = 0;
    for (const asio::const_buffer& part : from) {
      seed_->on_written({static_cast<const std::byte*>(part.data()), part.size()});
      size += part.size();
    }
    return size;
  }
  Task<void> wait_readable() override {
    if (seed_->outbox_.empty() && !seed_->ended_) co_await seed_->readable_.wait();
  }
  Task<void> wait_writable() override { co_return; }
  void close() override { seed_->close(); }
  Endpoint remote() const override { return remote_; }

 private:
  std::shared_ptr<WebSeed> seed_;
  Endpoint remote_;
};

WebSeed::WebSeed(asio::any_io_executor executor, Clock& clock, const WebSeedFiles& files,
                 HttpHop seed)
    : executor_(executor),
      clock_(clock),
      files_(files),
      places_(files, seed),
      last_(std::move(seed)),
      have_(files.layout().piece_count()),
      silence_(clock,
               [this] {
                 silent_ = true;
                 if (http_) http_->close();
               }),
      block_(storage::kBlockSize),
      rate_(kPriorRate),
      readable_(executor),
      work_to_do_(executor),
      drained_(executor) {
  have_.set_all();
}

Task<error_code> WebSeed::connect() {
  const error_code ec = co_await open(places_.seed());
  co_return ec;
}

std::unique_ptr<Stream> WebSeed::stream(const Endpoint& remote) {
  say(HaveAll{});
  say(Unchoke{});
  return std::make_unique<SwarmSide>(shared_from_this(), remote);
}

Task<error_code> WebSeed::serve() {
  const auto self = shared_from_this();
  try {
    co_await work();
  } catch (const boost::system::system_error& cancelled) {
    fail(cancelled.code());
  }
  if (!failure_) failure_ = asio::error::operation_aborted;
  ended_ = true;
  drop_connection();
  readable_.wake_all();
  co_return failure_;
}

void WebSeed::close() {
  if (std::exchange(closed_, true)) return;
  if (http_) http_->close();
  for (storage::WaitList* list : {&readable_, &work_to_do_, &drained_}) list->wake_all();
}

// -- the swarm's side

Result<std::size_t> WebSeed::take(std::span<const asio::mutable_buffer> into) {
  if (outbox_.empty()) {
    return ended_ ? failure_ : error_code(asio::error::would_block);
  }
  const auto rest = asio::buffer(outbox_.data() + taken_, outbox_.size() - taken_);
  std::size_t size = 0;
  for (const asio::mutable_buffer& part : into) size += asio::buffer_copy(part, rest + size);
  taken_ += size;
  if (taken_ == outbox_.size()) {
    outbox_.clear();
    taken_ = 0;
    drained_.wake_all();
  }
  return size;
}

void WebSeed::say(const Message& message) {
  encode(message, outbox_);
  readable_.wake_all();
}

void WebSeed::on_written(std::span<const std::byte> bytes) {
  inbox_.insert(inbox_.end(), bytes.begin(), bytes.end());
  std::span<const std::byte> rest = inbox_;
  while (rest.size() >= kLengthPrefixSize) {
    const std::uint32_t length = read_u32(rest.first<kLengthPrefixSize>());
    if (rest.size() - kLengthPrefixSize < length) break;
    const auto message = decode(rest.subspan(kLengthPrefixSize, length));
    if (message) on_message(*message);
    rest = rest.subspan(kLengthPrefixSize + length);
  }
  inbox_.erase(inbox_.begin(), inbox_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  reconsider();
  work_to_do_.wake_all();
}

void WebSeed::on_message(const Message& message) {
  if (const auto* request = std::get_if<Request>(&message)) {
    on_request(*request);
  } else if (const auto* cancel = std::get_if<Cancel>(&message)) {
    on_cancel(*cancel);
  } else if (std::holds_alternative<KeepAlive>(message)) {
    say(KeepAlive{});  // it is alive: a server has no say in that while nothing is asked of it
  } else if (std::holds_alternative<Interested>(message)) {
    interested_ = true;
  } else if (std::holds_alternative<NotInterested>(message)) {
    interested_ = false;
  }
}

void WebSeed::on_request(const Request& request) {
  const auto block = files_.layout().block_at(request.index, request.begin, request.length);
  const Reject refusal{request.index, request.begin, request.length};
  if (!block || !have_.test(block->piece)) return say(refusal);
  const auto coming = std::find_if(asked_.begin(), asked_.end(), [&request](const Ask& ask) {
    return ask.cancelled && ask.request.index == request.index &&
           ask.request.begin == request.begin;
  });
  if (coming != asked_.end()) {  // cancelled, and wanted again before it came
    coming->cancelled = false;
    return say(refusal);
  }
  wanted_.push_back({request, block->piece, files_.layout().range(*block)});
}

// BEP 6: what is cancelled is answered all the same, by data or a reject.
void WebSeed::on_cancel(const Cancel& cancel) {
  const auto is_meant = [&cancel](const Ask& ask) {
    return ask.request.index == cancel.index && ask.request.begin == cancel.begin && !ask.cancelled;
  };
  const auto waiting = std::find_if(wanted_.begin(), wanted_.end(), is_meant);
  if (waiting != wanted_.end()) {
    wanted_.erase(waiting);
    return say(Reject{cancel.index, cancel.begin, cancel.length});
  }
  const auto coming = std::find_if(asked_.begin(), asked_.end(), is_meant);
  if (coming != asked_.end()) coming->cancelled = true;
}

// Nobody wants what is on its way: the connection is closed when a new one is there sooner.
void WebSeed::reconsider() {
  if (asked_.empty() || abandoned_) return;
  if (!std::all_of(asked_.begin(), asked_.end(), [](const Ask& ask) { return ask.cancelled; })) {
    return;
  }
  if (any_sent() && on_the_way() <= cheap_rest()) return;
  abandoned_ = true;
  if (any_sent() && http_) http_->close();
}

bool WebSeed::any_sent() const {
  return std::any_of(gets_.begin(), gets_.end(), [](const Get& get) { return get.sent; });
}

std::uint64_t WebSeed::cheap_rest() const {
  const double seconds = std::chrono::duration<double>(connect_time_).count();
  return std::max(kLeastRest, static_cast<std::uint64_t>(rate_ * seconds));
}

// -- what is asked, and what is on its way

Task<void> WebSeed::work() {
  while (!closed_) {
    if (abandoned_) {
      if (any_sent()) drop_connection();
      start_over();
    }
    plan();
    if (!gets_.empty()) {
      const Step step = co_await receive();
      if (step == Step::failed) co_return;
      continue;
    }
    if (interested_ && !http_) {  // for whoever comes next
      const error_code ec = co_await open(last_);
      if (ec) {
        fail(ec);
        co_return;
      }
      continue;
    }
    if (!interested_) drop_connection();
    co_await work_to_do_.wait();
  }
}

std::uint64_t WebSeed::on_the_way() const {
  std::uint64_t bytes = 0;
  for (const Get& get : gets_) bytes += get.span.bytes.size();
  return bytes;
}

// Whether to ask for more before all has come: just in time for no round trip to be lost, because a
// server looks at a request when it is done with the one before, and then takes its time for it;
// and for as much as is on its way, or there would be a request for every block.
bool WebSeed::time_for_more() const {
  if (gets_.empty()) return true;
  if (no_ranges_ || !http_) return false;
  std::uint64_t waiting = 0;
  for (const Ask& ask : wanted_) waiting += ask.bytes.size();
  const std::uint64_t coming = on_the_way();
  const double seconds = std::chrono::duration<double>(http_->round_trip()).count();
  return coming <= waiting && static_cast<double>(coming) <= rate_ * seconds;
}

// Turns what waits into requests.
void WebSeed::plan() {
  if (abandoned_ || !time_for_more()) return;
  while (!wanted_.empty() && gets_.size() < kMaxPipelined) {
    ByteRange run{wanted_.front().bytes.begin, wanted_.front().bytes.begin};
    while (!wanted_.empty() && wanted_.front().bytes.begin == run.end && run.size() < kMaxRange) {
      run.end = wanted_.front().bytes.end;
      asked_.push_back(wanted_.front());
      wanted_.pop_front();
    }
    for (const WebSeedFiles::Span& span : files_.spans(run)) gets_.push_back({span});
  }
}

// Nothing is on its way any more. What is still wanted waits again; the rest is refused.
void WebSeed::start_over() {
  wanted_.insert(wanted_.begin(), asked_.begin(), asked_.end());
  asked_.clear();
  gets_.clear();
  filled_ = 0;
  abandoned_ = false;
  std::erase_if(wanted_, [this](const Ask& ask) {
    if (!ask.cancelled && have_.test(ask.piece)) return false;
    say(Reject{ask.request.index, ask.request.begin, ask.request.length});
    return true;
  });
}

// What was on its way is asked for again, from where it broke off.
void WebSeed::drop_connection() {
  if (http_) http_->close();
  http_.reset();
  for (Get& get : gets_) get.sent = false;
}

// `bytes` of the first request have come.
void WebSeed::advance(std::size_t bytes) {
  gets_.front().span.bytes.begin += bytes;
  filled_ += bytes;
  const Ask& ask = asked_.front();
  if (filled_ < ask.bytes.size()) return;
  if (ask.cancelled) {
    say(Reject{ask.request.index, ask.request.begin, ask.request.length});
  } else {
    say(Piece{ask.request.index, ask.request.begin, std::span(block_).first(filled_)});
  }
  asked_.pop_front();
  filled_ = 0;
  ++delivered_;
  fruitful_ = true;
}

void WebSeed::fill_zeros() {
  while (!gets_.front().span.bytes.empty()) {
    const std::uint64_t room = asked_.front().bytes.size() - filled_;
    const auto size = static_cast<std::size_t>(std::min(room, gets_.front().span.bytes.size()));
    std::memset(block_.data() + filled_, 0, size);
    advance(size);
  }
  gets_.pop_front();
}

// -- the server's side

template <class T>
Task<T> WebSeed::watched(Task<T> call) {
  silent_ = false;
  silence_.arm(clock_.now() + kWebSeedSilence);
  T result = co_await std::move(call);
  silence_.disarm();
  co_return result;
}

WebSeed::Step WebSeed::fail(error_code why) {
  if (!failure_) failure_ = silent_ ? error_code(NetErrc::timed_out) : why;
  return Step::failed;
}

// A connection that had been of use may have come to its end; a new one is no second try.
WebSeed::Step WebSeed::on_lost(error_code why) {
  if (closed_ || silent_) return fail(why);
  drop_connection();
  if (abandoned_) {
    start_over();
  } else if (!fruitful_) {
    return fail(why == asio::error::eof ? error_code(NetErrc::malformed_reply) : why);
  }
  return Step::go_on;
}

RangeAsked WebSeed::range_of(const Get& get) const {
  const ByteRange file = files_.range(*get.span.file);
  return {get.span.bytes.begin - file.begin, get.span.bytes.end - file.begin, file.size()};
}

Task<error_code> WebSeed::open(HttpHop hop) {
  const TimePoint started = clock_.now();
  http_ = std::make_shared<HttpConnection>(executor_);
  fruitful_ = false;
  last_ = hop;
  auto opening = watched(http_->open(clock_, std::move(hop)));
  error_code ec = co_await std::move(opening);
  if (closed_) ec = asio::error::operation_aborted;
  if (silent_) ec = NetErrc::timed_out;
  if (ec) {
    drop_connection();
  } else {
    connect_time_ = clock_.now() - started;
  }
  co_return ec;
}

// What has not been sent, as far as it may be ahead of the answers.
Task<error_code> WebSeed::send() {
  std::string text;
  for (std::size_t i = 0; i < std::min(gets_.size(), kMaxPipelined); ++i) {
    Get& get = gets_[i];
    if (!get.span.file || get.sent) continue;
    const HttpHop place = places_.of(*get.span.file);
    if (!place.url.same_origin(last_.url)) break;
    const std::string range = range_header(range_of(get));
    text += get_request(place.url, "Accept-Encoding: identity\r\nRange: " + range + "\r\n");
    get.sent = true;
    if (no_ranges_) break;
  }
  if (text.empty()) co_return error_code();
  auto writing = watched(http_->write(std::move(text)));
  co_return co_await std::move(writing);
}

// The first request, as far as one answer brings it.
Task<WebSeed::Step> WebSeed::receive() {
  if (!gets_.front().span.file) {
    fill_zeros();
    co_return Step::go_on;
  }
  const File file = *gets_.front().span.file;
  const HttpHop place = places_.of(file);
  if (http_ && (!place.url.same_origin(last_.url) || (!gets_.front().sent && http_->stale()))) {
    drop_connection();
  }
  if (!http_) {
    const error_code ec = co_await open(place);
    if (ec == NetErrc::refused_address && redirects_ > 0) co_return on_not_there(file);
    if (ec) co_return fail(ec);
  }
  if (abandoned_) co_return Step::go_on;
  const error_code not_sent = co_await send();
  if (not_sent) co_return on_lost(not_sent);
  auto reading = watched(http_->read_head());
  const Result<HttpHead> head = co_await std::move(reading);
  if (!head) co_return on_lost(head.error());
  const RangeAsked asked = range_of(gets_.front());
  const bool all_of_it = asked.begin == 0 && asked.end == asked.file_size;
  switch (judge_range_reply(*head, asked)) {
    case RangeReply::range:
      co_return co_await receive_body(*head, 0);
    case RangeReply::whole_file:
      if (!all_of_it && !std::exchange(no_ranges_, true)) {
        co_return offer_less({0, files_.layout().total_size()});
      }
      co_return co_await receive_body(*head, asked.begin);
    case RangeReply::redirect:
      co_return on_redirect(file, *head);
    case RangeReply::not_there:
      co_return on_not_there(file);
    case RangeReply::busy:
      asked_pause_ = retry_after(head->retry_after);
      co_return fail(NetErrc::server_busy);
    case RangeReply::broken:
      break;
  }
  co_return fail(NetErrc::malformed_reply);
}

Task<WebSeed::Step> WebSeed::receive_body(HttpHead head, std::uint64_t skipped) {
  const RangeAsked asked = range_of(gets_.front());
  const bool to_its_end = head.status == 206 || asked.end == asked.file_size;
  error_code ec = co_await skip(skipped);
  if (!ec) ec = co_await read_range();
  if (ec) co_return on_lost(ec);
  if (to_its_end) {
    std::byte more{};
    auto reading = watched(http_->read_body(std::span(&more, 1)));
    const Result<std::size_t> size = co_await std::move(reading);
    if (!size) co_return on_lost(size.error());
    if (*size > 0) co_return fail(NetErrc::malformed_reply);
  }
  gets_.pop_front();
  redirects_ = 0;
  fruitful_ = true;
  if (!head.keep_alive || !to_its_end) drop_connection();
  co_return Step::go_on;
}

// Reads the body past what nobody asked for.
Task<error_code> WebSeed::skip(std::uint64_t bytes) {
  std::vector<std::byte> nowhere(std::min<std::uint64_t>(bytes, storage::kBlockSize));
  while (bytes > 0) {
    const auto part = std::span(nowhere).first(std::min<std::uint64_t>(bytes, nowhere.size()));
    auto reading = watched(http_->read_body(part));
    const Result<std::size_t> size = co_await std::move(reading);
    if (!size) co_return size.error();
    if (*size == 0) co_return NetErrc::malformed_reply;
    bytes -= *size;
  }
  co_return error_code();
}

Task<error_code> WebSeed::read_range() {
  const TimePoint started = clock_.now();
  const std::uint64_t size = gets_.front().span.bytes.size();
  while (!gets_.front().span.bytes.empty()) {
    const std::uint64_t room = asked_.front().bytes.size() - filled_;
    const auto part = std::min(room, gets_.front().span.bytes.size());
    auto reading = watched(http_->read_body(std::span(block_).subspan(filled_, part)));
    const Result<std::size_t> got = co_await std::move(reading);
    if (!got) co_return got.error();
    if (*got == 0) co_return NetErrc::malformed_reply;  // shorter than it said
    advance(*got);
    plan();
    const error_code ec = co_await send();
    if (ec) co_return ec;
    while (outbox_.size() > kMaxOutbox && !closed_) co_await drained_.wait();
    if (closed_) co_return asio::error::operation_aborted;
  }
  const double seconds = std::chrono::duration<double>(clock_.now() - started).count();
  if (size >= kRateSample && seconds > 0) rate_ = static_cast<double>(size) / seconds;
  co_return error_code();
}

// -- what a server says instead

WebSeed::Step WebSeed::on_redirect(File file, const HttpHead& head) {
  if (++redirects_ > kMaxRedirects || !places_.follow(file, head.location, http_->remote())) {
    return on_not_there(file);
  }
  drop_connection();
  return Step::go_on;
}

WebSeed::Step WebSeed::on_not_there(File file) {
  // Where we were sent earlier may be out of date: the seed itself is asked once more.
  if (places_.go_back(file) && redirects_ == 0) {
    drop_connection();
    return Step::go_on;
  }
  redirects_ = 0;
  missing_.insert(file);
  if (delivered_ == 0 && missing_.size() >= kMaxMissing) return fail(NetErrc::not_on_server);
  return offer_less(files_.range(file));
}

bool WebSeed::has(PieceIndex piece) const {
  for (const WebSeedFiles::Span& span : files_.spans(files_.layout().range(piece))) {
    if (!span.file) continue;
    if (missing_.contains(*span.file)) return false;
    if (no_ranges_ && span.bytes.end - files_.range(*span.file).begin > kMaxSkipped) return false;
  }
  return true;
}

// Less of `among` is there than was said. Choking, so that what is refused counts for no lie.
WebSeed::Step WebSeed::offer_less(ByteRange among) {
  const storage::Layout& layout = files_.layout();
  auto piece = std::optional(layout.piece_of(among.begin));
  for (; piece && layout.range(*piece).begin < among.end; piece = layout.next(*piece)) {
    if (!has(*piece)) have_.reset(*piece);
  }
  if (have_.none()) return fail(NetErrc::not_on_server);
  drop_connection();
  say(Choke{});
  start_over();
  const std::vector<std::byte> pieces = have_.to_wire();
  say(BitfieldMessage{pieces});
  say(Unchoke{});
  return Step::go_on;
}

}  // namespace swarmfs::net
