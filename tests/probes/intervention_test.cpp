// What each intervention makes of values, and that nothing else moves.
#include "probes/intervention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

std::vector<std::vector<TokenId>> texts() { return {{5, 9, 3, 7, 11, 4}, {8, 6, 10, 3}}; }

/// Values of every point, without and with interventions (which come first).
std::map<std::string, std::vector<float>> values(TinyModel& tiny, std::span<const std::string> words, std::uint64_t seed = 1) {
  std::vector<std::unique_ptr<Observer>> interventions;
  std::vector<Observer*> observers;
  for (const std::string& word : words) observers.push_back(interventions.emplace_back(make_intervention(tiny.model.spec, word, seed)).get());
  Keeper keeper;
  observers.push_back(&keeper);
  tiny.run(texts(), observers);
  return keeper.seen;
}

struct Numbers {
  std::size_t heads, width;
  const std::vector<float>& all;
  std::span<const float> at(std::size_t row, std::size_t head) const { return std::span(all).subspan((row * heads + head) * width, width); }
};

TEST(Intervention, ZeroChangesTheNamedHeadsAndPositionsAlone) {
  TinyModel tiny("llama");
  const auto before = values(tiny, {}), after = values(tiny, std::vector<std::string>{"zero:blocks.1.attn.hook_z:head=1,position=2..3"});
  const std::string name = "blocks.1.attn.hook_z";
  const AttentionSpec& spec = tiny.model.spec.blocks[1].attention;
  const Numbers a{spec.heads, spec.head_dim, before.at(name)}, b{spec.heads, spec.head_dim, after.at(name)};
  for (std::size_t row = 0; row < 10; ++row) {
    const std::size_t position = row < 6 ? row : row - 6;
    for (std::size_t head = 0; head < spec.heads; ++head) {
      const bool chosen = head == 1 && position >= 2 && position <= 3;
      for (std::size_t i = 0; i < spec.head_dim; ++i) EXPECT_EQ(b.at(row, head)[i], chosen ? 0.0f : a.at(row, head)[i]);
    }
  }
  EXPECT_EQ(before.at("blocks.0.hook_resid_post"), after.at("blocks.0.hook_resid_post"));
  EXPECT_NE(before.at("blocks.1.hook_resid_post"), after.at("blocks.1.hook_resid_post"));
}

TEST(Intervention, KnockoutSharesTheWeightAmongTheOthers) {
  TinyModel tiny("llama");
  const auto before = values(tiny, {}), after = values(tiny, std::vector<std::string>{"knockout:blocks.0.attn.hook_attn_scores:key=1,head=0"});
  const AttentionSpec& spec = tiny.model.spec.blocks[0].attention;
  std::size_t offset = 0;
  for (const std::size_t length : {std::size_t{6}, std::size_t{4}}) {
    const std::vector<float>&a = before.at("blocks.0.attn.hook_pattern"), &b = after.at("blocks.0.attn.hook_pattern");
    for (std::size_t row = 0; row < length; ++row) {
      const float* was = &a[offset + row * spec.heads * length];
      const float* is = &b[offset + row * spec.heads * length];
      const double left = row >= 1 ? 1.0 - was[1] : 1.0;
      for (std::size_t key = 0; key < length; ++key) EXPECT_NEAR(is[key], key == 1 && row >= 1 ? 0.0 : was[key] / left, 1e-6);
      for (std::size_t i = length; i < spec.heads * length; ++i) EXPECT_EQ(is[i], was[i]);
    }
    offset += length * spec.heads * length;
  }
}

TEST(Intervention, ForceMakesTheHeadPutOutWhatItLooksAt) {
  TinyModel tiny("llama");
  const auto after = values(tiny, std::vector<std::string>{"force:blocks.0.attn.hook_pattern:shape=previous,head=1"});
  const AttentionSpec& spec = tiny.model.spec.blocks[0].attention;
  const Numbers z{spec.heads, spec.head_dim, after.at("blocks.0.attn.hook_z")}, v{spec.kv_heads, spec.head_dim, after.at("blocks.0.attn.hook_v")};
  for (std::size_t row = 1; row < 6; ++row) {
    for (std::size_t i = 0; i < spec.head_dim; ++i) EXPECT_FLOAT_EQ(z.at(row, 1)[i], v.at(row - 1, 1 / (spec.heads / spec.kv_heads))[i]);
  }
}

TEST(Intervention, NoiseIsTheSameWhateverRunsBeside) {
  TinyModel tiny("llama");
  const std::vector<std::string> word{"noise:blocks.0.hook_resid_pre:sigma=0.5"};
  const auto before = values(tiny, {}), once = values(tiny, word), again = values(tiny, word), other = values(tiny, word, 2);
  const std::string name = "blocks.0.hook_resid_pre";
  EXPECT_EQ(once.at(name), again.at(name));
  EXPECT_NE(once.at(name), other.at(name));
  double sum = 0.0, squares = 0.0;
  const std::size_t count = before.at(name).size();
  for (std::size_t i = 0; i < count; ++i) {
    const double added = once.at(name)[i] - before.at(name)[i];
    sum += added;
    squares += added * added;
  }
  EXPECT_NEAR(sum / static_cast<double>(count), 0.0, 4 * 0.5 / std::sqrt(static_cast<double>(count)));
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)), 0.5, 0.5 * 4 / std::sqrt(2.0 * static_cast<double>(count)));
}

TEST(Intervention, MeanResampleAndPatchTakeRowsOfARecording) {
  TinyModel tiny("llama");
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / ("intervention-" + std::to_string(getpid()) + ".h5");
  const auto recorded = values(tiny, {});
  {
    RecorderOptions options;
    options.path = path;
    options.points = select_points(tiny.model.spec, std::vector<std::string>{"z"});
    options.store = StoreType::f32;
    options.kv_format = DType::f32;
    record(tiny, texts(), options)->finish();
  }
  const AttentionSpec& spec = tiny.model.spec.blocks[1].attention;
  const std::string name = "blocks.1.attn.hook_z", from = ":from=" + path.string();
  const Numbers source{spec.heads, spec.head_dim, recorded.at(name)};
  const auto meant = values(tiny, std::vector<std::string>{"mean:" + name + from + ",head=0"});
  for (std::size_t i = 0; i < spec.head_dim; ++i) {
    double sum = 0.0;
    for (std::size_t row = 0; row < 10; ++row) sum += source.at(row, 0)[i];
    EXPECT_FLOAT_EQ(Numbers(spec.heads, spec.head_dim, meant.at(name)).at(7, 0)[i], static_cast<float>(sum / 10.0));
  }
  const auto drawn = values(tiny, std::vector<std::string>{"resample:" + name + from});
  for (std::size_t row = 0; row < 10; ++row) {
    std::size_t found = 0;
    for (std::size_t other = 0; other < 10; ++other) found += std::ranges::equal(Numbers(spec.heads, spec.head_dim, drawn.at(name)).at(row, 1), source.at(other, 1)) ? 1 : 0;
    EXPECT_EQ(found, 1U);
  }
  const auto patched = values(tiny, std::vector<std::string>{"patch:" + name + from + ",sequence=1,position=1+3"});
  EXPECT_TRUE(std::ranges::equal(Numbers(spec.heads, spec.head_dim, patched.at(name)).at(3, 0), source.at(6 + 3, 0)));
  EXPECT_TRUE(std::ranges::equal(Numbers(spec.heads, spec.head_dim, patched.at(name)).at(2, 0), source.at(2, 0)));
  EXPECT_THROW(values(tiny, std::vector<std::string>{"patch:" + name + from + ",sequence=1"}), Error);  // the first text is longer
  EXPECT_THROW(make_intervention(tiny.model.spec, "patch:" + name + from + ",sequence=2", 1), Error);
  EXPECT_THROW(make_intervention(tiny.model.spec, "mean:mlp_out" + from, 1), Error);  // was not recorded
  TinyModel other("gpt2");
  EXPECT_THROW(make_intervention(other.model.spec, "mean:z" + from, 1), Error);
  std::filesystem::remove(path);
}

TEST(Intervention, RefusesInOneLineWhatItDoesNotUnderstand) {
  TinyModel tiny("llama");
  for (const char* word : {"", "nothing", "zero", "zero:nowhere", "zero:z:head=99", "zero:z:head=x", "zero:z:position=5..2", "zero:z:size=3", "noise:z", "noise:z:sigma=x",
                           "knockout", "knockout:z:key=1", "force:shape=up", "force:z:shape=self", "steer", "steer:vector=/nowhere.gguf", "mean:z:from=/nowhere.h5"}) {
    try {
      make_intervention(tiny.model.spec, word, 1);
      ADD_FAILURE() << word;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << word;
    }
  }
}

/// The example of each is a word that it understands, up to the file that it names.
TEST(Intervention, EveryExampleIsUnderstood) {
  TinyModel tiny("llama");
  for (const Intervention* intervention : all_interventions()) {
    try {
      make_intervention(tiny.model.spec, std::string(intervention->example), 1);
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_TRUE(text.find("run.h5") != std::string::npos || text.find("gguf") != std::string::npos || text.find("blocks.3") != std::string::npos || text.find("blocks.2") != std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace vitrine
