// Analyses against analyses.json, which make_analyses.py wrote, and by what must hold for every model.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/layered_flow.h"
#include "probes/lens_gradient.h"
#include "probes/linear_model.h"
#include "probes/similarity.h"
#include "probes/sparse_autoencoder.h"
#include "probes/tuned_lens.h"
#include "tests/probes/analyses/analysis_runs.h"

namespace vitrine {
namespace {

const Json& expected() {
  static const Json json = [] {
    std::ifstream file(std::filesystem::path(VITRINE_TEST_DATA) / "probes" / "analyses" / "analyses.json");
    return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "analyses.json");
  }();
  return json;
}

std::vector<double> numbers(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list.items()) values.push_back(value.number());
  return values;
}

ModelText golden_text() {
  ModelText text;
  for (const Json& id : expected()["ids"].items()) text.ids.push_back(static_cast<TokenId>(id.integer()));
  return text;
}

class AgainstTransformers : public testing::TestWithParam<const char*> {
 protected:
  TinyModel tiny_{GetParam()};
  const Json& of_ = expected()[GetParam()];
};
INSTANTIATE_TEST_SUITE_P(Models, AgainstTransformers, testing::Values("gpt2", "llama"));

TEST_P(AgainstTransformers, LogitLensReadsEveryLayer) {
  const ModelText text = golden_text();
  const std::string settings[] = {"positions=1000"};
  const AnalysisResult result = analysed("logit_lens", tiny_, std::span(&text, 1), settings);
  const Json& lens = of_["lens"];
  const std::size_t layers = tiny_.model.spec.blocks.size() + 1, rows = text.ids.size();
  ASSERT_EQ(result.grids[0].values.size(), layers * rows);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const std::vector<double> kl = numbers(lens["kl"].items()[layer]), log_probability = numbers(lens["log_probability"].items()[layer]),
                              probability = numbers(lens["probability"].items()[layer]), rank = numbers(lens["rank"].items()[layer]);
    for (std::size_t r = 0; r < rows; ++r) {
      EXPECT_NEAR(result.grids[0].values[layer * rows + r], kl[r], 1e-5 * (1.0 + kl[r])) << layer << " " << r;
      if (r + 1 < rows) {
        EXPECT_NEAR(result.grids[1].values[layer * rows + r], log_probability[r], 1e-5) << layer << " " << r;
        EXPECT_EQ(result.grids[3].values[layer * rows + r], rank[r]) << layer << " " << r;
      } else {
        EXPECT_TRUE(std::isnan(result.grids[3].values[layer * rows + r]));
      }
      EXPECT_NEAR(result.grids[2].values[layer * rows + r], probability[r], 1e-5) << layer << " " << r;
      EXPECT_EQ(result.tables[1].rows[layer][r + 1].string(), "#" + lens["top"].items()[layer].items()[r].dump()) << layer << " " << r;
    }
  }
  for (std::size_t r = 0; r < rows; ++r) EXPECT_EQ(result.grids[0].values[(layers - 1) * rows + r], 0.0);  // bit by bit the model's own
}

TEST_P(AgainstTransformers, HeadRolesAreMeansOverDiagonals) {
  const std::string settings[] = {"half=" + expected()["half"].dump(), "sequences=" + expected()["sequences"].dump()};
  const AnalysisResult result = analysed("head_roles", tiny_, std::span<const ModelText>(), settings);
  const Json::Array& heads = of_["roles"].items();
  ASSERT_EQ(result.tables[1].rows.size(), heads.size());  // with bounds, by layer and head
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const std::vector<double> roles = numbers(heads[h]);
    for (std::size_t role = 0; role < roles.size(); ++role) EXPECT_NEAR(result.tables[1].rows[h][3 * role + 1].number(), roles[role], 1e-5) << h << " " << role;
  }
}

TEST_P(AgainstTransformers, CopyingIsThatOfWholeMatrices) {
  const AnalysisResult result = analysed("ov_copying", tiny_, std::span<const ModelText>(), {});
  const std::vector<double> stream = numbers(of_["stream"]), full = numbers(of_["full"]);
  ASSERT_EQ(result.grids[0].values.size(), stream.size());
  for (std::size_t h = 0; h < stream.size(); ++h) {
    EXPECT_NEAR(result.grids[0].values[h], stream[h], 1e-4) << h;
    EXPECT_NEAR(result.grids[1].values[h], full[h], 1e-4) << h;
  }
}

TEST_P(AgainstTransformers, CompositionIsThatOfWholeMatrices) {
  for (const char* kind : {"q", "k", "v"}) {
    const std::string settings[] = {"kind=" + std::string(kind), "draws=2"};
    const AnalysisResult result = analysed("composition", tiny_, std::span<const ModelText>(), settings);
    const std::size_t heads = result.grids[0].row_labels.size();
    std::size_t defined = 0;
    for (const Json& pair : of_["composition"][kind].items()) {
      const auto earlier = static_cast<std::size_t>(pair.items()[0].integer()), later = static_cast<std::size_t>(pair.items()[1].integer());
      EXPECT_NEAR(result.grids[0].values[earlier * heads + later], pair.items()[2].number(), 1e-5) << kind << earlier << " " << later;
      ++defined;
    }
    EXPECT_EQ(std::ranges::count_if(result.grids[0].values, [](double value) { return std::isfinite(value); }), static_cast<std::ptrdiff_t>(defined));
  }
}

double value_of(const Json& parts, const std::string& name) {
  for (const Json& part : parts.items()) {
    if (part["part"].string() == name) return part["logit"].items().front().number();
  }
  ADD_FAILURE() << "no part " << name;
  return 0.0;
}

/// Of the parts whose names begin so.
double sum_of(const Json& parts, const std::string& prefix) {
  double sum = 0.0;
  for (const Json& part : parts.items()) {
    if (part["part"].string().starts_with(prefix)) sum += part["logit"].items().front().number();
  }
  return sum;
}

TEST(NameMovers, SumOverAllKeysToTheDirectPartOfTheHead) {
  for (const char* name : {"gpt2", "llama", "decoders/gemma2", "decoders/gpt_neox", "decoders/qwen3", "encoder_decoders/t5"}) {
    SCOPED_TRACE(name);
    TinyModel tiny(name);
    ModelText text{{5, 6, 7, 11, 9}, {}, {}};
    if (!tiny.model.spec.encoder.empty()) text.source = {4, 8, 7};
    const std::string asked[] = {"target=#3", "against=#12"};
    const AnalysisResult direct = analysed("direct_logit_attribution", tiny, std::span(&text, 1), asked);
    std::vector<double> sums;
    std::vector<double> attention;
    for (std::size_t key = 0; key < text.ids.size(); ++key) {
      const std::string settings[] = {"target=#3", "against=#12", "name=" + std::to_string(key)};
      const AnalysisResult moved = analysed("name_movers", tiny, std::span(&text, 1), settings);
      sums.resize(moved.grids[0].values.size());
      for (std::size_t h = 0; h < sums.size(); ++h) sums[h] += moved.grids[0].values[h];
      attention.resize(sums.size());
      for (std::size_t h = 0; h < moved.tables[0].rows.size(); ++h) attention[0] += moved.tables[0].rows[h][1].number();
    }
    EXPECT_NEAR(attention[0], static_cast<double>(sums.size()), 1e-4);
    ASSERT_EQ(sums.size(), direct.grids[0].values.size());
    for (std::size_t h = 0; h < sums.size(); ++h) EXPECT_NEAR(sums[h], direct.grids[0].values[h], 1e-5 * (1 + std::abs(sums[h]))) << h;
  }
}

TEST(NameMovers, LookForTheNameInTheText) {
  TinyModel tiny("llama");
  const ModelText text{{5, 6, 7, 11, 6, 9}, {}, {}};
  const std::string by_token[] = {"target=#6"}, by_place[] = {"target=#6", "name=4"}, absent[] = {"target=#8"};
  EXPECT_EQ(analysed("name_movers", tiny, std::span(&text, 1), by_token).grids[0].values, analysed("name_movers", tiny, std::span(&text, 1), by_place).grids[0].values);
  EXPECT_THROW(analysed("name_movers", tiny, std::span(&text, 1), absent), Error);
}

TEST(DirectLogitAttribution, SumsToTheLogitInEveryFamily) {
  std::size_t attributed = 0;
  for (const char* group : {"decoders", "encoders", "encoder_decoders", "."}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(VITRINE_TEST_DATA) / "golden" / group)) {
      if (!std::filesystem::exists(entry.path() / "model")) continue;
      TinyModel tiny(std::string(group) + "/" + entry.path().filename().string());
      ModelText text{{5, 6, 7, 11, 9}, {}, {}};
      if (!tiny.model.spec.encoder.empty()) text.source = {4, 8, 7};
      const std::string settings[] = {"target=#3", "against=#12"};
      AnalysisResult result;
      try {
        result = analysed("direct_logit_attribution", tiny, std::span(&text, 1), settings);
      } catch (const Error&) {
        continue;  // which models are refused is analysis_table_test's
      }
      ++attributed;
      const std::string where = entry.path().filename().string();
      const double logit = result.tables[0].rows[0][2].number(), sum = result.tables[0].rows[0][3].number();
      double size = 0.0;
      const Json &modules = result.extra["modules"], &heads = result.extra["heads"], &neurons = result.extra["neurons"];
      for (const Json& part : modules.items()) size += std::abs(part["logit"].items().front().number());
      EXPECT_NEAR(sum, logit, 1e-4 * std::max(std::abs(logit), 0.01 * size)) << where;
      for (std::size_t block = 0; block < tiny.model.spec.blocks.size(); ++block) {
        const std::string number = std::to_string(block);
        const double attention = value_of(modules, number + "_attn_out");
        EXPECT_NEAR(sum_of(heads, "L" + number + "H") + value_of(heads, "L" + number + " bias"), attention,
                    1e-4 * (std::abs(attention) + 0.01 * size))
            << where << block;
        if (tiny.model.spec.blocks[block].cross) {
          const double cross = value_of(modules, number + "_cross_attn_out");
          EXPECT_NEAR(sum_of(heads, "L" + number + " cross"), cross, 1e-4 * (std::abs(cross) + 0.01 * size)) << where << block;
        }
        if (neurons.items().empty()) continue;
        const double mlp = value_of(modules, number + "_mlp_out");
        EXPECT_NEAR(sum_of(neurons, "L" + number + "N") + value_of(neurons, "L" + number + " bias"), mlp, 1e-4 * (std::abs(mlp) + 0.01 * size))
            << where << block;
      }
    }
  }
  EXPECT_GE(attributed, 45u);
}

TEST(LayeredFlow, IsNetworkxs) {
  const Json& of = expected()["flow"];
  LayeredGraph graph;
  for (const Json& layer : of["capacity"].items()) graph.capacity.push_back(numbers(layer));
  graph.width = of["flow"].items().size();
  for (std::size_t i = 0; i < graph.width; ++i) {
    const std::vector<double> row = numbers(of["flow"].items()[i]);
    for (std::size_t j = 0; j < graph.width; ++j) EXPECT_NEAR(maximum_flow(graph, i, j), row[j], 1e-10) << i << " " << j;
  }
}

Matrix matrix(const Json& list, std::size_t rows) {
  const std::vector<double> values = numbers(list);
  Matrix out(rows, values.size() / rows);
  out.numbers = values;
  return out;
}

TEST(Similarity, IsNumpys) {
  const Json& of = expected()["similarity"];
  const auto rows = static_cast<std::size_t>(of["rows"].integer());
  const Matrix x = matrix(of["x"], rows), y = matrix(of["y"], rows), k = product_with_transposed(x, x), l = product_with_transposed(y, y);
  EXPECT_NEAR(alignment(centered(k), centered(l)), of["cka"].number(), 1e-10);
  EXPECT_NEAR(alignment(corrected(k), corrected(l)), of["debiased"].number(), 1e-10);
  EXPECT_NEAR(mean_correlation(leading_directions(x, 0.99), leading_directions(y, 0.99)), of["svcca"].number(), 1e-8);
  EXPECT_NEAR(alignment(centered(k), centered(k)), 1.0, 1e-12);
}

TEST(LinearModel, IsSklearns) {
  const Json& of = expected()["linear"];
  const Matrix x = matrix(of["x"], static_cast<std::size_t>(of["rows"].integer()));
  const std::vector<double> labels = numbers(of["labels"]), targets = numbers(of["numbers"]);
  for (const Json& fit : of["fits"].items()) {
    const double penalty = fit["penalty"].number();
    const LinearModel logistic = fit_logistic(x, labels, penalty), ridge = fit_ridge(x, targets, penalty);
    const std::vector<double> of_logistic = numbers(fit["logistic"]), of_ridge = numbers(fit["ridge"]);
    for (std::size_t c = 0; c < x.columns; ++c) {
      EXPECT_NEAR(logistic.weights[c], of_logistic[c], 1e-5) << penalty << " " << c;
      EXPECT_NEAR(ridge.weights[c], of_ridge[c], 1e-9) << penalty << " " << c;
    }
    EXPECT_NEAR(logistic.intercept, of_logistic.back(), 1e-5);
    EXPECT_NEAR(ridge.intercept, of_ridge.back(), 1e-9);
    const LinearModel again = fit_logistic(x, labels, penalty, logistic);  // from where it is, nothing moves
    EXPECT_NEAR(again.intercept, logistic.intercept, 1e-6);
  }
}

TEST(LensGradient, IsTorchs) {
  for (const auto& [name, of] : expected()["gradient"].members()) {
    TinyModel tiny(name);
    const KvFormat format = DType::f32;
    const ModelRunner runner{tiny.model, *tiny.ops, tiny.kernel, format, tiny.workspace, tiny.progress};
    FloatMatrix x(3, tiny.model.spec.width), other = x;
    for (std::size_t r = 0; r < x.rows; ++r) {
      for (std::size_t c = 0; c < x.columns; ++c) {
        x(r, c) = static_cast<float>(1.5 * std::sin(static_cast<double>(r * 7 + c * 3)) + 0.01 * static_cast<double>(c));
        other(r, c) = static_cast<float>(2.0 * std::cos(static_cast<double>(r * 5 + c * 2)));
      }
    }
    const FloatMatrix final = lens_logits(runner, other), gradient = lens_gradient(runner, transposed_head(tiny.model), x, final);
    const std::vector<double> kl = divergences(tiny.pool, final, lens_logits(runner, x)), of_kl = numbers(of["kl"]),
                              of_gradient = numbers(of["gradient"]);
    double off = 0.0, size = 0.0;
    for (std::size_t i = 0; i < of_gradient.size(); ++i) {
      off += std::pow(gradient.numbers[i] - of_gradient[i], 2.0);
      size += std::pow(of_gradient[i], 2.0);
    }
    EXPECT_LT(std::sqrt(off / size), 1e-4) << name;
    for (std::size_t r = 0; r < kl.size(); ++r) EXPECT_NEAR(kl[r], of_kl[r], 1e-5 * (1.0 + of_kl[r])) << name;
  }
}

TEST(TunedLens, ClosedFormFindsAnAffineMapAndComesBackFromAFile) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  FloatMatrix h(200, 5), map(5, 5), last(200, 5);
  for (FloatMatrix* matrix : {&h, &map}) {
    for (float& number : matrix->numbers) number = normal(random);
  }
  for (std::size_t r = 0; r < h.rows; ++r) {
    for (std::size_t out = 0; out < 5; ++out) {
      last(r, out) = h(r, out) + 0.5f * static_cast<float>(out);
      for (std::size_t in = 0; in < 5; ++in) last(r, out) += map(out, in) * h(r, in);
    }
  }
  TunedLens lens{{fit_translator(h, last, 1e-9)}};
  for (std::size_t i = 0; i < 25; ++i) EXPECT_NEAR(lens.layers[0].weight.numbers[i], map.numbers[i], 1e-4);
  const ScratchFile scratch("tuned_lens");
  const auto path = scratch.path.parent_path() / "lens.safetensors";
  write_tuned_lens(lens, path);
  const TunedLens again = read_tuned_lens(path, 1, 5);
  EXPECT_EQ(again.layers[0].weight.numbers, lens.layers[0].weight.numbers);
  EXPECT_EQ(again.layers[0].bias, lens.layers[0].bias);
  EXPECT_THROW(read_tuned_lens(path, 2, 5), Error);
  EXPECT_THROW(read_tuned_lens(path, 1, 6), Error);
}

TEST(TunedLens, StepsLowerTheDivergenceThatTheyFollow) {
  for (const char* name : {"gpt2", "llama"}) {
    TinyModel tiny(name);
    const std::vector<ModelText> texts(
        2, ModelText{{5, 6, 7, 11, 9, 3, 1, 40, 2, 8, 30, 31, 12, 13, 44, 4}, {}, {}});  // fitted and measured on one text
    double before = 0.0, after = 0.0;
    for (const char* steps : {"steps=0", "steps=200"}) {
      const std::string settings[] = {steps, "penalty=1", "rate=0.003"};
      const AnalysisResult result = analysed("tuned_lens", tiny, texts, settings);
      for (const std::vector<Json>& row : result.tables[0].rows) (std::string(steps) == "steps=0" ? before : after) += row[2].number();
    }
    EXPECT_LT(after, 0.5 * before) << name;
  }
}

TEST(SparseAutoencoder, IsSaelensDefinition) {
  const Json& of = expected()["autoencoders"];
  const std::filesystem::path folder = std::filesystem::path(VITRINE_TEST_DATA) / "probes" / "analyses" / "sae";
  const Matrix rows = matrix(of["x"], static_cast<std::size_t>(of["rows"].integer()));
  FloatMatrix x(rows.rows, rows.columns);
  std::ranges::copy(rows.numbers, x.numbers.begin());
  const ScratchFile scratch("autoencoder");
  for (const char* name : {"relu", "topk", "jumprelu"}) {
    const SparseAutoencoder read = read_sparse_autoencoder(folder / name);
    EXPECT_EQ(read.hook, "blocks.1.hook_resid_pre");
    write_sparse_autoencoder(read, scratch.path.parent_path() / name);
    const SparseAutoencoder again = read_sparse_autoencoder(scratch.path.parent_path() / name);
    for (const SparseAutoencoder* tested : {&read, &again}) {
      const FloatMatrix activations = tested->encode(x), rebuilt = tested->decode(activations);
      const std::vector<double> of_activations = numbers(of[name]["activations"]), of_rebuilt = numbers(of[name]["rebuilt"]);
      ASSERT_EQ(activations.numbers.size(), of_activations.size()) << name;
      for (std::size_t i = 0; i < of_activations.size(); ++i) EXPECT_NEAR(activations.numbers[i], of_activations[i], 1e-5) << name << " " << i;
      for (std::size_t i = 0; i < of_rebuilt.size(); ++i) EXPECT_NEAR(rebuilt.numbers[i], of_rebuilt[i], 2e-5) << name << " " << i;
    }
  }
  EXPECT_THROW(read_sparse_autoencoder(folder / "none"), Error);
}

/// Rows that are sums of few planted directions; the dictionary must find each.
TEST(SparseAutoencoder, FindsAPlantedDictionary) {
  constexpr std::size_t width = 16, planted = 24, rows = 3000;
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  FloatMatrix directions(planted, width), x(rows, width);
  for (float& number : directions.numbers) number = normal(random);
  for (std::size_t f = 0; f < planted; ++f) {
    const float length = std::sqrt(std::inner_product(&directions(f, 0), &directions(f, 0) + width, &directions(f, 0), 0.0f));
    for (std::size_t c = 0; c < width; ++c) directions(f, c) /= length;
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (int active = 0; active < 2; ++active) {
      const std::size_t f = random() % planted;
      const float size = 1.0f + static_cast<float>(random() % 1000) / 1000.0f;
      for (std::size_t c = 0; c < width; ++c) x(r, c) += size * directions(f, c) + 0.3f;
    }
  }
  for (const std::size_t k : {std::size_t{0}, std::size_t{2}}) {
    const SparseAutoencoder found =
        train_sparse_autoencoder(x, {.features = 2 * planted, .steps = 3000, .batch = 128, .k = k, .l1 = 0.5, .rate = 5e-3}, [](std::size_t) {});
    std::size_t recovered = 0;
    for (std::size_t f = 0; f < planted; ++f) {
      float best = 0.0f;
      for (std::size_t g = 0; g < found.features(); ++g)
        best = std::max(best, std::inner_product(&directions(f, 0), &directions(f, 0) + width, &found.decoder(g, 0), 0.0f));
      recovered += best > 0.95f ? 1 : 0;
    }
    EXPECT_GE(recovered, planted - 2) << "k " << k;
  }
}

}  // namespace
}  // namespace vitrine
