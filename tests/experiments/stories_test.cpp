// The published model of 260,000 weights in llama2.c's layout must write what llama2.c publishes for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <span>

#include "core/decode/search.h"
#include "experiments/scoring.h"
#include "tests/stories_model.h"

namespace vitrine {
namespace {

// expected_stdout of llama2.c's test_all.py (Karpathy, MIT): temperature 0, 200 steps.
constexpr const char* published =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She "
    "wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. "
    "She said, \"I want to play with your ball, but I can't find it.\"\nLily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I "
    "didn't know what to do.\"\nLily didn't want to help her mom, so she";

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path model = stories_model();
    if (model.empty()) GTEST_SKIP() << no_stories_model;
    CommonOptions options;
    options.model = model.string();
    options.precision = "exact";
    options.quiet = true;
    session_.emplace(options);
  }

  std::optional<Session> session_;
};

TEST_F(Stories, TheFirstLogitsAreLlama2cs) {
  KvCache cache = session_->new_cache();
  const TokenId bos = session_->model().tokenizer->special().bos.value();
  EXPECT_EQ(bos, 1);
  const Segment segment{.sequence = 0, .ids = {&bos, 1}, .types = {}, .cache = &cache};
  std::vector<float> logits;
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> rows) { logits.assign(rows.data(), rows.data() + rows.size()); };
  session_->run_segments({&segment, 1}, {}, sinks);
  ASSERT_EQ(logits.size(), 512u);
  EXPECT_NEAR(logits[0], -6.222911, 2e-5);
  EXPECT_NEAR(logits[1], 8.404342, 2e-5);
}

TEST_F(Stories, TwoHundredGreedyTokensAreThePublishedText) {
  const TapPlan taps;
  const SamplerChain samplers;
  const DecodeValues values;
  const Tokenizer& tokenizer = *session_->model().tokenizer;
  std::vector<TokenId> ids = ids_of(tokenizer.encode("", {}));
  ASSERT_EQ(ids, std::vector<TokenId>{1});
  const ForwardContext context{session_->model(), session_->ops(), session_->kernel(), session_->workspace(), session_->run(), taps};
  const std::vector<TokenId> prompt = ids;
  const SearchProblem problem{.context = context, .kv_format = session_->kv_format(), .prompt = prompt, .max_tokens = 200, .samplers = samplers, .values = values};
  const GeneratedText text = search_named("greedy").run(problem).front();
  for (const GeneratedToken& token : text.tokens) ids.push_back(token.id);
  EXPECT_EQ(text.tokens.size(), 200u);
  EXPECT_EQ(tokenizer.decode(std::span(ids).subspan(1)), published);
  // Encoding the text finds the same tokens again.
  EXPECT_EQ(ids_of(tokenizer.encode(published, {})), ids);
}

}  // namespace
}  // namespace vitrine
