// Every analysis of the table, whatever it is: described, refusing in one line, and running on tiny models of every family.
#include <gtest/gtest.h>

#include <set>

#include "tests/probes/analyses/analysis_runs.h"

namespace vitrine {
namespace {

/// Settings that suit models and texts of a dozen tokens.
std::vector<std::string> small_settings(const Analysis& analysis) {
  static const std::map<std::string_view, std::vector<std::string>> settings{{"head_roles", {"half=5", "sequences=2"}},
                                                                             {"name_movers", {"target=#5", "name=1"}},
                                                                             {"sink_mass", {"tokens=5"}},
                                                                             {"linear_probe", {"label=even_position", "folds=3"}},
                                                                             {"qk_ov_circuits", {"tokens=3", "top=2"}},
                                                                             {"composition", {"draws=2"}},
                                                                             {"similarity", {"draws=40"}},
                                                                             {"tuned_lens", {"steps=2"}},
                                                                             {"sparse_autoencoder", {"train=8", "steps=20"}}};
  const auto found = settings.find(analysis.name);
  return found == settings.end() ? std::vector<std::string>() : found->second;
}

bool is_of_recordings(const Analysis& analysis) { return analysis.of == AnalysisOf::recording || analysis.of == AnalysisOf::recordings; }

const std::vector<std::vector<TokenId>> five_texts{
    {3, 17, 42, 5, 5, 9, 17, 42}, {9, 9, 1, 22, 9, 9, 1, 22, 11}, {4, 5, 6, 7, 8, 4, 5}, {30, 31, 3, 30, 31, 3}, {7, 6, 5, 4, 3, 2, 8}};

/// A tiny model with its recording, run by whatever analysis.
struct Specimen {
  explicit Specimen(const std::string& name) : tiny(name), file("analysis_table") {
    for (std::size_t s = 0; s < five_texts.size(); ++s) {
      const bool pair = !tiny.model.spec.encoder.empty();
      if (pair) tiny.sources.push_back(five_texts[(s + 1) % five_texts.size()]);
      texts.push_back({five_texts[s], {}, pair ? tiny.sources.back() : std::vector<TokenId>()});
    }
    RecorderOptions options;
    options.path = file.path;
    options.kv_format = DType::f32;
    options.longest_sequence = 9;
    options.points = select_points(tiny.model.spec, std::vector<std::string>{"default"});
    record(tiny, five_texts, std::move(options))->finish();
    recording = Recording::open(file.path);
  }

  AnalysisResult run(const Analysis& analysis, std::span<const std::string> settings) {
    const Recording* twice[] = {recording.get(), recording.get()};
    if (is_of_recordings(analysis))
      return analysed(analysis.name, tiny, std::span<const Recording* const>(twice, analysis.of == AnalysisOf::recording ? 1 : 2), settings);
    return analysed(analysis.name, tiny, std::span<const ModelText>(analysis.of == AnalysisOf::weights ? std::vector<ModelText>() : texts), settings);
  }

  TinyModel tiny;
  ScratchFile file;
  std::vector<ModelText> texts;
  std::unique_ptr<Recording> recording;
};

TEST(AnalysisTable, DescribesItself) {
  std::set<std::string_view> names;
  for (const Analysis* analysis : all_analyses()) {
    SCOPED_TRACE(analysis->name);
    EXPECT_TRUE(names.insert(analysis->name).second);
    EXPECT_FALSE(analysis->summary.empty());
    EXPECT_FALSE(analysis->source.empty());
    EXPECT_TRUE(analysis->example.starts_with("vitrine analyse " + std::string(analysis->name) + " ")) << analysis->example;
    std::set<std::string_view> settings;
    for (const AnalysisOption& option : analysis->options) {
      EXPECT_TRUE(settings.insert(option.name).second) << option.name;
      EXPECT_FALSE(option.meaning.empty()) << option.name;
    }
  }
}

TEST(AnalysisTable, RefusesBadSettingsInOneLine) {
  Specimen specimen("llama");
  for (const Analysis* analysis : all_analyses()) {
    const auto expect_refused = [&](const std::string& setting) {
      std::vector<std::string> settings = small_settings(*analysis);
      settings.push_back(setting);
      try {
        specimen.run(*analysis, settings);
        ADD_FAILURE() << analysis->name << " took " << setting;
      } catch (const Error& error) {
        EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
      }
    };
    expect_refused("no_such_setting=1");
    expect_refused("nothing");
    for (const AnalysisOption& option : analysis->options) expect_refused(std::string(option.name) + "=/no/such/value");
  }
}

void expect_shaped(const AnalysisResult& result) {
  EXPECT_FALSE(result.tables.empty());
  for (const AnalysisTable& table : result.tables) {
    EXPECT_FALSE(table.title.empty());
    EXPECT_FALSE(table.rows.empty()) << table.title;
  }
  for (const AnalysisGrid& grid : result.grids) EXPECT_FALSE(grid.unit.empty()) << grid.title;
  EXPECT_NO_THROW(to_json(result).dump());
}

/// Which of the golden models an analysis may refuse, in one clear line; every other model it takes.
class EveryFamily : public testing::TestWithParam<std::string> {};

TEST_P(EveryFamily, RunsOrIsRefusedInOneLine) {
  Specimen specimen(GetParam());
  std::size_t ran = 0;
  for (const Analysis* analysis : all_analyses()) {
    SCOPED_TRACE(analysis->name);
    try {
      expect_shaped(specimen.run(*analysis, small_settings(*analysis)));
      ++ran;
    } catch (const Error& error) {
      const std::string_view line = error.what();
      EXPECT_EQ(line.find('\n'), std::string_view::npos) << line;
      EXPECT_NE(line.find("expected"), std::string_view::npos) << line;
      EXPECT_NE(specimen.tiny.model.spec.architecture, "llama") << line;  // which has all that any analysis asks for
    }
  }
  EXPECT_GE(ran, 5u);
}

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  const std::filesystem::path golden = std::filesystem::path(VITRINE_TEST_DATA) / "golden";
  for (const char* group : {"", "decoders", "encoders", "encoder_decoders"}) {
    for (const auto& entry : std::filesystem::directory_iterator(golden / group)) {
      if (std::filesystem::exists(entry.path() / "model")) names.push_back((std::filesystem::path(group) / entry.path().filename()).string());
    }
  }
  std::ranges::sort(names);
  return names;
}

std::string case_name(const testing::TestParamInfo<std::string>& tested) {
  std::string name = tested.param;
  std::ranges::replace(name, '/', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Golden, EveryFamily, testing::ValuesIn(golden_models()), case_name);

}  // namespace
}  // namespace vitrine
