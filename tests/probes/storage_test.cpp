// How a recording stores its numbers: types, codes, compression, and what is planned of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

const Recording::Dataset& dataset_of(const Recording& recording, const std::string& hook) {
  const auto found = std::ranges::find(recording.activations(), "/activations/" + hook, &Recording::Dataset::name);
  if (found == recording.activations().end()) throw Error({hook, "an activation", "none", ""});
  return *found;
}

constexpr std::size_t rows_of_two = 26;

TEST(Storage, SmallTypesAreAsExactAsTheyCanBe) {
  TinyModel tiny("llama");
  for (const auto& [store, error] : {std::pair(StoreType::f16, 0x1p-11f), std::pair(StoreType::bf16, 0x1p-8f)}) {
    const ScratchFile file("types");
    Keeper keeper;
    RecorderOptions options = options_for(tiny, file.path, {"default"});
    options.store = store;
    record(tiny, two_texts, options, &keeper)->finish();
    const auto recording = Recording::open(file.path);
    for (const Recording::Dataset& dataset : recording->activations()) {
      EXPECT_EQ(dataset.type, store == StoreType::f16 ? "f16" : "bf16");
      const auto& truth = keeper.seen.at(dataset.name.substr(13).starts_with("blocks.") ? dataset.name.substr(13) : "");
      const auto values = recording->activation(dataset, {0, truth.size() ? dataset.shape[0] : 0});
      for (std::size_t i = 0; i < values.size(); ++i) ASSERT_LE(std::abs(values[i] - truth[i]), error * std::abs(truth[i]) + 1e-7f);
    }
  }
}

/// An observer that makes one late row huge, as late layers of real models do.
class Exploder : public Observer {
 public:
  Access access(const ProbePoint& point) const override { return point == at ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].sequence == 1 && rows[r].position == 3) values(r, 0, 0) = 70000.0f;
    }
  }
  const ProbePoint at{.block = 1, .site = Site::resid_mid};
};

TEST(Storage, WhatDoesNotFitIntoF16BecomesF32) {
  TinyModel tiny("llama");
  const ScratchFile file("overflow");
  RecorderOptions options = options_for(tiny, file.path, {"default", "resid_post"});
  options.store = StoreType::f16;
  auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options);
  for (const auto& ids : two_texts) recorder->begin_sequence(tokens_of(ids));
  Exploder exploder;
  Observer* observers[] = {&exploder, recorder.get()};  // the recorder sees what the exploder wrote
  tiny.run(two_texts, observers);
  recorder->finish();
  const auto recording = Recording::open(file.path);
  bool found = false;
  for (const Recording::Dataset& dataset : recording->activations()) {
    if (dataset.name == "/activations/blocks.0.hook_resid_mid") {
      EXPECT_EQ(dataset.type, "f16");
    }
    if (dataset.name != "/activations/blocks.1.hook_resid_mid") continue;
    found = true;
    EXPECT_EQ(dataset.type, "f32");
    EXPECT_EQ(recording->activation(dataset, {two_texts[0].size() + 3, 1})[0], 70000.0f);
  }
  EXPECT_TRUE(found);
}

/// HDF5's own filters undo what libdeflate did; chunks that are written again and again while they fill are the last ones.
TEST(Storage, CompressedFilesHoldTheSameNumbers) {
  for (const StoreType store : {StoreType::f32, StoreType::f16}) {
    TinyModel tiny("llama");
    const ScratchFile plain("plain"), small("compressed");
    const std::vector<std::vector<TokenId>> many(60, two_texts[0]);
    RecorderOptions options = options_for(tiny, plain.path);
    options.store = store;
    record(tiny, many, options)->finish();
    options.path = small.path;
    options.compression = Compression::gzip;
    record(tiny, many, options)->finish();
    EXPECT_LT(std::filesystem::file_size(small.path), std::filesystem::file_size(plain.path) / 2);
    const auto expected = Recording::open(plain.path), found = Recording::open(small.path);
    ASSERT_EQ(found->activations().size(), expected->activations().size());
    const Recording::Rows rows{0, many.size() * two_texts[0].size()};
    for (std::size_t d = 0; d < expected->activations().size(); ++d) {
      const Recording::Dataset &one = expected->activations()[d], &other = found->activations()[d];
      EXPECT_EQ(other.name, one.name);
      EXPECT_EQ(found->activation(other, rows), expected->activation(one, rows)) << one.name;
    }
    for (std::size_t m = 0; m < expected->modules().size(); ++m) {
      EXPECT_EQ(found->head(found->modules()[m], 1, 7)->q, expected->head(expected->modules()[m], 1, 7)->q);
      EXPECT_EQ(found->row_statistic(found->modules()[m], "entropy", 59), expected->row_statistic(expected->modules()[m], "entropy", 59));
    }
    EXPECT_EQ(found->token_texts(59), expected->token_texts(59));
  }
}

/// Half a step of the scale, which is a binary16 of the 127th part of the block's largest number.
TEST(Storage, CodesAreWithinHalfAStep) {
  for (const char* name : {"llama", "gpt2", "bert", "llama_tied"}) {
    TinyModel tiny(name);
    const ScratchFile file("codes");
    Keeper keeper;
    RecorderOptions options = options_for(tiny, file.path);
    options.store = StoreType::int8;
    record(tiny, two_texts, options, &keeper)->finish();
    const auto recording = Recording::open(file.path);
    std::size_t coded = 0;
    for (const Recording::Dataset& dataset : recording->activations()) {
      const std::string hook = dataset.name == "/logits" ? "logits" : dataset.name.substr(13);
      const std::vector<float>& truth = keeper.seen.at(hook);
      const std::size_t width = dataset.shape.back();
      const std::vector<float> values = recording->activation(dataset, {0, rows_of_two});
      ASSERT_EQ(values.size(), truth.size()) << hook;
      if (dataset.type != "int8") {
        EXPECT_TRUE(width <= 8 || hook.ends_with("hook_normalizer")) << hook << " is " << dataset.type;
        EXPECT_EQ(values, truth);
        continue;
      }
      ++coded;
      EXPECT_LT(dataset.bytes, rows_of_two * (truth.size() / rows_of_two) * sizeof(float));
      for (std::size_t begin = 0; begin < truth.size(); begin += begin % width + 32 < width ? 32 : width - begin % width) {
        const std::size_t count = std::min<std::size_t>(32, width - begin % width);
        float largest = 0.0f;
        for (std::size_t i = begin; i < begin + count; ++i) largest = std::max(largest, std::fabs(truth[i]));
        const float half_step = largest / 127.0f * (1.0f + 0x1p-11f) / 2.0f + 127.0f * 0x1p-25f;
        for (std::size_t i = begin; i < begin + count; ++i) ASSERT_LE(std::fabs(values[i] - truth[i]), half_step * 1.00002f) << name << ", " << hook << ", " << i;
      }
    }
    EXPECT_GT(coded, 10u) << name;
  }
}

TEST(Storage, IsChosenForEachPoint) {
  TinyModel tiny("llama");
  const ScratchFile file("each");
  RecorderOptions options = options_for(tiny, file.path, {"resid_pre", "resid_post", "z", "mlp_out"});
  const auto choose = [&](const std::string& word, StoreType type) {
    for (const ProbePoint& point : select_points(tiny.model.spec, {&word, 1})) options.store_of[point] = type;
  };
  choose("resid_pre", StoreType::int8);
  choose("z", StoreType::bf16);
  choose("blocks.1.attn.hook_z", StoreType::f16);
  choose("blocks.*.attn.hook_rot_k", StoreType::bf16);
  record(tiny, two_texts, options)->finish();
  const auto recording = Recording::open(file.path);
  EXPECT_EQ(dataset_of(*recording, "blocks.1.hook_resid_pre").type, "int8");
  EXPECT_EQ(dataset_of(*recording, "blocks.0.hook_resid_post").type, "f32");  // asked for in another type than its twin
  EXPECT_EQ(dataset_of(*recording, "blocks.0.attn.hook_z").type, "bf16");
  EXPECT_EQ(dataset_of(*recording, "blocks.1.attn.hook_z").type, "f16");
  EXPECT_EQ(dataset_of(*recording, "blocks.1.hook_mlp_out").type, "f32");
}

/// The stream after a block and before the next are one dataset with two names, also where both were asked for.
TEST(Storage, NothingIsStoredTwice) {
  TinyModel tiny("llama");
  const ScratchFile both("both"), one("one");
  record(tiny, two_texts, options_for(tiny, both.path, {"resid_pre", "resid_post"}))->finish();
  record(tiny, two_texts, options_for(tiny, one.path, {"resid_pre", "blocks." + std::to_string(tiny.model.spec.blocks.size() - 1) + ".hook_resid_post"}))->finish();
  EXPECT_EQ(std::filesystem::file_size(both.path), std::filesystem::file_size(one.path));
  EXPECT_EQ(dataset_of(*Recording::open(one.path), "blocks.0.hook_resid_post").shape[0], rows_of_two);
}

/// An observer that leaves an infinity and a NaN.
class Breaker : public Observer {
 public:
  Access access(const ProbePoint& point) const override { return point == at ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].sequence == 1 && rows[r].position == 3) values(r, 0, 0) = std::numeric_limits<float>::infinity();
    }
  }
  const ProbePoint at{.block = 1, .site = Site::mlp_out};
};

TEST(Storage, WhatNoScaleStandsForBecomesF32) {
  TinyModel tiny("llama");
  const ScratchFile file("infinite");
  RecorderOptions options = options_for(tiny, file.path, {"mlp_out"});
  options.store = StoreType::int8;
  options.compression = Compression::gzip;
  auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options);
  for (const auto& ids : two_texts) recorder->begin_sequence(tokens_of(ids));
  Breaker breaker;
  Keeper keeper;
  Observer* observers[] = {&breaker, &keeper, recorder.get()};
  tiny.run(two_texts, observers);
  recorder->finish();
  const auto recording = Recording::open(file.path);
  EXPECT_EQ(dataset_of(*recording, "blocks.0.hook_mlp_out").type, "int8");
  const Recording::Dataset& dataset = dataset_of(*recording, "blocks.1.hook_mlp_out");
  EXPECT_EQ(dataset.type, "f32");
  const std::size_t row = two_texts[0].size() + 3;
  EXPECT_EQ(recording->activation(dataset, {row, 1})[0], std::numeric_limits<float>::infinity());
  // Rows of the sequence at hand are as they were; those before it had been codes.
  const auto values = recording->activation(dataset, {0, row});
  const std::vector<float>& truth = keeper.seen.at("blocks.1.hook_mlp_out");
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(values[i], truth[i], 0.05f * (1.0f + std::fabs(truth[i])));
}

/// Within 2 % for a file that is mostly numbers, and for a small one that is mostly names.
TEST(Storage, PlansAgreeWithTheFile) {
  for (const char* name : {"llama", "gpt2", "bert", "encoder_decoders/t5"}) {
    for (const std::size_t count : {1u, 7u, 90u}) {
      for (const StoreType store : {StoreType::automatic, StoreType::int8}) {
        TinyModel tiny(name);
        const ScratchFile file("plan");
        std::vector<std::vector<TokenId>> texts(count, {3, 17, 2, 5, 5, 21, 9, 17, 12, 30, 2, 8, 20, 1, 3});
        if (!tiny.model.spec.encoder.empty()) tiny.sources = std::vector<std::vector<TokenId>>(count, {9, 9, 1, 22, 14, 8, 8, 8});
        RecorderOptions options = options_for(tiny, file.path);
        options.store = store;
        options.longest_sequence = 15;
        options.expected_rows = count * 15;
        std::vector<Recorder::SequenceSize> sizes(count, {.tokens = 15});
        for (auto& size : sizes) {
          const auto bytes = [&](const auto& ids) {
            std::size_t sum = 0;
            for (const TokenId id : ids) sum += tiny.model.tokenizer ? tiny.model.tokenizer->piece(id).size() : 0;
            return sum;
          };
          size.text_bytes = bytes(texts[0]);
          if (!tiny.sources.empty()) size.source_tokens = 8, size.source_bytes = bytes(tiny.sources[0]);
        }
        const Recorder::Plan plan = Recorder::plan({tiny.model, tiny.kernel, *tiny.ops}, options, sizes);
        EXPECT_FALSE(std::filesystem::exists(file.path));
        const auto recorder = record(tiny, texts, options);
        recorder->finish();
        const auto found = recorder->summary().datasets;
        ASSERT_EQ(plan.datasets.size(), found.size());
        for (std::size_t d = 0; d < found.size(); ++d) {
          EXPECT_EQ(plan.datasets[d].name, found[d].name);
          EXPECT_EQ(plan.datasets[d].rows, found[d].rows) << found[d].name;
          EXPECT_EQ(plan.datasets[d].bytes, found[d].bytes) << found[d].name;
        }
        const double size = static_cast<double>(std::filesystem::file_size(file.path));
        EXPECT_NEAR(static_cast<double>(plan.file_bytes), size, 0.02 * size) << name << ", " << count;
      }
    }
  }
}

}  // namespace
}  // namespace vitrine
