// On a published model of full precision, those who choose by a calibration text must do better than those who choose by weights alone.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "experiments/scoring.h"
#include "experiments/variant_spec.h"
#include "tests/stories_model.h"

namespace vitrine {
namespace {

/// Texts of the model's own kind, sampled from it: what it was taught is not at hand.
std::string sampled_stories(Session& session, std::uint64_t seed, std::size_t tokens) {
  std::vector<TokenId> ids{1};
  std::mt19937_64 random(seed);
  KvCache cache = session.new_cache();
  std::vector<float> logits;
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::last;
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> rows) { logits.assign(rows.data(), rows.data() + rows.size()); };
  while (ids.size() < tokens) {
    const Segment segment{.ids = {&ids.back(), 1}, .cache = &cache};
    session.run_segments({&segment, 1}, {}, sinks);
    ids.push_back(drawn_token(logits, 1.2, random));
  }
  return session.model().tokenizer->decode(std::span(ids).subspan(1));
}

class PrunedStories : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path model = stories_model();
    if (model.empty()) GTEST_SKIP() << no_stories_model;
    CommonOptions options;
    options.model = model.string();
    options.precision = "exact";
    options.quiet = true;
    session_.emplace(options);
    calibration_ = std::filesystem::path(testing::TempDir()) / ("stories_" + std::to_string(::getpid()) + ".txt");
    for (std::uint64_t seed = 0; seed < 16; ++seed) {
      if (seed < 12) std::ofstream(calibration_, std::ios::app) << sampled_stories(*session_, seed, 400) << "\n";
      else held_out_.push_back(ids_of(session_->model().tokenizer->encode(sampled_stories(*session_, seed, 400), {})));
    }
  }
  void TearDown() override { std::filesystem::remove(calibration_); }

  struct Measured {
    double perplexity, output_error;
  };
  Measured measure(const std::string& word) {
    std::string sha256;
    const std::vector<ModelText> calibration = calibration_texts(*session_, {.file = calibration_.string()}, sha256);
    const ShortcutReport report = session_->become({.name = "pruned", .precision = Precision::exact, .kernel = "flash", .kv_format = DType::f32, .shortcuts = parse_shortcuts(word)}, calibration);
    // Of the first block, whose inputs are the same whatever the method.
    double error = 0.0, sum = 0.0;
    for (const MatrixChange& change : report.matrices) error += change.name.starts_with("blocks.0 ") ? change.output_error.value() / 7.0 : 0.0;
    std::size_t tokens = 0;
    for (const auto& text : token_log_probabilities(*session_, held_out_, "score")) {
      for (const std::optional<double>& score : text) {
        if (!score) continue;
        sum += *score;
        ++tokens;
      }
    }
    const Measured measured{std::exp(-sum / static_cast<double>(tokens)), error};
    std::printf("%-28s perplexity %8.4f, output error %.4f\n", word.c_str(), measured.perplexity, measured.output_error);
    return measured;
  }

  std::optional<Session> session_;
  std::filesystem::path calibration_;
  std::vector<std::vector<TokenId>> held_out_;
};

TEST_F(PrunedStories, WandaAndSparseGptDoBetterThanMagnitude) {
  measure("magnitude:sparsity=0");
  for (const char* zeros : {"sparsity=0.5", "pattern=2:4"}) {
    const Measured random = measure("random_mask:" + std::string(zeros)), magnitude = measure("magnitude:" + std::string(zeros)), wanda = measure("wanda:" + std::string(zeros)),
                   sparsegpt = measure("sparsegpt:" + std::string(zeros));
    EXPECT_LT(magnitude.perplexity, random.perplexity) << zeros;
    // Where both compare within groups. At 50% magnitudes of a whole matrix err as little on this model (0.204, Wanda's rows 0.208), and
    // cost twice the perplexity.
    if (std::string_view(zeros).starts_with("pattern")) {
      EXPECT_LT(wanda.output_error, magnitude.output_error) << zeros;
    }
    EXPECT_LT(sparsegpt.output_error, magnitude.output_error) << zeros;
    EXPECT_LT(wanda.perplexity, magnitude.perplexity) << zeros;
    EXPECT_LT(sparsegpt.perplexity, magnitude.perplexity) << zeros;
  }
}

/// Weighed by what comes in, factors of the same rank put out less that is wrong.
TEST_F(PrunedStories, WhitenedFactorsDoBetterThanPlainOnes) {
  const Measured plain = measure("svd:rank=32"), columns = measure("svd:rank=32,weighted=columns"), gram = measure("svd:rank=32,weighted=gram");
  EXPECT_LT(columns.output_error, plain.output_error);
  EXPECT_LT(gram.output_error, columns.output_error);
  EXPECT_LT(gram.perplexity, plain.perplexity);
}

}  // namespace
}  // namespace vitrine
