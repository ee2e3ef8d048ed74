// What scores hold besides products of queries and keys: written by the recorder, read back, refused where it cannot be.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "core/base/error.h"
#include "core/model/distance_bias.h"
#include "probes/head_score.h"
#include "probes/recording.h"
#include "probes/recording_layout_internal.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

std::vector<float> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

/// A llama whose first block has slopes, and whose other blocks have numbers by buckets of the distance.
void add_biases(TinyModel& tiny) {
  for (std::size_t block = 0; block < tiny.model.spec.blocks.size(); ++block) {
    AttentionSpec& attention = tiny.model.spec.blocks[block].attention;
    if (block == 0) {
      for (std::size_t h = 0; h < attention.heads; ++h) attention.distance_slopes.push_back(0.5f / static_cast<float>(h + 1));
      continue;
    }
    attention.distance_buckets = DistanceBuckets{8, 9, false};
    Tensor numbers(DType::f32, {8, attention.heads});
    std::ranges::copy(random_numbers(numbers.size(), 3), numbers.floats().begin());
    tiny.model.weights.put({Role::distance_bias, static_cast<int>(block)}, make_weight(expand_buckets(*attention.distance_buckets, make_weight(std::move(numbers)))));
  }
}

std::uint64_t version_of(const std::filesystem::path& path) {
  const h5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, h5::access_properties()), H5Fclose);
  const h5::Handle attribute(H5Aopen_by_name(file, "/", "format_version", H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  std::uint64_t version = 0;
  H5Aread(attribute, H5T_NATIVE_UINT64, &version);
  return version;
}

TEST(RecordedTerms, BiasesByDistanceExplainTheHeadsOutputs) {
  TinyModel tiny("llama");
  add_biases(tiny);
  const ScratchFile file("biases");
  Keeper keeper;
  record(tiny, two_texts, options_for(tiny, file.path), &keeper)->finish();
  EXPECT_EQ(version_of(file.path), 2u);
  const auto recording = Recording::open(file.path);
  EXPECT_LT(largest_difference(*recording, keeper), 1e-5);
  EXPECT_TRUE(recording->modules()[0].slopes);
  EXPECT_EQ(recording->modules()[1].distances, 10u);
  for (const Recording::Module& module : recording->modules()) {  // without them, another map
    PatternFactors factors = recording->head(module, 0, 0)->factors;
    const auto held = recording->head(module, 0, 0);
    factors = held->factors;
    std::vector<float> with(15 * 15), without(15 * 15);
    pattern_tile(factors, 0, 0, {with.data(), {15, 15}});
    factors.score.by_distance = {};
    pattern_tile(factors, 0, 0, {without.data(), {15, 15}});
    double largest = 0.0;
    for (std::size_t i = 0; i < with.size(); ++i) largest = std::max(largest, std::fabs(static_cast<double>(with[i]) - without[i]));
    EXPECT_GT(largest, 1e-3);
  }
}

TEST(RecordedTerms, FilesWithoutThemKeepTheOlderVersion) {
  TinyModel tiny("llama");
  const ScratchFile file("plain");
  record(tiny, two_texts, options_for(tiny, file.path))->finish();
  EXPECT_EQ(version_of(file.path), 1u);
}

/// Self attention of both stacks, and cross attention, whose queries and keys are of texts of other lengths.
TEST(RecordedTerms, AnEncoderDecoderHasTwoTexts) {
  for (const char* name : {"encoder_decoders/bart", "encoder_decoders/t5"}) {
    SCOPED_TRACE(name);
    TinyModel tiny(name);
    tiny.sources = {{3, 17, 2, 5, 5, 21, 9, 17, 2, 30, 2}, {9, 9, 1, 22, 14, 8, 8, 8, 5, 4, 3, 2, 9, 1, 1, 2}};
    const std::vector<std::vector<TokenId>> said{{2, 5, 9, 12}, {2, 7, 7, 7, 1, 6, 9}};
    const ScratchFile file("encoder");
    Keeper keeper;
    RecorderOptions options = options_for(tiny, file.path);
    options.longest_sequence = 16;
    record(tiny, said, options, &keeper)->finish();
    EXPECT_EQ(version_of(file.path), 2u);
    const auto recording = Recording::open(file.path);
    ASSERT_TRUE(recording->has_encoder());
    EXPECT_EQ(recording->token_ids(1, Recording::Side::encoder), tiny.sources[1]);
    EXPECT_EQ(recording->token_ids(1), said[1]);
    EXPECT_LT(largest_difference(*recording, keeper), 1e-5);
    const std::size_t blocks = tiny.model.spec.blocks.size();
    EXPECT_EQ(recording->modules().size(), tiny.model.spec.encoder.front().blocks.size() + 2 * blocks);
    EXPECT_EQ(own_modules(*recording).size(), blocks);
    std::size_t across = 0;
    for (const Recording::Module& module : recording->modules()) across += module.queries != module.keys ? 1 : 0;
    EXPECT_EQ(across, blocks);
    for (const Recording::Dataset& dataset : recording->activations()) {
      const std::string hook = dataset.name == "/logits" ? "logits" : dataset.name.substr(13);
      EXPECT_EQ(recording->activation(dataset, {0, dataset.shape[0]}), keeper.seen.at(hook)) << hook;
    }
    vitrine::Run progress;
    for (const HeadRow& row : head_table(*recording, tiny.pool, progress)) {
      if (row.module.find("cross_attn") == std::string::npos) continue;
      for (std::size_t s = 0; s < row.scores.size(); ++s) {
        EXPECT_EQ(row.scores[s].has_value(), !all_head_scores()[s]->within_text) << all_head_scores()[s]->name;
      }
    }
  }
}

/// Distances that meet the query; texts with segments and without, the second one longer; an order of tokens.
TEST(RecordedTerms, XlnetsMapsComeBack) {
  TinyModel tiny("encoders/xlnet");
  const std::vector<std::vector<TokenId>> texts{{3, 17, 4, 5, 5, 21}, {9, 9, 1, 22, 14, 9, 9, 1, 22, 14, 11, 3}};
  tiny.types = {{0, 0, 1, 1, 1, 0}, {}};
  const std::vector<std::uint64_t> order{0b000000, 0b000101, 0b000001, 0b010111, 0b000111, 0b011111};
  tiny.allowed = {{order.data(), 6, 6, 1, 0}, {}};
  const ScratchFile file("xlnet");
  Keeper keeper;
  RecorderOptions options = options_for(tiny, file.path);
  options.longest_sequence = 12;
  record(tiny, texts, options, &keeper)->finish();
  const auto recording = Recording::open(file.path);
  EXPECT_EQ(recording->modules().front().positions, 23u);
  EXPECT_TRUE(recording->modules().front().allowed);
  EXPECT_LT(largest_difference(*recording, keeper), 1e-5);
  EXPECT_FALSE(recording->head(recording->modules().front(), 0, 0)->factors.score.content.segment.empty());
  EXPECT_TRUE(recording->head(recording->modules().front(), 0, 1)->factors.score.content.segment.empty());
}

/// A recording of a bidirectional model, to whose first attention terms in which the distance meets the query are added.
class WithPositions {
 public:
  static constexpr std::size_t positions = 11;

  explicit WithPositions(const std::string& name) : file_(name), tiny_("bert") {
    RecorderOptions options = options_for(tiny_, file_.path);
    record(tiny_, two_texts, options)->finish();
    const AttentionSpec& attention = tiny_.model.spec.blocks[0].attention;
    heads_ = attention.heads, dim_ = attention.head_dim;
    r = random_numbers(positions * heads_ * dim_, 1), u = random_numbers(heads_ * dim_, 2), w = random_numbers(heads_ * dim_, 3);
    s = random_numbers(heads_ * dim_, 4), segment = random_numbers(2 * heads_ * dim_, 5);
    for (std::size_t row = 0; row < rows(); ++row) {
      segments.push_back(static_cast<std::int32_t>(row % 3 == 0));
      allowed.push_back(row % 7 == 2 ? 0 : 0x5d6b3adu * (row + 1));
    }
  }

  std::size_t rows() const { return two_texts[0].size() + two_texts[1].size(); }
  ScoreRule rule() const {
    ScoreRule score;
    score.content = {.r = {r.data(), {positions, heads_, dim_}}, .first = -5, .key_bias = {u.data(), {heads_, dim_}},
                     .distance_bias = {w.data(), {heads_, dim_}}, .segment = {segment.data(), {2, heads_, dim_}},
                     .segment_bias = {s.data(), {heads_, dim_}}};
    return score;
  }

  /// Adds what there is, then lets `change` damage it.
  void write(const std::function<void(hid_t)>& change = {}) {
    const h5::Handle file(H5Fopen(file_.path.c_str(), H5F_ACC_RDWR, h5::access_properties()), H5Fclose);
    const PositionsShape shape{5, heads_, dim_};
    create_positions(file, group, shape, "test");
    write_positions(file, group, shape, rule().content, "test");
    add("/tokens/segment", H5T_STD_I32LE, H5T_NATIVE_INT32, {rows()}, segments.data(), file);
    add("/tokens/allowed", H5T_STD_U64LE, H5T_NATIVE_UINT64, {rows(), 1}, allowed.data(), file);
    const h5::Handle object(H5Gopen2(file, group, H5P_DEFAULT), H5Gclose);
    h5::write_attribute(object, "allowed", std::uint64_t{1});
    if (change) change(file);
  }
  static void add(const char* name, hid_t type, hid_t memory, const std::vector<hsize_t>& shape, const void* data, hid_t file) {
    const h5::Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
    const h5::Handle dataset(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
    H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
  }
  std::unique_ptr<Recording> open() const { return Recording::open(file_.path); }

  /// The definition of a score, in double.
  double score(const Recording::Head& head, std::size_t h, std::size_t begin, std::size_t i, std::size_t j) const {
    if ((allowed[begin + i] >> j & 1) == 0) return -INFINITY;
    const double distance = std::clamp(static_cast<double>(j) - static_cast<double>(i) + 5.0, 0.0, static_cast<double>(positions - 1));
    const auto place = static_cast<std::size_t>(distance);
    const std::size_t other = segments[begin + i] == segments[begin + j] ? 0 : 1;
    double sum = 0.0;
    for (std::size_t d = 0; d < dim_; ++d) {
      const double q = head.q[i * dim_ + d];
      sum += (q + u[h * dim_ + d]) * head.k[j * dim_ + d] + (q + w[h * dim_ + d]) * r[(place * heads_ + h) * dim_ + d] +
             (q + s[h * dim_ + d]) * segment[(other * heads_ + h) * dim_ + d];
    }
    return sum * head.factors.score.scale;
  }

  static constexpr const char* group = "/attention/blocks.0.attn";
  std::vector<float> r, u, w, s, segment;
  std::vector<std::int32_t> segments;
  std::vector<std::uint64_t> allowed;

 private:
  ScratchFile file_;
  TinyModel tiny_;
  std::size_t heads_ = 0, dim_ = 0;
};

TEST(RecordedTerms, PositionsSegmentsAndAllowedKeysComeBack) {
  WithPositions with("positions");
  with.write();
  const auto recording = with.open();
  const Recording::Module& module = recording->modules().front();
  for (std::size_t sequence = 0; sequence < 2; ++sequence) {
    const auto [begin, count] = recording->rows_of(sequence);
    for (std::size_t h = 0; h < module.heads; ++h) {
      const auto head = recording->head(module, h, sequence);
      std::vector<float> tile(4 * 5);
      score_tile(head->factors, 3, 2, {tile.data(), {4, 5}});
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < 5; ++j) {
          const double expected = with.score(*head, h, begin, 3 + i, 2 + j);
          if (std::isinf(expected)) {
            EXPECT_EQ(tile[i * 5 + j], -INFINITY);
          } else {
            EXPECT_NEAR(tile[i * 5 + j], expected, 1e-5 * (1 + std::fabs(expected)));
          }
        }
      }
    }
  }
}

/// Each is refused with one line when the file is opened.
TEST(RecordedTerms, WhatDoesNotFitIsRefused) {
  const float numbers[4] = {};
  const std::uint64_t words[64] = {};
  const auto remove = [](const char* name) { return [name](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); }; };
  const auto replace = [](const char* name, const std::vector<hsize_t>& shape, const void* data, hid_t type, hid_t memory) {
    return [=](hid_t file) {
      H5Ldelete(file, name, H5P_DEFAULT);
      WithPositions::add(name, type, memory, shape, data, file);
    };
  };
  const std::string positions = std::string(WithPositions::group) + "/positions", u = std::string(WithPositions::group) + "/key_bias",
                    s = std::string(WithPositions::group) + "/segment", table = std::string(WithPositions::group) + "/distance_bias",
                    slope = std::string(WithPositions::group) + "/distance_slope";
  const std::vector<std::function<void(hid_t)>> damages{
      remove(u.c_str()), remove("/tokens/segment"), remove("/tokens/allowed"),
      replace(positions.c_str(), {4}, numbers, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT), replace(u.c_str(), {2, 2}, numbers, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT),
      replace(s.c_str(), {1, 2, 2}, numbers, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT), replace("/tokens/allowed", {2, 1}, words, H5T_STD_U64LE, H5T_NATIVE_UINT64),
      replace("/tokens/segment", {3}, words, H5T_STD_I32LE, H5T_NATIVE_INT32),
      [&](hid_t file) { WithPositions::add(table.c_str(), H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, {2, 2}, numbers, file); },
      [&](hid_t file) { WithPositions::add(slope.c_str(), H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, {1}, numbers, file); },
      [](hid_t file) { H5Adelete_by_name(file, WithPositions::group, "positions_first", H5P_DEFAULT); },
      [](hid_t file) {
        H5Adelete_by_name(file, WithPositions::group, "positions_first", H5P_DEFAULT);
        const h5::Handle object(H5Gopen2(file, WithPositions::group, H5P_DEFAULT), H5Gclose);
        h5::write_attribute(object, "positions_first", std::int64_t{1} << 62);
      }};
  for (std::size_t i = 0; i < damages.size(); ++i) {
    WithPositions with("damage" + std::to_string(i));
    with.write(damages[i]);
    try {
      with.open();
      ADD_FAILURE() << "damage " << i << " was not seen";
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    }
  }
}

}  // namespace
}  // namespace vitrine
