// Models whose circuits are known (scripts/make-constructed-models): every method has to find what was built in.
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/json.h"
#include "probes/patching/attribution_patching.h"
#include "probes/patching/mediation.h"
#include "probes/patching/sweep.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// What the construction makes of these numbers up to the norms, which are linear to 1e-6.
constexpr double tolerance = 1e-4;

struct Constructed {
  explicit Constructed(const fs::path& folder) : pool(2, initialize_worker), ops(make_cpu_ops(Precision::exact, pool)), kernel(choose_attention_kernel("auto")), model(load_model(folder)) {
    std::ifstream file(folder / "truth.json");
    truth = parse_json(std::string{std::istreambuf_iterator<char>(file), {}}, "truth.json");
  }
  ModelRunner runner() { return {model, *ops, kernel, kv_format, workspace, progress}; }
  std::vector<TokenId> ids(const Json& json) const {
    std::vector<TokenId> ids;
    for (const Json& id : json.items()) ids.push_back(static_cast<TokenId>(id.integer()));
    return ids;
  }
  PatchQuestion question(std::string_view which) const {
    PatchQuestion question{{ids(truth[which]), {}, {}}, static_cast<TokenId>(truth["answer"].integer()), static_cast<TokenId>(truth["wrong"].integer()), 0};
    question.position = question.text.ids.size() - 1;
    return question;
  }
  HeadSet circuit() const {
    HeadSet set;
    for (const Json& head : truth["heads"].items()) set.push_back({static_cast<std::size_t>(head.items()[0].integer()), static_cast<std::size_t>(head.items()[1].integer())});
    return set;
  }
  double of_head(std::string_view table, const HeadIndex& place) const { return truth[table].items()[place.layer].items()[place.head].number(); }

  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  KernelChoice kernel;
  Model model;
  Json truth;
  KvFormat kv_format = DType::f32;
  Workspace workspace;
  Run progress;
};

/// Sets what some heads put out to 0.
class SilentHeads : public Observer {
 public:
  explicit SilentHeads(HeadSet heads) : heads_(std::move(heads)) {}
  Access access(const ProbePoint& point) const override { return point.site == Site::z ? Access::write : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef>, TensorView<float, 3> values) override {
    for (const HeadIndex& place : heads_) {
      for (std::size_t r = 0; static_cast<int>(place.layer) == point.block && r < values.extent(0); ++r) std::fill_n(&values(r, place.head, 0), values.extent(2), 0.0f);
    }
  }

 private:
  HeadSet heads_;
};

class ConstructedModels : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string(VITRINE_PYTHON).find("NOTFOUND") != std::string::npos) GTEST_SKIP() << "no python3 to run scripts/make-constructed-models";
    folder_ = fs::temp_directory_path() / ("constructed_" + std::to_string(getpid()));
    const std::string command = std::string(VITRINE_PYTHON) + " " + VITRINE_CONSTRUCTED + " " + folder_.string() + " > /dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
    for (const char* name : {"induction", "mediator", "redundant", "suppressor"}) models_.push_back(std::make_unique<Constructed>(folder_ / name));
  }
  void TearDown() override {
    models_.clear();
    fs::remove_all(folder_);
  }

  static double difference(Constructed& of, const HeadSet& silent) {
    const PatchQuestion question = of.question("clean");
    SilentHeads observer(silent);
    Observer* observers[] = {&observer};
    double difference = 0.0;
    ForwardSinks sinks{.logit_rows = LogitRows::last};
    sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) {
      difference = logits(0, static_cast<std::size_t>(question.answer)) - logits(0, static_cast<std::size_t>(question.wrong));
    };
    run_texts(of.runner(), {&question.text, 1}, observers, sinks);
    return difference;
  }

  fs::path folder_;
  std::vector<std::unique_ptr<Constructed>> models_;
};

TEST_F(ConstructedModels, AblationShowsHeadsAndTheirStandIns) {
  for (auto& of : models_) {
    const std::string name = of->truth["name"].string();
    const double clean = difference(*of, {});
    EXPECT_NEAR(clean, of->truth["logit_difference"]["clean"].number(), tolerance) << name;
    for (const HeadIndex& place : all_heads(of->model.spec)) {
      EXPECT_NEAR(difference(*of, {place}) - clean, of->of_head("zero_ablation", place), tolerance) << name << " " << place.layer << "." << place.head;
    }
    EXPECT_NEAR(difference(*of, of->circuit()) - clean, of->truth["joint_zero_ablation"].number(), tolerance) << name;
  }
}

TEST_F(ConstructedModels, PatchingBringsBackWhatHeadsCarry) {
  for (auto& of : models_) {
    const std::string name = of->truth["name"].string();
    const SweepPoint point = parse_sweep(of->model.spec, "z", "head");
    const PatchQuestion clean = of->question("clean"), corrupt = of->question("corrupt");
    const PatchSweep sweep = run_sweep(of->runner(), corrupt, run_source(of->runner(), clean, point), point, first_difference(clean.text, corrupt.text));
    EXPECT_NEAR(sweep.base, of->truth["logit_difference"]["corrupt"].number(), tolerance) << name;
    EXPECT_NEAR(sweep.source, of->truth["logit_difference"]["clean"].number(), tolerance) << name;
    for (const HeadIndex& place : all_heads(of->model.spec)) {
      const double patched = sweep.patched[place.layer * sweep.columns + place.head];
      EXPECT_NEAR((patched - sweep.base) / (sweep.source - sweep.base), of->of_head("patch", place), tolerance) << name << " " << place.layer << "." << place.head;
    }
  }
}

/// Slopes between both texts see what patching does; the derivative at one of them misses where an MLP saturates or a softmax is tied.
TEST_F(ConstructedModels, SlopesFindWhatLiesBetweenTheTexts) {
  for (auto& of : models_) {
    const std::string name = of->truth["name"].string();
    const SweepPoint point = parse_sweep(of->model.spec, "z", "head");
    const PatchQuestion clean = of->question("clean"), corrupt = of->question("corrupt");
    const PatchSweep at_one = attribution_patch(of->runner(), corrupt, run_source(of->runner(), clean, point), point),
                     integrated = attribution_patch_between(of->runner(), corrupt, clean, point, PatchSlope::integrated),
                     rescaled = attribution_patch_between(of->runner(), corrupt, clean, point, PatchSlope::rescaled);
    for (const HeadIndex& place : all_heads(of->model.spec)) {
      const auto share = [&](const PatchSweep& sweep) { return (sweep.patched[place.layer * sweep.columns + place.head] - sweep.base) / (sweep.source - sweep.base); };
      const double built = of->of_head("patch", place);
      const std::string where = name + " " + std::to_string(place.layer) + "." + std::to_string(place.head);
      const bool through_softmax = name == "induction" && place.layer == 0;
      const double first = name == "redundant" ? 0.0 : through_softmax ? 6 * built : built;  // a tied softmax is steeper than the way to its end
      EXPECT_NEAR(share(at_one), first, tolerance) << where;
      EXPECT_NEAR(share(integrated), built, through_softmax ? 0.01 : tolerance) << where;
      EXPECT_NEAR(share(rescaled), built, tolerance) << where;
    }
  }
}

TEST_F(ConstructedModels, MediationSplitsHeadAndDirectPath) {
  for (auto& of : models_) {
    const Json& truth = of->truth["mediation"];
    if (truth.is_null()) continue;
    std::vector<HeadSet> sets;
    for (const HeadIndex& place : all_heads(of->model.spec)) sets.push_back({place});
    sets.push_back(all_heads(of->model.spec));
    const MediationTexts texts{of->ids(truth["base"]), of->ids(truth["alternative"]), of->ids(truth["candidate1"]), of->ids(truth["candidate2"])};
    const MediationEffects effects = effects_of(EffectScale::log_odds, run_mediation(of->runner(), texts, sets), {});
    EXPECT_NEAR(effects.total, truth["total"].number(), tolerance);
    const HeadIndex mediator{static_cast<std::size_t>(truth["head"].items()[0].integer()), static_cast<std::size_t>(truth["head"].items()[1].integer())};
    for (std::size_t s = 0; s < sets.size(); ++s) {
      const bool carries = std::ranges::find(sets[s], mediator) != sets[s].end();
      EXPECT_NEAR(effects.indirect[s], carries ? truth["indirect"].number() : 0.0, tolerance) << "set " << s;
      EXPECT_NEAR(effects.direct[s], carries ? truth["direct"].number() : truth["total"].number(), tolerance) << "set " << s;
      EXPECT_NEAR(effects.remainder[s], truth["remainder"].number(), tolerance) << "set " << s;
    }
    return;
  }
  FAIL() << "no model says what mediation should find";
}

}  // namespace
}  // namespace vitrine
