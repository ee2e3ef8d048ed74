#include "experiments/texts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/error.h"
#include "experiments/continuation.h"
#include "experiments/data/text_lists.h"
#include "experiments/embedding.h"
#include "experiments/scoring.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

using Texts = std::vector<std::string>;

TEST(Texts, AreTheLinesOfAFile) {
  EXPECT_EQ(lines_of(""), Texts{});
  EXPECT_EQ(lines_of("\n"), Texts{""});
  EXPECT_EQ(lines_of("a\n\nb"), (Texts{"a", "", "b"}));
  EXPECT_EQ(lines_of("\xef\xbb\xbfone\r\n\r\ntwo\r\n"), (Texts{"one", "", "two"}));
  EXPECT_EQ(lines_of("a\rb\r"), Texts{"a\rb\r"});  // a carriage return alone ends no line
}

TEST(Texts, AreAFieldOfJsonLines) {
  EXPECT_EQ(jsonl_texts("{\"t\": \"a\"}\r\n \n{\"u\": 1, \"t\": \"\"}", "t", "f"), (Texts{"a", ""}));
  EXPECT_EQ(jsonl_texts("\xef\xbb\xbf{\"t\": \"a\\n\"}\n", "t", "f"), Texts{"a\n"});
}

TEST(Texts, AreAColumnOfCsv) {
  EXPECT_EQ(csv_texts("\xef\xbb\xbfi,t\r\n0,\"a, \"\"b\"\"\nc\"\r\n1,\r\n", "t", "f"), (Texts{"a, \"b\"\nc", ""}));
  EXPECT_EQ(csv_texts("t\na\n\"\"\n\nb\n", "t", "f"), (Texts{"a", "", "b"}));  // a blank line is no row, an empty field is one
}

std::string complaint(const std::string& content, bool csv = false) {
  try {
    csv ? csv_texts(content, "t", "f.csv") : jsonl_texts(content, "t", "f.jsonl");
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Texts, BrokenFilesAreOneLineWithTheirPlace) {
  EXPECT_EQ(complaint("{\"t\": \"a\"}\n\n{\"t\": 3}\n"), "f.jsonl, line 3, field 't': expected a string, found a number");
  EXPECT_EQ(complaint("{\"t\": null}"), "f.jsonl, line 1, field 't': expected a string, found null");
  EXPECT_EQ(complaint("[]"), "f.jsonl, line 1: expected a JSON object, found a list");
  EXPECT_EQ(complaint("{\"a\": 1, \"b\": 2}").find("f.jsonl, line 1: expected a field 't', found 'a', 'b'"), 0u);
  EXPECT_EQ(complaint("{\"t\": \"a\"}\n{\"t\":").find("f.jsonl, line 2: "), 0u);
  EXPECT_EQ(complaint("a,b\n1,2\n", true).find("f.csv: expected a column 't', found 'a', 'b'"), 0u);
  EXPECT_EQ(complaint("a,t\n1\n", true), "f.csv, line 2: expected 2 fields, found 1");
}

void expect_part(const std::vector<Token>& tokens, std::size_t border, const ContinuationTokens& expected) {
  const ContinuationTokens found = continuation_tokens(tokens, border);
  EXPECT_EQ(found.begin, expected.begin);
  EXPECT_EQ(found.end, expected.end);
  EXPECT_EQ(found.straddles, expected.straddles);
}

TEST(Continuation, BeginsAtTheFirstTokenWithAByteBehindTheBorder) {
  const std::vector<Token> tokens{{9, 0, 0}, {1, 0, 3}, {2, 3, 5}, {3, 5, 8}, {9, 8, 8}};  // BOS, three words, EOS
  expect_part(tokens, 3, {2, 4, false});
  expect_part(tokens, 5, {3, 4, false});
  expect_part(tokens, 4, {2, 4, true});
  expect_part(tokens, 0, {1, 4, false});
  expect_part(tokens, 8, {4, 4, false});  // nothing behind the border
  expect_part({}, 0, {0, 0, false});
  expect_part(std::vector<Token>{{9, 0, 0}}, 0, {0, 0, false});
  // Bytes of one character, of which only the last has a place, stay together.
  expect_part({{1, 0, 2}, {5, 2, 2}, {6, 2, 5}, {2, 5, 6}}, 2, {2, 4, false});
}

class ManyTexts : public testing::Test {
 protected:
  ManyTexts() {
    CommonOptions options;
    options.model = model.path();
    options.precision = "exact";
    options.quiet = true;
    session.emplace(options);
  }
  std::vector<std::vector<TokenId>> sequences(const Texts& texts) {
    std::vector<std::vector<TokenId>> ids;
    for (const std::string& text : texts) ids.push_back(ids_of(encode_text(*session->model().tokenizer, text, "auto").tokens));
    return ids;
  }
  TokenizingModel model;
  std::optional<Session> session;
};

TEST_F(ManyTexts, BatchesHoldAtMost512RowsOrOneText) {
  const auto of = [](std::initializer_list<std::size_t> sizes) {
    std::vector<std::vector<TokenId>> all;
    for (const std::size_t size : sizes) all.emplace_back(size);
    return batch_ends(all);
  };
  EXPECT_EQ(of({}), std::vector<std::size_t>{});
  EXPECT_EQ(of({0, 0}), std::vector<std::size_t>{2});
  EXPECT_EQ(of({500, 12, 1}), (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(of({600, 600, 0, 5}), (std::vector<std::size_t>{1, 2, 4}));
}

TEST_F(ManyTexts, ScoreAndEmbedAsEachAlone) {
  const auto ids = sequences({"abc ab", "", "ca", "a", "abcabc ab ab c"});
  const auto together = token_log_probabilities(*session, ids, "score");
  const auto vectors = sequence_embeddings(*session, ids, {Pooling::mean, true});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(together[i], token_log_probabilities(*session, {&ids[i], 1}, "score")[0]) << i;  // exact precision: to the last bit
    if (ids[i].empty()) {
      EXPECT_TRUE(vectors[i].empty());
    } else {
      EXPECT_EQ(vectors[i], sequence_embedding(*session, ids[i], Pooling::mean, true)) << i;
    }
  }
}

/// What texts have in common at their beginning is computed once: copies, one inside another, branches, over several batches.
TEST_F(ManyTexts, ThoseThatBeginAlikeScoreAsEachAlone) {
  std::mt19937 random(5);
  std::vector<std::vector<TokenId>> ids{{1}, {1}, {}, {1, 2}, {1, 2}, {2, 2, 2}, {2, 2}, {2, 2, 2, 2, 0}};
  while (ids.size() < 300) {  // of ten tokens: most branch off another early
    std::vector<TokenId> text(1 + random() % 40);
    for (TokenId& id : text) id = static_cast<TokenId>(random() % (random() % 3 ? 2 : 10));
    ids.push_back(text);
    if (random() % 8 == 0) ids.push_back(text);
  }
  const auto together = token_log_probabilities(*session, ids, "score");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(together[i], token_log_probabilities(*session, {&ids[i], 1}, "score")[0]) << i;
  }
}

TEST_F(ManyTexts, LikeliestTokensAreADistribution) {
  const auto ids = sequences({"abc ab", "ca"});
  const std::size_t vocabulary = session->model().spec.vocabulary;
  for (const std::size_t count : {std::size_t{3}, vocabulary}) {
    const auto scores = windowed_scores(*session, ids, {.window = 64, .stride = 32}, {.likeliest = count});
    for (std::size_t s = 0; s < ids.size(); ++s) {
      EXPECT_TRUE(scores[s][0].likeliest.empty());
      for (std::size_t i = 1; i < ids[s].size(); ++i) {
        const auto& top = scores[s][i].likeliest;
        ASSERT_EQ(top.size(), count);
        double sum = 0.0;
        for (std::size_t k = 0; k < count; ++k) {
          sum += std::exp(top[k].log_probability);
          EXPECT_LE(top[k].log_probability, top[k > 0 ? k - 1 : 0].log_probability);
          if (top[k].id != ids[s][i]) continue;
          EXPECT_NEAR(top[k].log_probability, scores[s][i].log_probability.value(), 1e-9);
        }
        EXPECT_LT(sum, 1.0 + 1e-6);
        EXPECT_EQ(sum > 1.0 - 1e-6, count == vocabulary);
      }
    }
  }
}

TEST_F(ManyTexts, WindowsOfSeveralTextsDoNotMix) {
  const auto ids = sequences({"abcabc ab ab c a b c", "ab", "c c c c c c c"});
  const Windows windows{.window = 4, .stride = 2};
  const auto together = windowed_scores(*session, ids, windows, {});
  for (std::size_t s = 0; s < ids.size(); ++s) {
    const auto alone = windowed_scores(*session, {&ids[s], 1}, windows, {});
    ASSERT_EQ(together[s].size(), ids[s].size());
    for (std::size_t i = 0; i < ids[s].size(); ++i) {
      EXPECT_EQ(together[s][i].log_probability, alone[0][i].log_probability);
      EXPECT_EQ(together[s][i].log_probability.has_value(), i > 0);
    }
  }
}

}  // namespace
}  // namespace vitrine
