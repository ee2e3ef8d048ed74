#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "probes/head_maps.h"
#include "probes/head_score.h"
#include "tests/probes/recorded_run.h"

// Scores of heads from stored rows and single cells against their definitions over whole maps, and what is said of maps in 8 bits.

namespace vitrine {
namespace {

using Rows = std::vector<std::vector<std::optional<double>>>;  // [head of all modules][score]

/// The definitions: every row of every map.
Rows scores_of_maps(const Recording& recording) {
  Rows rows;
  for (const Recording::Module& module : recording.modules()) {
    for (std::size_t h = 0; h < module.heads; ++h) {
      std::vector<HeadScoreSum> sums(all_head_scores().size());
      const bool within = module.queries == module.keys;
      for (std::size_t s = 0; s < recording.sequences(); ++s) {
        const auto head = recording.head(module, h, s);
        const std::vector<std::int32_t> ids = within ? recording.token_ids(s, module.queries) : std::vector<std::int32_t>();
        std::map<std::int32_t, std::size_t> latest;
        std::vector<std::optional<std::size_t>> earlier(ids.size());
        for (std::size_t i = 0; i < ids.size(); latest[ids[i]] = i, ++i) {
          if (latest.contains(ids[i])) earlier[i] = latest[ids[i]];
        }
        const std::size_t queries = head->factors.q.extent(0), keys = head->factors.k.extent(0);
        std::vector<float> map(queries * keys);
        pattern_tile(head->factors, 0, 0, {map.data(), {queries, keys}});
        for (std::size_t k = 0; k < sums.size(); ++k) {
          if (within || !all_head_scores()[k]->within_text) add_rows(*all_head_scores()[k], {0, {map.data(), {queries, keys}}, ids, earlier}, sums[k]);
        }
      }
      std::vector<std::optional<double>>& row = rows.emplace_back();
      for (const HeadScoreSum& sum : sums) row.push_back(sum.count > 0.0 ? std::optional(sum.total / sum.count) : std::nullopt);
    }
  }
  return rows;
}

struct Case {
  const char *model, *kernel;
};

class HeadTable : public testing::TestWithParam<Case> {};

TEST_P(HeadTable, HoldsWhatTheDefinitionsSayOfTheMaps) {
  TinyModel tiny(GetParam().model);
  tiny.kernel = choose_attention_kernel(GetParam().kernel);
  std::vector<std::vector<TokenId>> texts = two_texts;
  for (auto& ids : texts) {
    for (TokenId& id : ids) id %= static_cast<TokenId>(tiny.model.spec.vocabulary);
  }
  if (!tiny.model.spec.encoder.empty()) tiny.sources = {{5, 6, 7, 5, 2}, {9, 1, 9, 2}};
  const ScratchFile file("head_table");
  RecorderOptions options = options_for(tiny, file.path);
  for (const auto& ids : texts) options.longest_sequence = std::max(options.longest_sequence, ids.size());
  record(tiny, texts, options)->finish();
  const auto recording = Recording::open(file.path);
  vitrine::Run progress;
  const std::vector<HeadRow> table = head_table(*recording, tiny.pool, progress);
  const Rows expected = scores_of_maps(*recording);
  ASSERT_EQ(table.size(), expected.size());
  for (std::size_t h = 0; h < table.size(); ++h) {
    for (std::size_t s = 0; s < expected[h].size(); ++s) {
      ASSERT_EQ(table[h].scores[s].has_value(), expected[h][s].has_value()) << table[h].module << " " << all_head_scores()[s]->name;
      EXPECT_NEAR(table[h].scores[s].value_or(0.0), expected[h][s].value_or(0.0), 2e-5) << table[h].module << " H" << table[h].head << " " << all_head_scores()[s]->name;
    }
  }
  EXPECT_FALSE(note_on_maps(*recording, tiny.pool));
}

INSTANTIATE_TEST_SUITE_P(ModelsAndKernels, HeadTable,
                         testing::Values(Case{"llama", "auto"}, Case{"gpt2", "auto"}, Case{"bert", "auto"}, Case{"decoders/bloom", "auto"},
                                         Case{"encoders/xlnet", "auto"}, Case{"encoder_decoders/t5", "auto"}, Case{"llama", "top_k:k=3"}, Case{"llama", "flash_bf16"},
                                         Case{"llama", "sliding_window:window=4"}, Case{"llama", "performer:features=32"},
                                         Case{"bert", "block_sparse:pattern=bigbird,block=2,window=1,global=1,random=1"}));

TEST(HeadsOfCodes, SaysThatMapsInEightBitsAreNotExact) {
  TinyModel tiny("decoders/llama_yarn");
  const ScratchFile file("head_table_codes"), exact_file("head_table_exact");
  RecorderOptions options = options_for(tiny, file.path);
  options.store = StoreType::int8;
  const std::vector<std::vector<TokenId>> texts{{3, 17, 42, 5, 5, 17, 9, 17, 42, 30}, {9, 9, 1, 22, 9}};
  record(tiny, texts, options)->finish();
  options.store = StoreType::automatic;
  options.path = exact_file.path;
  record(tiny, texts, options)->finish();
  const auto codes = Recording::open(file.path), exact = Recording::open(exact_file.path);
  ASSERT_TRUE(codes->modules()[0].codes);
  const std::optional<std::string> note = note_on_maps(*codes, tiny.pool);
  ASSERT_TRUE(note);
  EXPECT_NE(note->find("8 bits"), std::string::npos) << *note;
  vitrine::Run progress;
  const std::vector<HeadRow> rough = head_table(*codes, tiny.pool, progress), fine = head_table(*exact, tiny.pool, progress);
  for (std::size_t h = 0; h < fine.size(); ++h) {
    for (std::size_t s = 0; s < all_head_scores().size(); ++s) {
      const HeadScore& score = *all_head_scores()[s];
      EXPECT_TRUE(score.row_statistic.empty() || rough[h].scores[s] == fine[h].scores[s]) << score.name;
    }
  }
}

}  // namespace
}  // namespace vitrine
