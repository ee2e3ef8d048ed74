// The study of indirect objects on two tiny models against torch hooks (tests/experiments/make_ioi.py).
#include "experiments/ioi.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "experiments/data/ioi_published.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

Json cases() {
  std::ifstream file(fs::path(VITRINE_TEST_DATA) / "experiments/ioi.json");
  return parse_json(std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()), "ioi.json");
}

Session open(const std::string& name) {
  CommonOptions options;
  options.model = (fs::path(VITRINE_TEST_DATA) / "golden" / name / "model").string();
  options.precision = "exact";
  options.quiet = true;
  return Session(options);
}

std::vector<IoiPrompt> prompts_of(const Json& json) {
  std::vector<IoiPrompt> prompts;
  for (const Json& of : json.items()) {
    IoiPrompt& prompt = prompts.emplace_back();
    for (const Json& id : of["ids"].items()) prompt.ids.push_back(static_cast<TokenId>(id.integer()));
    prompt.answer = static_cast<TokenId>(of["answer"].integer());
    prompt.wrong = static_cast<TokenId>(of["wrong"].integer());
  }
  return prompts;
}

/// ||ours - theirs|| / ||theirs|| of a table of numbers.
void expect_near(std::span<const double> ours, std::span<const double> theirs, const std::string& what) {
  ASSERT_EQ(ours.size(), theirs.size()) << what;
  double apart = 0.0, size = 0.0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    apart += (ours[i] - theirs[i]) * (ours[i] - theirs[i]);
    size += theirs[i] * theirs[i];
  }
  EXPECT_LE(std::sqrt(apart), 1e-4 * std::sqrt(size)) << what;
}

std::vector<double> flat(const Json& json) {
  std::vector<double> values;
  for (const Json& item : json.items()) {
    if (item.is_number()) values.push_back(item.number());
    for (std::size_t c = 0; item.is_array() && c < item.items().size(); ++c) values.push_back(item.items()[c].number());
  }
  return values;
}

void expect_named(const std::vector<std::pair<std::string, double>>& ours, const Json& theirs, const std::string& what) {
  std::vector<double> a, b;
  for (const auto& [name, value] : ours) {
    ASSERT_TRUE(theirs[name].is_number()) << what << " " << name;
    a.push_back(value);
    b.push_back(theirs[name].number());
  }
  EXPECT_EQ(ours.size(), theirs.members().size()) << what;
  expect_near(a, b, what);
}

TEST(Ioi, AgreesWithTorchHooks) {
  const Json all = cases();
  for (const Json& expected : all.items()) {
    const std::string name = expected["model"].string();
    Session session = open(name);
    const std::vector<std::string> points{"resid_pre", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern"};
    const IoiNumbers numbers = measure_ioi(session, prompts_of(expected["prompts"]), points);
    expect_near(numbers.differences, flat(expected["differences"]), name + " differences");
    expect_named(numbers.lens, expected["lens"], name + " lens");
    expect_named(numbers.parts, expected["parts"], name + " parts");
    expect_near(numbers.matrices.front().values, flat(expected["heads"]), name + " heads");
    for (const std::string& point : points) {
      const auto matrix = std::ranges::find(numbers.matrices, "patched " + point, &IoiMatrix::name);
      ASSERT_NE(matrix, numbers.matrices.end()) << point;
      expect_near(matrix->values, flat(expected["patched"][point]), name + " patched " + point);
    }
  }
}

/// All that modules add is the difference, but for biases of the final norm and the head.
TEST(Ioi, PartsSumToTheLensOfTheLastStream) {
  const Json all = cases();
  for (const Json& expected : all.items()) {
    Session session = open(expected["model"].string());
    const IoiNumbers numbers = measure_ioi(session, prompts_of(expected["prompts"]), {});
    double sum = 0.0;
    for (const auto& [name, value] : numbers.parts) sum += value;
    EXPECT_NEAR(sum, numbers.lens.back().second, 1e-4 * std::max(1.0, std::abs(sum)));
    EXPECT_FALSE(numbers.ablated.empty());
  }
}

TEST(Ioi, RefusesAModelWithoutATokenizer) {
  Session session = open("gpt2");
  EXPECT_THROW(ioi_prompts(session.model()), Error);
}

TEST(Ioi, RefusesUnlikeLengths) {
  Session session = open("gpt2");
  std::vector<IoiPrompt> prompts(2);
  prompts[0] = {"", {5, 6, 7}, 1, 2};
  prompts[1] = {"", {5, 6, 7, 8}, 2, 1};
  const std::vector<std::string> points{"z"};
  EXPECT_THROW(measure_ioi(session, prompts, points), Error);
}

TEST(Ioi, PublishedPlacesAreGpt2Smalls) {
  for (const PublishedNumber& number : published_numbers) {
    EXPECT_LT(number.layer, 12u);
    EXPECT_LT(number.column, number.matrix.find("resid_pre") != std::string_view::npos || number.matrix.find("_out") != std::string_view::npos ? 15u : 12u);
  }
}

}  // namespace
}  // namespace vitrine
