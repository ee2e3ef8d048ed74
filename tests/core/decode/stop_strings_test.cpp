#include "core/decode/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

#include "core/base/error.h"

namespace vitrine {
namespace {

TEST(StopStrings, HoldBackOnlyWhatMayBeOne) {
  StopStrings stop({"END", "\n\n"});
  EXPECT_EQ(stop.push("a E"), "a ");
  EXPECT_EQ(stop.push("N"), "");
  EXPECT_EQ(stop.push("\n"), "EN");
  EXPECT_EQ(stop.push("x"), "\nx");
  EXPECT_EQ(stop.push("E"), "");
  EXPECT_EQ(stop.finish(), "E");
  EXPECT_FALSE(stop.met());
  EXPECT_EQ(StopStrings().push("anything"), "anything");
  EXPECT_THROW(StopStrings({"a", ""}), Error);
}

TEST(StopStrings, CutBeforeTheFirst) {
  StopStrings stop({"world", "lo w"});
  EXPECT_EQ(stop.push("hello"), "hel");
  EXPECT_EQ(stop.push(" world"), "");  // "lo w" is whole first
  EXPECT_TRUE(stop.met());
  EXPECT_EQ(stop.push("more"), "");
  EXPECT_EQ(stop.finish(), "");
}

/// In whatever pieces a text comes, what is said is the text before the string that is whole first; with characters of several bytes.
TEST(StopStrings, PiecesDoNotMatter) {
  std::mt19937 random(3);
  const std::vector<std::string> letters{"a", "b", "\xc3\xa9", "\xe2\x82\xac"};
  for (int round = 0; round < 2000; ++round) {
    const auto text_of = [&](std::size_t length) {
      std::string text;
      for (std::size_t i = 0; i < length; ++i) text += letters[random() % letters.size()];
      return text;
    };
    const std::string text = text_of(random() % 20);
    std::vector<std::string> stops;
    for (std::size_t i = 0; i < 1 + random() % 3; ++i) stops.push_back(text_of(1 + random() % 4));
    StopStrings stop(stops);
    std::string said;
    for (std::size_t at = 0; at < text.size() && !stop.met();) {
      const std::size_t size = 1 + random() % 5;
      said += stop.push(std::string_view(text).substr(at, size));
      at += size;
    }
    const bool met = stop.met();
    said += stop.finish();
    std::string expected = text;
    for (std::size_t end = 1; end <= text.size() && expected.size() == text.size(); ++end) {
      for (const std::string& one : stops) {
        if (std::string_view(text).substr(0, end).ends_with(one)) expected.resize(std::min(expected.size(), end - one.size()));
      }
    }
    EXPECT_EQ(said, expected) << text;
    EXPECT_EQ(met, expected.size() < text.size());
  }
}

}  // namespace
}  // namespace vitrine
