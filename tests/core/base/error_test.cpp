#include "core/base/error.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(Quoted, NothingThatATerminalObeysIsLeft) {
  EXPECT_EQ(vitrine::quoted(std::string_view("a\x1b[31m\n")), "'a\\x1b[31m\\x0a'");
  EXPECT_EQ(vitrine::quoted(std::string_view("\xc2\x9b" "2J")), "'\\xc2\\x9b2J'");  // U+009B, one byte of which begins a control sequence
  EXPECT_EQ(vitrine::quoted(std::string_view("\xc2\xa0\xc3\x9f\xe2\x82\xac")), "'\xc2\xa0\xc3\x9f\xe2\x82\xac'");
  EXPECT_EQ(vitrine::quoted(std::string_view("abcdef"), 3), "'abc...'");
}

TEST(Errors, AreOneLineWhateverAFileSays) {
  EXPECT_STREQ(Error({"a\nb", "c", "d\x1b[2J", ""}).what(), "a\\x0ab: expected c, found d\\x1b[2J");
}

}  // namespace
}  // namespace vitrine
