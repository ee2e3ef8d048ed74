// Variants of a model by words: --apply of commands, --variant of studies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/base/json.h"
#include "experiments/study.h"
#include "experiments/variant.h"
#include "tests/experiments/run_program.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

using testing::HasSubstr;
const std::string program = std::string(VITRINE_PROGRAM) + " ";

TEST(VariantWords, AreReadInAnyOrder) {
  const VariantSpec spec = parse_variant("small=kv:int8+magnitude:sparsity=0.25+precision:fast+kernel:flash");
  EXPECT_EQ(spec.name, "small");
  EXPECT_EQ(spec.precision, Precision::fast);
  EXPECT_EQ(spec.kernel, "flash");
  EXPECT_EQ(spec.kv_format, KvFormat(DType::q8_0));
  ASSERT_EQ(spec.shortcuts.size(), 1u);
  EXPECT_EQ(spec.shortcuts[0].spelled(), "magnitude:sparsity=0.25");
  for (const char* wrong : {"magnitude:sparsity=0.5", "=magnitude", "name=", "a=magnitude+", "a=nothing:x=1", "a=precision:slow"}) {
    EXPECT_THROW(parse_variant(wrong), Error) << wrong;
  }
}

class VariantsTest : public testing::Test {
 protected:
  /// Two documents of the twelve tokens of the model.
  void SetUp() override {
    const std::string some = "abc ab,\"ca\nbc abc ab,\"ca bc abc ab,a b c ab,c";
    text_ = model_.write("text.txt", some + "\n\n" + some + " ab abc" + "\n\nabc" + some);
    folder_ = model_.path() + "/study";
  }
  Json logprobs(const std::string& more) {
    const Answer answer = run(program + "score " + model_.path() + " --text 'abc ab,ca' --precision exact --json --quiet " + more);
    EXPECT_EQ(answer.code, 0) << answer.out;
    return parse_json(answer.out, "score");
  }
  TokenizingModel model_;
  std::string text_, folder_;
};

TEST_F(VariantsTest, ApplyChangesTheModelAndSaysSo) {
  const Json plain = logprobs(""), none = logprobs("--apply magnitude:sparsity=0"), half = logprobs("--apply magnitude:sparsity=0.5");
  EXPECT_EQ(plain["sum"].number(), none["sum"].number());
  EXPECT_NE(plain["sum"].number(), half["sum"].number());
  EXPECT_EQ(half["signature"]["shortcuts"].string(), "magnitude:sparsity=0.5");
  EXPECT_FALSE(plain["signature"].has("shortcuts"));
  EXPECT_EQ(run(program + "score " + model_.path() + " --text abc --apply magnitude:sparsity=2").code, 2);
}

TEST_F(VariantsTest, TradeoffHasARowForEach) {
  const Answer answer = run(program + "study tradeoff " + model_.path() + " --file " + text_ + " --tokens 32 --variant half=magnitude:sparsity=0.5 --variant same=magnitude:sparsity=0 --variant quick=precision:fast+kv:f16 --quiet -o " + folder_);
  ASSERT_EQ(answer.code, 0) << answer.out;
  const StudyResult study = read_study(folder_);
  std::vector<std::string> names;
  for (const auto& row : study.tables.front().rows) names.push_back(row.front());
  EXPECT_THAT(names, testing::IsSupersetOf({"half", "same", "quick"}));
  const auto value_of = [&](const std::string& name) {
    for (const Estimate& estimate : study.estimates) {
      if (estimate.name.starts_with("KL") && estimate.name.ends_with(": " + name)) return estimate.value;
    }
    ADD_FAILURE() << name;
    return 0.0;
  };
  EXPECT_GT(value_of("half"), 1e-3);
  EXPECT_LT(value_of("same"), 1e-9);
  EXPECT_EQ(study.signature["variants"]["half"].string(), "magnitude:sparsity=0.5+precision:exact+kernel:flash+kv:F32");
}

TEST_F(VariantsTest, PairsSayWhatChanges) {
  const std::string data = model_.write("pairs.csv", "more,less\nabc ab,ac ab\nab c,abc c\na b ab,a c ab\nbc abc,ab abc\n\"ab,c\",\"ac,c\"\n");
  const Answer answer = run(program + "study pairs " + model_.path() + " --protocol sum-nobos --data " + data + " --map more=more,less=less --variant half=magnitude:sparsity=0.5 --quiet -o " + folder_);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_THAT(answer.out, HasSubstr("change of the association part: half"));
}

}  // namespace
}  // namespace vitrine
