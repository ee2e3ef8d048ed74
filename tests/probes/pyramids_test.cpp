// The pyramids of a recording against its own maps, rebuilt whole.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

std::vector<TokenId> random_text(std::size_t length, std::size_t vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < length; ++i) ids.push_back(static_cast<TokenId>(random() % vocabulary));
  return ids;
}

void expect_pooled(const Recording::Squares& squares, const std::vector<float>& map, std::size_t queries, std::size_t keys) {
  ASSERT_EQ(squares.rows, (queries + squares.cell - 1) / squares.cell);
  ASSERT_EQ(squares.columns, (keys + squares.cell - 1) / squares.cell);
  for (std::size_t i = 0; i < squares.rows; ++i) {
    for (std::size_t j = 0; j < squares.columns; ++j) {
      double largest = 0.0, sum = 0.0, area = 0.0;
      for (std::size_t q = i * squares.cell; q < std::min(queries, (i + 1) * squares.cell); ++q) {
        for (std::size_t k = j * squares.cell; k < std::min(keys, (j + 1) * squares.cell); ++k, area += 1.0) {
          largest = std::max(largest, static_cast<double>(map[q * keys + k]));
          sum += static_cast<double>(map[q * keys + k]);
        }
      }
      const std::size_t at = i * squares.columns + j;
      ASSERT_NEAR(squares.largest[at], largest, 0x1p-8 * largest + 1e-30) << i << ", " << j;
      ASSERT_NEAR(squares.mean[at], sum / area, 0x1p-8 * sum / area + 1e-30) << i << ", " << j;
    }
  }
}

/// Every head of the first and the last module, on two levels; returns how many maps there were.
std::size_t check(const Recording& recording) {
  std::size_t maps = 0;
  for (const Recording::Module& module : {recording.modules().front(), recording.modules().back()}) {
    for (std::size_t sequence = 0; sequence < recording.sequences(); ++sequence) {
      const std::size_t queries = recording.rows_of(sequence, module.queries).count, keys = recording.rows_of(sequence, module.keys).count;
      for (std::size_t head = 0; head < module.heads; ++head) {
        const auto squares = recording.squares(module, head, sequence);
        if (!squares) continue;
        std::vector<float> map(queries * keys);
        pattern_tile(recording.head(module, head, sequence)->factors, 0, 0, {map.data(), {queries, keys}});
        expect_pooled(*squares, map, queries, keys);
        expect_pooled(*recording.squares(module, head, sequence, 2), map, queries, keys);
        ++maps;
      }
    }
  }
  return maps;
}

TEST(Pyramids, AreTheMapsPooled) {
  for (const char* kernel : {"auto", "sliding_window:window=100", "top_k:k=5"}) {
    TinyModel tiny("llama");
    tiny.model.spec.context = 0;
    tiny.kernel = choose_attention_kernel(kernel);
    const ScratchFile file("pyramids");
    RecorderOptions options = options_for(tiny, file.path, {"z"});
    const std::vector<std::vector<TokenId>> texts{random_text(1100, 60, 1), random_text(40, 60, 2), random_text(2071, 60, 3)};
    options.longest_sequence = 2071;
    options.pyramids = Pyramids::of_long_texts;
    const Recorder::SequenceSize sizes[] = {{.tokens = 1100}, {.tokens = 40}, {.tokens = 2071}};
    const Recorder::Plan plan = Recorder::plan({tiny.model, tiny.kernel, *tiny.ops}, options, sizes);
    const auto recorder = record(tiny, texts, options);
    recorder->finish();
    const auto found = recorder->summary().datasets;
    for (std::size_t d = 0; d < found.size(); ++d) {
      if (found[d].name.starts_with("/mips/")) {
        EXPECT_EQ(plan.datasets[d].rows, found[d].rows) << found[d].name;
      }
    }
    const auto recording = Recording::open(file.path);
    const std::size_t heads = recording->modules().front().heads;
    EXPECT_FALSE(recording->squares(recording->modules().front(), 0, 1));
    EXPECT_EQ(recording->squares(recording->modules().front(), 0, 2)->cell, 16u);
    EXPECT_EQ(check(*recording), 2 * 2 * heads) << kernel;
  }
}

/// A long source makes pyramids of three kinds of maps, whatever the length of the text beside it.
TEST(Pyramids, OfAnEncoderDecoder) {
  TinyModel tiny("encoder_decoders/t5");
  tiny.model.spec.context = tiny.model.spec.encoder.front().context = 0;
  const ScratchFile file("sides");
  RecorderOptions options = options_for(tiny, file.path, {"z"});
  tiny.sources = {random_text(30, 30, 5), random_text(1290, 30, 6)};
  options.longest_sequence = 1290;
  options.pyramids = Pyramids::of_long_texts;
  const std::vector<std::vector<TokenId>> texts{{2, 5, 9}, random_text(21, 30, 7)};
  record(tiny, texts, options)->finish();
  const auto recording = Recording::open(file.path);
  EXPECT_EQ(check(*recording), 2 * recording->modules().front().heads);
}

}  // namespace
}  // namespace vitrine
