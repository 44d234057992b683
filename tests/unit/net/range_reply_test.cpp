#include "net/range_reply.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

constexpr RangeAsked kAsked{.begin = 100, .end = 200, .file_size = 1000};

RangeReply judge(unsigned status, const std::string& content_range = {},
                 std::optional<std::uint64_t> length = {}, const std::string& encoding = {}) {
  HttpHead head;
  head.status = status;
  head.content_range = content_range;
  head.content_length = length;
  head.content_encoding = encoding;
  return judge_range_reply(head, kAsked);
}

TEST(RangeReplyTest, TheRangeThatWasAskedFor) {
  EXPECT_EQ(range_header(kAsked), "bytes=100-199");
  EXPECT_EQ(judge(206, "bytes 100-199/1000", 100), RangeReply::range);
  EXPECT_EQ(judge(206, "bytes 100-199/*", 100), RangeReply::range);
  EXPECT_EQ(judge(206, "bytes 100-199/1000"), RangeReply::range) << "in chunks";
  EXPECT_EQ(judge(206, "bytes 100-199/1000", 100, "identity"), RangeReply::range);
}

TEST(RangeReplyTest, AnyOtherRangeIsBroken) {
  for (const char* range :
       {"bytes 101-199/1000", "bytes 100-198/1000", "bytes 100-200/1000", "bytes 0-99/1000",
        "bytes 100-199", "bytes 100-199/", "bytes 100-199/1000x", "100-199/1000", "bytes */1000",
        "bytes -100-199/1000", "bytes 100-99999999999999999999/1000", ""}) {
    EXPECT_EQ(judge(206, range), RangeReply::broken) << range;
  }
  EXPECT_EQ(judge(206, "bytes 100-199/1000", 99), RangeReply::broken);
  EXPECT_EQ(judge(206, "bytes 100-199/1000", 101), RangeReply::broken);
  EXPECT_EQ(judge(206, "bytes 100-199/1000", 100, "gzip"), RangeReply::broken);
}

TEST(RangeReplyTest, AnotherSizeIsAnotherFile) {
  EXPECT_EQ(judge(206, "bytes 100-199/1001", 100), RangeReply::not_there);
  EXPECT_EQ(judge(200, {}, 999), RangeReply::not_there) << "a page that says so with 200";
}

TEST(RangeReplyTest, AServerWithoutRanges) {
  EXPECT_EQ(judge(200, {}, 1000), RangeReply::whole_file);
  EXPECT_EQ(judge(200), RangeReply::whole_file);
  EXPECT_EQ(judge(200, {}, 1000, "br"), RangeReply::broken);
}

TEST(RangeReplyTest, OtherStatuses) {
  for (const unsigned status : {301, 302, 303, 307, 308}) {
    EXPECT_EQ(judge(status), RangeReply::redirect) << status;
  }
  for (const unsigned status : {400, 401, 403, 404, 410, 416, 451}) {
    EXPECT_EQ(judge(status), RangeReply::not_there) << status;
  }
  for (const unsigned status : {408, 429, 500, 502, 503, 504}) {
    EXPECT_EQ(judge(status), RangeReply::busy) << status;
  }
  for (const unsigned status : {100, 103, 201, 204, 300, 304, 305}) {
    EXPECT_EQ(judge(status), RangeReply::broken) << status;
  }
}

TEST(RangeReplyTest, RetryAfterIsBounded) {
  EXPECT_EQ(retry_after("120"), 120s);
  EXPECT_EQ(retry_after("0"), 0s);
  EXPECT_EQ(retry_after("100000000"), kMaxRetryAfter);
  for (const char* nothing :
       {"", "-1", "soon", "12x", "Fri, 31 Dec 1999 23:59:59 GMT", "99999999999999999999999"}) {
    EXPECT_EQ(retry_after(nothing), 0s) << nothing;
  }
}

}  // namespace
}  // namespace swarmfs::net
