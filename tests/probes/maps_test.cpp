#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "probes/recording.h"
#include "tests/probes/recorded_run.h"

// [pos, pos] points inside the forward pass: what is shown is what was applied, and what is written is what is applied.

namespace vitrine {
namespace {

const std::vector<std::vector<TokenId>> one_text{two_texts[0]};
const std::size_t length = one_text[0].size();

class Maps : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(Maps, PatternTimesValuesIsTheHeadsOutput) {
  TinyModel tiny(std::get<0>(GetParam()));
  tiny.kernel = choose_attention_kernel(std::get<1>(GetParam()));
  Keeper keeper;
  Observer* observers[] = {&keeper};
  tiny.run(one_text, observers);
  for (std::size_t block = 0; block < tiny.model.spec.blocks.size(); ++block) {
    const AttentionSpec& spec = tiny.model.spec.blocks[block].attention;
    const std::string prefix = "blocks." + std::to_string(block) + ".attn.hook_";
    const auto &pattern = keeper.seen.at(prefix + "pattern"), &v = keeper.seen.at(prefix + "v"), &z = keeper.seen.at(prefix + "z");
    ASSERT_EQ(pattern.size(), length * spec.heads * length);
    for (std::size_t i = 0; i < length; ++i) {
      for (std::size_t h = 0; h < spec.heads; ++h) {
        for (std::size_t d = 0; d < spec.head_dim; ++d) {
          double sum = 0.0;
          for (std::size_t j = 0; j < length; ++j) {
            sum += pattern[(i * spec.heads + h) * length + j] * v[(j * spec.kv_heads + h / (spec.heads / spec.kv_heads)) * spec.head_dim + d];
          }
          EXPECT_NEAR(sum, z[(i * spec.heads + h) * spec.head_dim + d], 1e-5);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Maps,
                         testing::Combine(testing::Values("llama", "gpt2", "bert"),
                                          testing::Values("auto", "top_k:k=2", "block_sparse:pattern=bigbird,block=2,window=1,global=1,random=1,dense_every=2")));

/// Makes head 1 of block 0 look at the first token alone, by its weights or by its scores.
class FirstTokenOnly : public Observer {
 public:
  explicit FirstTokenOnly(Site site) : site_(site) {}
  Access access(const ProbePoint& point) const override {
    return point.block == 0 && point.site == site_ ? Access::write : Access::none;
  }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t j = 0; j < values.extent(2); ++j) {
        values(r, 1, j) = site_ == Site::pattern ? (j == 0 ? 1.0f : 0.0f) : (j == 0 ? 3.0f : -INFINITY);
      }
    }
  }

 private:
  Site site_;
};

TEST(MapsWritten, ChangeTheirHeadAndNoOther) {
  for (const Site site : {Site::pattern, Site::attn_scores}) {
    TinyModel tiny("llama");
    Keeper before, after;
    Observer* first[] = {&before};
    tiny.run(one_text, first);
    FirstTokenOnly writer(site);
    Observer* second[] = {&writer, &after};
    tiny.run(one_text, second);
    const AttentionSpec& spec = tiny.model.spec.blocks[0].attention;
    const auto &z_before = before.seen.at("blocks.0.attn.hook_z"), &z = after.seen.at("blocks.0.attn.hook_z"), &v = after.seen.at("blocks.0.attn.hook_v");
    for (std::size_t i = 0; i < length; ++i) {
      for (std::size_t h = 0; h < spec.heads; ++h) {
        for (std::size_t d = 0; d < spec.head_dim; ++d) {
          const std::size_t at = (i * spec.heads + h) * spec.head_dim + d;
          const float expected = h == 1 ? v[(1 / (spec.heads / spec.kv_heads)) * spec.head_dim + d] : z_before[at];
          if (h == 1) {
            EXPECT_NEAR(z[at], expected, 1e-6);
          } else {
            EXPECT_EQ(z[at], expected);
          }
        }
      }
    }
    EXPECT_NE(before.seen.at("logits"), after.seen.at("logits"));
  }
}

TEST(MapsRecorded, AreTheTilesOfTheFactors) {
  TinyModel tiny("llama");
  const ScratchFile file("dense");
  RecorderOptions options;
  options.path = file.path;
  options.kv_format = DType::f32;
  options.longest_sequence = length;
  const std::vector<std::string> words{"pattern"};
  options.points = select_points(tiny.model.spec, words);
  record(tiny, two_texts, options)->finish();
  const auto recording = Recording::open(file.path);
  const std::size_t rows = two_texts[0].size() + two_texts[1].size();
  for (const Recording::Dataset& dataset : recording->activations()) {
    ASSERT_EQ(dataset.shape[2], length);
    const std::size_t block = dataset.name.find("blocks.0.") != std::string::npos ? 0 : 1;
    const auto values = recording->activation(dataset, {0, rows});
    if (block >= recording->modules().size()) continue;
    const Recording::Module& module = recording->modules()[block];
    if (dataset.name.find("blocks." + std::to_string(block) + ".") == std::string::npos) continue;
    for (std::size_t sequence = 0; sequence < 2; ++sequence) {
      const auto [begin, count] = recording->rows_of(sequence);
      for (std::size_t h = 0; h < module.heads; ++h) {
        std::vector<float> tile(count * count);
        pattern_tile(recording->head(module, h, sequence)->factors, 0, 0, {tile.data(), {count, count}});
        for (std::size_t i = 0; i < count; ++i) {
          for (std::size_t j = 0; j < length; ++j) {
            EXPECT_NEAR(values[((begin + i) * module.heads + h) * length + j], j < count ? tile[i * count + j] : 0.0f, 1e-6);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace vitrine
