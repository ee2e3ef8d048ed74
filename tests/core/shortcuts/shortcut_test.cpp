#include "core/shortcuts/shortcut.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace vitrine {
namespace {

std::string refusal(std::string_view word) {
  try {
    const ShortcutCall call(word);
    call.number("sparsity", 0.0, 1.0);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ShortcutWords, AreReadAndSpelledAgain) {
  const std::vector<ShortcutCall> calls = parse_shortcuts("magnitude:sparsity=0.25+magnitude");
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].spelled(), "magnitude:sparsity=0.25");
  EXPECT_EQ(calls[1].spelled(), "magnitude:sparsity=0.5");
  EXPECT_DOUBLE_EQ(calls[1].number("sparsity", 0.0, 1.0), 0.5);
}

TEST(ShortcutWords, RefuseWhatIsNotThere) {
  EXPECT_NE(refusal("magnitde").find("the nearest is magnitude"), std::string::npos);
  EXPECT_NE(refusal("magnitude:share=0.5").find("the keys sparsity"), std::string::npos);
  EXPECT_NE(refusal("magnitude:sparsity=1.5").find("from 0 to 1"), std::string::npos);
  EXPECT_NE(refusal("magnitude:sparsity=nan").find("from 0 to 1"), std::string::npos);
  EXPECT_NE(refusal("magnitude:sparsity").find("key=value"), std::string::npos);
  EXPECT_NE(refusal("magnitude:sparsity=").find("share of zeros"), std::string::npos);
  EXPECT_NE(refusal("magnitude:").find("key=value"), std::string::npos);
  EXPECT_NE(refusal("magnitude:sparsity=0.1,sparsity=0.2").find("twice"), std::string::npos);
}

TEST(ShortcutTable, HasExamplesThatAreWords) {
  for (const Shortcut* shortcut : all_shortcuts()) {
    EXPECT_EQ(ShortcutCall(shortcut->example).shortcut().name, shortcut->name) << shortcut->example;
    EXPECT_FALSE(shortcut->summary.empty()) << shortcut->name;
  }
}

}  // namespace
}  // namespace vitrine
