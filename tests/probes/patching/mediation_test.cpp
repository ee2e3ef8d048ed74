#include "probes/patching/mediation.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "core/base/json.h"
#include "experiments/data/mediation_items.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<TokenId> ids_of(const Json& json) {
  std::vector<TokenId> ids;
  for (const Json& id : json.items()) ids.push_back(static_cast<TokenId>(id.integer()));
  return ids;
}

void expect_scores(const CandidateScores& ours, const Json& theirs, const std::string& what) {
  const double first = theirs.items()[0].number(), second = theirs.items()[1].number();
  EXPECT_NEAR(ours.first, first, 1e-5 * std::abs(first)) << what;
  EXPECT_NEAR(ours.second, second, 1e-5 * std::abs(second)) << what;
}

/// What one case of mediation.json asks (tests/probes/patching/make_mediation.py: eager attention of transformers, patterns exchanged).
struct Question {
  explicit Question(const Json& json) : texts{ids_of(json["base_ids"]), ids_of(json["alternative_ids"]), ids_of(json["candidate1"]), ids_of(json["candidate2"])} {
    for (const Json& of : json["sets"].items()) {
      HeadSet& set = sets.emplace_back();
      for (const Json& place : of.items()) set.push_back({static_cast<std::size_t>(place.items()[0].integer()), static_cast<std::size_t>(place.items()[1].integer())});
    }
  }
  MediationTexts texts;
  std::vector<HeadSet> sets;
};

TEST(Mediation, ExchangesPatternsAsTransformersDoes) {
  const fs::path path = fs::path(VITRINE_TEST_DATA) / "probes/patching/mediation.json";
  const Json cases = parse_json(text_of(path), path.string());
  for (const Json& json : cases.items()) {
    TinyModel tiny(json["model"].string());
    const ModelRunner runner{tiny.model, *tiny.ops, tiny.kernel, DType::f32, tiny.workspace, tiny.progress};
    const Question question(json);
    const MediationRuns runs = run_mediation(runner, question.texts, question.sets);
    expect_scores(runs.base, json["base"], "base");
    expect_scores(runs.alternative, json["alternative"], "alternative");
    double moved = 0.0;
    for (std::size_t s = 0; s < question.sets.size(); ++s) {
      expect_scores(runs.indirect[s], json["indirect"].items()[s], "indirect " + std::to_string(s));
      expect_scores(runs.direct[s], json["direct"].items()[s], "direct " + std::to_string(s));
      moved += std::abs(runs.indirect[s].first - runs.base.first);
    }
    EXPECT_GT(moved, 1e-3) << "nothing was exchanged";
  }
}

TEST(Mediation, RefusesWhatItCannotExchange) {
  TinyModel tiny("gpt2");
  const ModelRunner runner{tiny.model, *tiny.ops, tiny.kernel, DType::f32, tiny.workspace, tiny.progress};
  const HeadSet set{{0, 0}};
  EXPECT_THROW(run_mediation(runner, {{1, 2}, {1, 2, 3}, {4}, {5}}, {&set, 1}), Error);
  EXPECT_THROW(run_mediation(runner, {{1, 2}, {1, 2}, {4}, {5}}, {&set, 1}), Error);
  EXPECT_THROW(run_mediation(runner, {{1, 2}, {1, 3}, {}, {5}}, {&set, 1}), Error);
}

fs::path published_folder() {
  const char* data = std::getenv("VITRINE_DATA");
  return data ? fs::path(data) / "fairness/gender_mediation_golden" : fs::path();
}

/// A file's number to six places of its size.
void expect_published(double ours, double theirs, const std::string& what) { EXPECT_NEAR(ours, theirs, 1e-6 * std::max(1.0, std::abs(theirs))) << what; }

/// As the log-probabilities of candidates of one token.
CandidateScores scores_of(double first, double second) { return {std::log(first), std::log(second)}; }

double mean(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()); }

/// Effects of one item from its published probabilities, against the published effects.
double check_item(const MediationItem& item, const std::string& what) {
  const PublishedEffects& published = *item.published;
  const auto& p = published.probabilities;
  MediationRuns runs{scores_of(p[0], p[1]), scores_of(p[2], p[3]), {}, {}};
  for (const auto& row : published.indirect_odds_head) {
    for (const double odds : row) runs.indirect.push_back(scores_of(1.0, odds));
  }
  for (const auto& row : published.direct_odds_head) {
    for (const double odds : row) runs.direct.push_back(scores_of(1.0, odds));
  }
  const MediationEffects effects = effects_of(EffectScale::odds_ratio, runs, {});
  expect_published(effects.total, published.total, what);
  std::size_t set = 0;
  for (std::size_t layer = 0; layer < published.indirect_odds_head.size(); ++layer) {
    for (std::size_t head = 0; head < published.indirect_odds_head[layer].size(); ++head, ++set) {
      expect_published(effects.indirect[set], published.indirect_head[layer][head], what + ", indirect");
      expect_published(effects.direct[set], published.direct_head[layer][head], what + ", direct");
    }
  }
  return effects.total;
}

TEST(PublishedMediation, ArithmeticAgreesWithEveryFile) {
  if (!fs::exists(published_folder())) GTEST_SKIP() << "VITRINE_DATA holds no fairness/gender_mediation_golden";
  std::size_t files = 0, items = 0;
  for (const auto& entry : fs::directory_iterator(published_folder())) {
    if (entry.path().extension() != ".json") continue;
    ++files;
    const std::string name = entry.path().filename().string();
    const MediationSet set = read_mediation_items(text_of(entry.path()), name);
    ASSERT_TRUE(set.published) << name;
    EXPECT_EQ(set.items.size(), set.published->analyzed) << name;
    std::vector<double> totals, indirect, direct;
    for (const MediationItem& item : set.items) {
      totals.push_back(check_item(item, name + ", item " + item.id));
      indirect.push_back(item.published->indirect);
      direct.push_back(item.published->direct);
    }
    items += set.items.size();
    expect_published(mean(totals), set.published->total, name + ", mean total");
    expect_published(mean(indirect), set.published->indirect, name + ", mean indirect");
    expect_published(mean(direct), set.published->direct, name + ", mean direct");
  }
  EXPECT_EQ(files, 20u);
  EXPECT_GT(items, 1000u);
}

TEST(PublishedMediation, FilterKeepsWhatWasPublished) {
  if (!fs::exists(published_folder())) GTEST_SKIP() << "VITRINE_DATA holds no fairness/gender_mediation_golden";
  std::size_t compared = 0;
  for (const std::string stem : {"gpt2_*_dev", "gpt2_*_test", "distilgpt2_*_dev", "distilgpt2_*_test", "bls_gpt2_*", "bergsma_gpt2_*", "bls_distilgpt2_*", "bergsma_distilgpt2_*"}) {
    const auto file = [&](const char* word) {
      std::string name = "attention_intervention_" + stem + ".json";
      name.replace(name.find('*'), 1, word);
      return read_mediation_items(text_of(published_folder() / name), name);
    };
    const MediationSet whole = file("unfiltered"), filtered = file("filtered");
    std::vector<double> totals;
    for (const MediationItem& item : whole.items) totals.push_back(check_item(item, stem));
    const PublishedFilter filter = published_filter(totals);
    EXPECT_EQ(filter.positive, filtered.published->aligned) << stem;
    expect_published(filter.threshold, filtered.published->threshold.value(), stem);
    std::vector<std::string> kept, theirs;
    double total = 0.0;
    for (std::size_t i = 0; i < totals.size(); ++i) {
      if (!filter.kept[i]) continue;
      kept.push_back(whole.items[i].base + whole.items[i].candidate1);
      total += totals[i];
    }
    for (const MediationItem& item : filtered.items) theirs.push_back(item.base + item.candidate1);
    EXPECT_EQ(kept, theirs) << stem;
    expect_published(total / static_cast<double>(kept.size()), filtered.published->total, stem);
    ++compared;
  }
  EXPECT_EQ(compared, 8u);
}

TEST(PublishedMediation, WinoBiasSentencesBecomeTheirItems) {
  const char* data = std::getenv("VITRINE_DATA");
  if (!data || !fs::exists(published_folder())) GTEST_SKIP() << "VITRINE_DATA holds no fairness/gender_mediation_golden";
  for (const std::string split : {"dev", "test"}) {
    const fs::path sentences = fs::path(data) / "fairness/winobias" / ("pro_stereotyped_type1.txt." + split);
    const MediationSet ours = read_mediation_items(text_of(sentences), "winobias");
    const MediationSet theirs = read_mediation_items(text_of(published_folder() / ("attention_intervention_gpt2_unfiltered_" + split + ".json")), "published");
    ASSERT_EQ(ours.items.size(), theirs.items.size()) << split;
    const auto joined = [](const MediationItem& item) {  // the published texts are tokens joined by spaces
      std::string text = item.base + "|" + item.alternative + "|" + item.candidate1 + "|" + item.candidate2;
      std::erase(text, ' ');
      return text;
    };
    for (std::size_t i = 0; i < ours.items.size(); ++i) EXPECT_EQ(joined(ours.items[i]), joined(theirs.items[i])) << split;
  }
}

TEST(MediationItems, RefusesBrokenFiles) {
  for (const char* text : {"", "{}", "{\"results\": [{}]}", "base,alternative\na,b\n", "base,alternative,candidate1,candidate2\na,b,,d\n", "1 [The driver] slept.\n"}) {
    EXPECT_THROW(read_mediation_items(text, "test"), Error) << text;
  }
}

TEST(MediationItems, TemplatesPartAtTheirLastWord) {
  const MediationSet set = template_mediation_items();
  EXPECT_GE(set.items.size(), 120u);
  for (const MediationItem& item : set.items) {
    EXPECT_TRUE(item.base.ends_with(" she") && item.alternative.ends_with(" he")) << item.base;
    EXPECT_EQ(item.base.substr(0, item.base.size() - 3), item.alternative.substr(0, item.alternative.size() - 2));
  }
}

}  // namespace
}  // namespace vitrine
