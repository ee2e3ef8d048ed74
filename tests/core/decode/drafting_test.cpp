// Texts that are made by drafts are those that are made without, and rows that share a pass are those that come alone.
#include "core/decode/drafting.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/error.h"
#include "core/decode/scores.h"
#include "core/decode/token_by_token.h"
#include "tests/core/decode/grammar/plain_tokenizer.h"
#include "tests/core/decode/search_runner.h"

namespace vitrine {
namespace {

std::vector<TokenId> random_ids(std::size_t count, std::size_t vocabulary, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> ids(count);
  for (TokenId& id : ids) id = static_cast<TokenId>(std::uniform_int_distribution<std::size_t>(0, vocabulary - 1)(random));
  return ids;
}

/// Logits of ids behind `before`, `at_once` tokens a pass.
std::vector<float> logits_of(ModelOnTest& on, std::span<const TokenId> before, std::span<const TokenId> ids, std::size_t at_once) {
  KvCache cache(on.model.spec, on.format);
  std::vector<float> logits;
  const ForwardSinks sinks{.logit_rows = LogitRows::all, .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> values) {
                             for (std::size_t r = 0; r < rows.size(); ++r) logits.insert(logits.end(), &values(r, 0), &values(r, 0) + values.extent(1));
                           }};
  const Segment prompt{.ids = before, .cache = &cache};
  forward(on.context(), {&prompt, 1}, {});
  for (std::size_t begin = 0; begin < ids.size(); begin += at_once) {
    const Segment segment{.ids = ids.subspan(begin, std::min(at_once, ids.size() - begin)), .cache = &cache};
    forward(on.context(), {&segment, 1}, sinks);
  }
  return logits;
}

TEST(Drafts, TokensThatShareAPassComeOutAsEachAlone) {
  for (const char* path : {"llama/model.gguf", "gpt2/model", "decoders/gemma3/model.gguf", "decoders/mixtral/model.gguf", "decoders/bloom/model", "decoders/mistral/model.gguf"}) {
    for (const Precision precision : {Precision::exact, Precision::fast}) {
      for (const KvFormat format : {KvFormat(DType::f32), KvFormat(DType::f16), KvFormat(DType::q8_0), KvFormat(DType::q4_1)}) {
        if (precision == Precision::exact && format.type != DType::f32) continue;
        SCOPED_TRACE(std::string(path) + " " + std::string(precision_name(precision)) + " " + kv_format_name(format));
        ModelOnTest on(golden_folder() / path, precision, format);
        const std::vector<TokenId> ids = random_ids(40, on.model.spec.vocabulary, 5), before(ids.begin(), ids.begin() + 13), behind(ids.begin() + 13, ids.end());
        const std::vector<float> alone = logits_of(on, before, behind, 1);
        for (const std::size_t at_once : {2u, 3u, 5u, 8u}) EXPECT_EQ(logits_of(on, before, behind, at_once), alone) << at_once;
        if (precision == Precision::fast) continue;
        EXPECT_EQ(logits_of(on, before, behind, 27), alone);
      }
    }
  }
}

/// Prompts of which some repeat themselves, so that something is looked up.
std::vector<TokenId> prompt_of(std::size_t vocabulary, std::uint32_t seed) {
  std::vector<TokenId> ids = random_ids(3 + seed % 5, vocabulary, seed);
  if (seed % 2 == 0) ids.insert(ids.end(), ids.begin(), ids.end());
  return ids;
}

TEST(Drafts, MakeTheTextThatPlainSearchMakes) {
  std::size_t kept = 0, drafted = 0;
  for (const char* path : {"llama/model.gguf", "gpt2/model", "decoders/qwen3/model.gguf"}) {
    for (const Precision precision : {Precision::exact, Precision::fast}) {
      const KvFormat format = precision == Precision::exact ? DType::f32 : DType::f16;
      ModelOnTest on(golden_folder() / path, precision, format), same(golden_folder() / path, precision, format);
      for (std::uint32_t seed = 0; seed < 12; ++seed) {
        Asked asked{.search = "greedy", .prompt = prompt_of(on.model.spec.vocabulary, seed), .max_tokens = 30, .settings = {{"draft-tokens", {std::to_string(1 + seed % 12)}}}};
        SCOPED_TRACE(std::string(path) + " " + std::string(precision_name(precision)) + " " + std::to_string(seed));
        const std::vector<TokenId> plain = ids_of(run_search(on, asked).front());
        if (seed % 3 == 0 && plain.size() > 5) asked.ends = {plain[5]};
        const GeneratedText greedy = run_search(on, asked).front();
        for (const char* search : {"prompt_lookup", "speculative"}) {
          asked.search = search;
          const GeneratedText text = run_search(on, asked, &same).front();
          EXPECT_EQ(ids_of(text), ids_of(greedy)) << search;
          EXPECT_EQ(text.ended, greedy.ended);
          for (std::size_t i = 0; i < std::min(text.tokens.size(), greedy.tokens.size()); ++i) EXPECT_EQ(text.tokens[i].log_probability, greedy.tokens[i].log_probability);
          if (text.drafts) kept += text.drafts->kept, drafted += text.drafts->drafted;
        }
      }
    }
  }
  EXPECT_GT(kept, 0u);
  EXPECT_GT(drafted, kept) << "every draft was kept: nothing was refused";
}

TEST(Drafts, LookedUpMakeTheTextThatSamplingDraws) {
  ModelOnTest on(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Asked asked{.search = "sample", .prompt = prompt_of(on.model.spec.vocabulary, 8), .max_tokens = 25, .texts = 2, .settings = {{"temperature", {"0.5"}}, {"top-p", {"0.9"}}},
                .draws_tokens = true, .draws = {.seed = seed}};
    const std::vector<GeneratedText> plain = run_search(on, asked);
    asked.search = "prompt_lookup";
    const std::vector<GeneratedText> looked_up = run_search(on, asked);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(ids_of(looked_up[i]), ids_of(plain[i])) << seed;
  }
}

/// Probability of each pair of tokens behind the prompt, by the model alone.
std::map<std::vector<TokenId>, double> pairs_of(ModelOnTest& on, const std::vector<TokenId>& prompt) {
  const auto shares = [&](const std::vector<TokenId>& text) {
    const std::span<const TokenId> before(text.data(), text.size() - 1), last(&text.back(), 1);
    std::vector<float> logits = logits_of(on, before, last, 1);
    const float top = highest(logits);
    const double total = sum_of_weights(logits, top);
    std::vector<double> shares(logits.size());
    for (std::size_t v = 0; v < logits.size(); ++v) shares[v] = std::exp(static_cast<double>(logits[v]) - top) / total;
    return shares;
  };
  std::map<std::vector<TokenId>, double> pairs;
  const std::vector<double> first = shares(prompt);
  for (std::size_t a = 0; a < first.size(); ++a) {
    std::vector<TokenId> text = prompt;
    text.push_back(static_cast<TokenId>(a));
    const std::vector<double> second = shares(text);
    for (std::size_t b = 0; b < second.size(); ++b) pairs[{static_cast<TokenId>(a), static_cast<TokenId>(b)}] = first[a] * second[b];
  }
  return pairs;
}

/// Texts of three tokens, whose second and third are drafted by another model: their pairs are as often as the model's probabilities say.
TEST(Drafts, ThatAreDrawnLeaveTheModelsDistribution) {
  ModelOnTest on(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32), other(golden_folder() / "llama_tied/model.gguf", Precision::exact, DType::f32);
  ASSERT_EQ(on.model.spec.vocabulary, other.model.spec.vocabulary);
  constexpr std::size_t runs = 12000;
  Asked asked{.search = "speculative", .prompt = {3, 17, 42}, .max_tokens = 3, .texts = runs, .settings = {{"draft-confidence", {"0"}}}, .draws_tokens = true, .draws = {.seed = 9}};
  const std::vector<GeneratedText> texts = run_search(on, asked, &other);
  // Given the first token, which no draft touches, chi square over the second ones, rare ones together.
  std::map<TokenId, std::map<TokenId, std::size_t>> seconds;
  std::size_t kept = 0, drafted = 0;
  for (const GeneratedText& text : texts) {
    ++seconds[text.tokens[0].id][text.tokens[1].id];
    kept += text.drafts->kept, drafted += text.drafts->drafted;
  }
  EXPECT_GT(kept, runs / 50);
  EXPECT_LT(kept, drafted);
  const std::map<std::vector<TokenId>, double> pairs = pairs_of(on, asked.prompt);
  double square = 0.0, freedom = -1.0, rare_expected = 0.0, rare = 0.0;
  for (const auto& [pair, probability] : pairs) {
    const double expected = probability * static_cast<double>(runs);
    const double count = static_cast<double>(seconds[pair[0]][pair[1]]);
    if (expected < 8.0) {
      rare_expected += expected, rare += count;
      continue;
    }
    square += (count - expected) * (count - expected) / expected;
    freedom += 1.0;
  }
  if (rare_expected > 8.0) square += (rare - rare_expected) * (rare - rare_expected) / rare_expected, freedom += 1.0;
  ASSERT_GT(freedom, 20.0);
  EXPECT_LT(square, freedom + 4.5 * std::sqrt(2.0 * freedom)) << freedom << " degrees of freedom";
}

TEST(Drafts, SayWhatCannotBe) {
  ModelOnTest on(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32), other(golden_folder() / "gpt2/model", Precision::exact, DType::f32);
  const Asked asked{.search = "speculative", .prompt = {3, 17, 42}};
  EXPECT_THROW(run_search(on, asked), Error);
  EXPECT_THROW(run_search(on, asked, &other), Error);
}

/// Every text of every search, beams among them, follows the grammar to its end; drafts change nothing.
TEST(Searches, FollowAGrammar) {
  ModelOnTest on(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32), same(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32);
  std::vector<std::string> pieces{"<end>"};
  for (std::size_t id = 1; id < on.model.spec.vocabulary; ++id) pieces.emplace_back(1, static_cast<char>('0' + id));
  const PlainTokenizer tokenizer(pieces);
  const Grammar grammar = Grammar::parse("root ::= ( \"A\" [B-F] | \"G\" [2-6] ){2,4} \"Z\"");
  const GrammarMatcher matcher(grammar, tokenizer);
  std::vector<TokenId> greedy;
  for (const char* name : {"greedy", "prompt_lookup", "speculative", "beam", "diverse_beam", "constrained_beam", "contrastive", "guided", "dola"}) {
    Asked asked{.search = name, .prompt = {3, 17, 42, 17}, .ends = {0}, .max_tokens = 20, .grammar = &matcher};
    if (asked.search.ends_with("beam")) asked.texts = 3;
    if (asked.search == "constrained_beam") asked.settings["force-ids"] = {std::to_string('C' - '0')};
    for (const GeneratedText& text : run_search(on, asked, &same)) {
      const std::vector<TokenId> ids = ids_of(text);
      EXPECT_TRUE(check_text(grammar, tokenizer.decode(ids)).accepted) << name << ": " << tokenizer.decode(ids);
      if (asked.search == "greedy") greedy = ids;
      const bool drafts = asked.search == "prompt_lookup" || asked.search == "speculative";
      EXPECT_TRUE(!drafts || ids == greedy) << name;
    }
  }
}

/// A grammar that nests as deep as the model likes: at whatever limit, what is made is whole, also where tokens are drawn.
TEST(Searches, EndAGrammarWithinTheLimit) {
  ModelOnTest on(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32), same(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32);
  std::vector<std::string> pieces{"<end>"};
  for (std::size_t id = 1; id < on.model.spec.vocabulary; ++id) pieces.emplace_back(1, static_cast<char>('0' + id));
  const PlainTokenizer tokenizer(pieces);
  const Grammar grammar = Grammar::parse("root ::= \"A\" inside* \"Z\"\ninside ::= [B-M] | \"N\" inside inside? \"PQ\" | \"R\" [0-9]{3,9} \"S\"");
  const GrammarMatcher matcher(grammar, tokenizer);
  for (const char* name : {"greedy", "sample", "prompt_lookup", "speculative", "beam", "contrastive", "guided", "dola"}) {
    for (const std::size_t limit : {2, 3, 5, 6, 7, 11, 24}) {
      SCOPED_TRACE(std::string(name) + " " + std::to_string(limit));
      Asked asked{.search = name, .prompt = {3, 17, 42, 17}, .ends = {0}, .max_tokens = limit, .texts = 1, .grammar = &matcher};
      if (asked.search == "sample" || asked.search == "beam") asked.texts = 3;
      asked.draws_tokens = asked.search == "sample";
      asked.draws = {.seed = limit};
      for (const GeneratedText& text : run_search(on, asked, &same)) {
        EXPECT_TRUE(check_text(grammar, tokenizer.decode(ids_of(text))).accepted) << tokenizer.decode(ids_of(text));
      }
    }
  }
}

TEST(Searches, GoAsFarAsTheContextAndNoFurther) {
  ModelOnTest on(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32), same(golden_folder() / "llama/model.gguf", Precision::exact, DType::f32);
  const std::size_t context = on.model.spec.context;
  for (const Search* search : all_searches()) {
    SCOPED_TRACE(search->name);
    Asked asked{.search = std::string(search->name), .prompt = random_ids(context - 4, on.model.spec.vocabulary, 1), .max_tokens = 20};
    if (search->name == "constrained_beam") asked.settings["force-ids"] = {"5"};
    const std::size_t most = search->name == "contrastive" ? 4 : 5;
    EXPECT_EQ(run_search(on, asked, &same).front().tokens.size(), most);
    asked.prompt = random_ids(context, on.model.spec.vocabulary, 1);
    if (search->name == "contrastive") {
      EXPECT_THROW(run_search(on, asked, &same), Error);
    } else {
      EXPECT_EQ(run_search(on, asked, &same).front().tokens.size(), 1u);
    }
    asked.prompt.push_back(1);
    EXPECT_THROW(run_search(on, asked, &same), Error);
    asked.prompt = {1, 2};
    asked.max_tokens = 0;
    if (search->name == "constrained_beam") {
      EXPECT_THROW(run_search(on, asked, &same), Error);
    } else {
      EXPECT_TRUE(run_search(on, asked, &same).front().tokens.empty());
    }
  }
}

}  // namespace
}  // namespace vitrine
