// Numbers that transformers' and llama.cpp's own tests publish (tests/generation/test_logits_process.py, tests/test-sampling.cpp).
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/decode/samplers_test_support.h"

namespace vitrine {
namespace {

using Numbers = std::vector<double>;
using Words = std::vector<std::string>;

void expect_after(const Words& words, const Numbers& before, const Numbers& expected, const Step& step = {}) {
  const Numbers seen = after(words, before, step);
  ASSERT_EQ(seen.size(), expected.size());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_NEAR(seen[i], expected[i], 1e-5) << words.front() << ", token " << i;
    EXPECT_EQ(seen[i] == 0.0, expected[i] == 0.0) << words.front() << ", token " << i;
  }
}

/// Which tokens stay.
void expect_kept(const Words& words, const Numbers& before, const Numbers& kept) {
  Numbers expected = kept;
  double sum = 0.0;
  for (const double p : kept) sum += p;
  for (double& p : expected) p /= sum;
  expect_after(words, before, expected);
}

TEST(PublishedVectors, OfTruncation) {
  const Numbers ramp{0.1, 0.2, 0.3, 0.4};
  expect_after({"top-k=1"}, ramp, {0, 0, 0, 1});
  expect_after({"top-k=3"}, ramp, {0, 0.22222, 0.33333, 0.44444});
  expect_after({"top-k=4"}, ramp, ramp);
  expect_after({"top-k=0"}, ramp, ramp);
  expect_after({"top-p=0.7"}, ramp, {0, 0, 0.428571, 0.571429});
  expect_after({"top-p=1"}, ramp, ramp);
  expect_kept({"top-p=0.8"}, {0.3, 0.1, 0.1, 0.5}, {0.3, 0, 0, 0.5});
  expect_kept({"top-p=0.8"}, {0.15, 0.3, 0.3, 0.25}, {0, 0.3, 0.3, 0.25});
  expect_kept({"min-p=0"}, ramp, ramp);
  expect_kept({"min-p=0.24"}, ramp, ramp);
  expect_kept({"min-p=0.26"}, ramp, {0, 0.2, 0.3, 0.4});
  expect_kept({"min-p=0.49"}, ramp, {0, 0.2, 0.3, 0.4});
  expect_kept({"min-p=0.51"}, ramp, {0, 0, 0.3, 0.4});
  expect_kept({"min-p=0.74"}, ramp, {0, 0, 0.3, 0.4});
  expect_kept({"min-p=0.76"}, ramp, {0, 0, 0, 0.4});
  expect_kept({"min-p=1"}, ramp, {0, 0, 0, 0.4});
  expect_kept({"min-p=0.05"}, {0.9, 0.0274, 0.047, 0.0274}, {0.9, 0, 0.047, 0});
  expect_kept({"top-n-sigma=1"}, ramp, {0, 0, 0.428571, 0.571429});
  expect_kept({"top-n-sigma=0"}, ramp, ramp);
  expect_kept({"top-n-sigma=3"}, ramp, ramp);
  expect_after({"p-less"}, {0.1, 0.15, 0.2, 0.25, 0.3}, {0, 0, 0, 0.45454545, 0.54545455});
}

TEST(PublishedVectors, OfEntropyAndSurprise) {
  expect_kept({"typical-p=0.5"}, {0.97, 0.01, 0.01, 0.01}, {0.97, 0, 0, 0});
  expect_kept({"typical-p=0.5"}, {0.4, 0.2, 0.2, 0.2}, {0, 0.2, 0.2, 0.2});
  expect_kept({"epsilon-cutoff=0.1"}, {0.87, 0.099, 0.001, 0.03}, {0.87, 0, 0, 0});
  expect_kept({"epsilon-cutoff=0.1"}, {0.4, 0.299, 0.101, 0.2}, {0.4, 0.299, 0.101, 0.2});
  expect_kept({"eta-cutoff=0.0625"}, {0.01, 0.04, 0.9, 0.05}, {0, 0, 0.9, 0});
  expect_kept({"eta-cutoff=0.0625"}, {0.0, 0.1, 0.8, 0.1}, {0, 0.1, 0.8, 0.1});
  expect_kept({"top-h=0.3"}, {0.97, 0.01, 0.01, 0.01}, {0.97, 0, 0, 0});
  expect_kept({"top-h=0.7"}, {0.4, 0.3, 0.2, 0.1}, {0.4, 0.3, 0, 0});
  expect_kept({"top-h=1"}, {0.25, 0.25, 0.25, 0.25}, {0.25, 0.25, 0.25, 0.25});
  expect_kept({"top-h=0.4"}, {0.75, 0.25, 0.0, 0.0}, {0.75, 0, 0, 0});
}

TEST(PublishedVectors, OfTemperature) {
  const Numbers ramp{0.1, 0.2, 0.3, 0.4};
  expect_after({"temperature=1"}, ramp, ramp);
  expect_after({"temperature=1", "temperature-range=0"}, ramp, ramp);
}

TEST(PublishedVectors, OfXtc) {
  const Numbers stairs{0.4, 0.3, 0.2, 0.1};
  expect_kept({"xtc-probability=0.99", "xtc-threshold=0.09"}, stairs, {0, 0, 0, 0.1});
  expect_kept({"xtc-probability=0.99", "xtc-threshold=0.19"}, stairs, {0, 0, 0.2, 0.1});
  expect_kept({"xtc-probability=0.99", "xtc-threshold=0.29"}, stairs, {0, 0.3, 0.2, 0.1});
  expect_kept({"xtc-probability=0.99", "xtc-threshold=0.39"}, stairs, stairs);
}

TEST(PublishedVectors, OfPenalties) {
  const Numbers flat(5, 0.2);
  const Step one{.made = {0}}, three{.made = {0, 1, 2}}, five{.made = {0, 1, 2, 0, 0}};
  const Words both{"frequency-penalty=5", "presence-penalty=5"};
  expect_after(both, flat, {0.000011, 0.249997, 0.249997, 0.249997, 0.249997}, one);
  expect_after(both, flat, {0.000023, 0.000023, 0.000023, 0.499966, 0.499966}, three);
  EXPECT_NEAR(after(both, flat, five)[0], 0.0, 1e-6);
  EXPECT_NEAR(after(both, flat, five)[1], 0.000023, 1e-6);
  EXPECT_NEAR(after(both, flat, five)[4], 0.499977, 1e-6);
  for (const Step* step : {&three, &five}) {
    const Numbers seen = after({"repetition-penalty=50"}, flat, *step);
    for (const std::size_t said : {0u, 1u, 2u}) EXPECT_NEAR(seen[said], 0.0, 1e-5);
    EXPECT_NEAR(seen[3], 0.5, 1e-5);
  }
  // transformers: below 0 is multiplied, above divided; the encoder's is the inverse.
  std::vector<float> scores(10, 0.1f);
  scores[0] = -0.1f;
  scores[5] = 0.4f;
  const std::vector<float> repeated = scores_after({"repetition-penalty=2"}, scores, {.prompt = {0, 1, 5}});
  EXPECT_FLOAT_EQ(repeated[0], -0.2f);
  EXPECT_FLOAT_EQ(repeated[1], 0.05f);
  EXPECT_FLOAT_EQ(repeated[5], 0.2f);
  EXPECT_FLOAT_EQ(repeated[2], 0.1f);
  const std::vector<float> encouraged = scores_after({"encoder-repetition-penalty=2"}, scores, {.prompt = {9}, .source = {0, 1, 5}});
  EXPECT_FLOAT_EQ(encouraged[0], -0.05f);
  EXPECT_FLOAT_EQ(encouraged[1], 0.2f);
  EXPECT_FLOAT_EQ(encouraged[5], 0.8f);
  EXPECT_FLOAT_EQ(encouraged[9], 0.1f);
}

TEST(PublishedVectors, OfDry) {
  const Numbers four(4, 0.25), five(5, 0.2);
  expect_after({"dry-multiplier=1", "dry-base=1.1", "dry-window=4"}, four, four, {.prompt = {0, 1}});
  expect_after({"dry-multiplier=1", "dry-base=1.1", "dry-window=5"}, four, {0.296923, 0.296923, 0.109232, 0.296923}, {.prompt = {0, 1, 2}, .made = {0, 1}});
  expect_after({"dry-multiplier=1", "dry-base=1.1", "dry-window=6", "dry-breaker=d"}, five, five, {.prompt = {0, 1, 3, 4, 0, 1}});
  expect_after({"dry-multiplier=2", "dry-base=1.1", "dry-window=5"}, five, {0.241818, 0.241818, 0.032727, 0.241818, 0.241818}, {.made = {0, 1, 2, 0, 1}});
  expect_after({"dry-multiplier=1", "dry-base=1.1", "dry-allowed-length=4", "dry-window=7"}, five, five, {.prompt = {0, 1, 2, 3, 4, 0, 1}});
}

std::vector<TokenId> forbidden(const Words& words, const Step& step, std::size_t vocabulary = 10) {
  const std::vector<float> scores = scores_after(words, std::vector<float>(vocabulary, 1.0f), step);
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < vocabulary; ++i) {
    if (scores[i] == never_chosen) ids.push_back(static_cast<TokenId>(i));
  }
  return ids;
}
using Ids = std::vector<TokenId>;

TEST(PublishedVectors, OfForbiddenRuns) {
  EXPECT_EQ(forbidden({"no-repeat-ngram=2"}, {.prompt = {1, 1}, .made = {2, 1}}), (Ids{1, 2}));
  EXPECT_EQ(forbidden({"no-repeat-ngram=3"}, {.prompt = {1, 1, 2, 1}}), (Ids{}));
  EXPECT_EQ(forbidden({"no-repeat-ngram=2"}, {.made = {0, 1, 0, 1}}), (Ids{0}));
  EXPECT_EQ(forbidden({"no-repeat-ngram=3"}, {.prompt = {0, 1, 0, 1}}), (Ids{0}));
  EXPECT_EQ(forbidden({"no-repeat-ngram=3"}, {.prompt = {1, 2, 5, 7, 8, 5, 1, 2}}), (Ids{5}));
  EXPECT_EQ(forbidden({"encoder-no-repeat-ngram=2"}, {.prompt = {8, 1}, .source = {1, 2, 1, 1}}), (Ids{1, 2}));
  EXPECT_EQ(forbidden({"encoder-no-repeat-ngram=1"}, {.prompt = {8}, .source = {3, 4}}), (Ids{3, 4}));
  const Words bad{"bad-ids=1", "bad-ids=4", "bad-ids=1,0", "bad-ids=0,1,2", "bad-ids=1,3,1,3"};
  EXPECT_EQ(forbidden(bad, {.prompt = {0, 1, 3, 1}}), (Ids{0, 1, 3, 4}));
  EXPECT_EQ(forbidden(bad, {.prompt = {0, 1, 0, 1}}), (Ids{0, 1, 2, 4}));
  EXPECT_EQ(forbidden({"bad-words=abc"}, {.prompt = {0, 1}}, 28), (Ids{2}));
  EXPECT_EQ(forbidden({"min-tokens=3"}, {.prompt = {5, 5, 5}, .made = {1, 2}, .ends = {0, 8}}), (Ids{0, 8}));
  EXPECT_EQ(forbidden({"min-tokens=3"}, {.prompt = {5, 5, 5}, .made = {1, 2, 3}, .ends = {0, 8}}), (Ids{}));
  EXPECT_EQ(forbidden({"suppress-tokens=2,3", "suppress-first=5"}, {.prompt = {1}}), (Ids{2, 3, 5}));
  EXPECT_EQ(forbidden({"suppress-tokens=2,3", "suppress-first=5"}, {.prompt = {1}, .made = {1}}), (Ids{2, 3}));
  EXPECT_EQ(forbidden({"forced-first=2", "suppress-first=2"}, {.prompt = {1}, .max_tokens = 4}), (Ids{0, 1, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(forbidden({"forced-last=2"}, {.prompt = {1}, .made = {5, 5, 5}, .max_tokens = 4}), (Ids{0, 1, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(forbidden({"forced-last=2"}, {.prompt = {1}, .made = {5, 5}, .max_tokens = 4}), (Ids{}));
}

/// transformers' test_bias_dist_processor: biases of tokens and of runs are added up where they meet.
TEST(PublishedVectors, OfBiasedRuns) {
  const Words biases{"logit-bias=1=100", "logit-bias=4=100", "logit-bias=ba=-100", "logit-bias=abc=-100", "logit-bias=bdbd=-100"};
  const std::vector<float> zeros(5, 0.0f);
  EXPECT_EQ(scores_after(biases, zeros, {.prompt = {0, 1, 3, 1}}), (std::vector<float>{-100, 100, 0, -100, 100}));
  EXPECT_EQ(scores_after(biases, zeros, {.prompt = {0, 1, 0, 1}}), (std::vector<float>{-100, 100, -100, 0, 100}));
}

TEST(PublishedVectors, OfLengthDecay) {
  const Words words{"length-decay=1.1", "length-decay-start=5"};
  std::vector<float> scores(20, 0.05f);
  EXPECT_FLOAT_EQ(scores_after(words, scores, {.made = {1, 1}, .ends = {0}})[0], 0.05f);
  const std::vector<TokenId> made(20, 1);
  EXPECT_FLOAT_EQ(scores_after(words, scores, {.made = made, .ends = {0}})[0], 0.05f * static_cast<float>(std::pow(1.1, 15)));
  scores[0] = -10.0f;
  EXPECT_GT(scores_after(words, scores, {.made = made, .ends = {0}})[0], -10.0f);
}

}  // namespace
}  // namespace vitrine
