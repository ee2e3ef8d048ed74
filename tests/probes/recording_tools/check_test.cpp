#include "probes/recording_tools/check.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/base/error.h"
#include "tests/probes/recorded_run.h"
#include "tests/probes/recording_tools/changed_file.h"

namespace vitrine {
namespace {

struct Recorded {
  std::string model, kernel = "auto";
  std::vector<std::string> points{"all"};
  StoreType store = StoreType::automatic;
  AttentionStorage attention = AttentionStorage::factors;
  bool decoder = false;
};

void record_finished(const Recorded& what, const std::filesystem::path& path) {
  TinyModel tiny(what.model);
  tiny.kernel = choose_attention_kernel(what.kernel);
  if (what.decoder) tiny.sources = {{3, 17, 4, 5, 9, 2}, {4, 5}};
  RecorderOptions options = options_for(tiny, path, what.points);
  options.attention = what.attention;
  options.store = what.store;
  options.longest_sequence = 15;
  if (what.attention == AttentionStorage::dense) {
    for (const ProbePoint& point : all_points(tiny.model.spec)) {
      if (is_square(point.site)) options.points.push_back(point);
    }
  }
  const std::vector<std::vector<TokenId>> texts{{3, 17, 4, 5, 5, 6, 9, 17, 4, 30, 2, 8, 5, 1, 3}, {9, 9, 1, 22, 6, 9, 9, 1, 22, 6, 11}};
  record(tiny, texts, options)->finish();
}

std::string findings_of(const CheckResult& result) {
  std::string text;
  for (const CheckResult::Finding& finding : result.findings) text += finding.where + ": " + finding.what + "\n";
  return text;
}

CheckResult check(const std::filesystem::path& path) {
  vitrine::Run progress;
  return check_recording(path, {}, progress);
}

TEST(CheckRecording, FindsNothingInWhatTheRecorderWrites) {
  const std::vector<Recorded> all{{"llama"},
                                  {"gpt2"},
                                  {"bert"},
                                  {"llama", "top_k:k=2", {"all", "threshold"}},
                                  {"gpt2", "linear"},
                                  {"gpt2", "performer:features=32"},
                                  {"llama", "sliding_window:window=3"},
                                  {"llama", "block_sparse:pattern=bigbird,block=1,window=1,global=1,random=2"},
                                  {"llama", "auto", {"all"}, StoreType::f16},
                                  {"llama", "auto", {"all"}, StoreType::bf16},
                                  {"llama", "auto", {"default"}, StoreType::automatic, AttentionStorage::none},
                                  {"llama", "auto", {"z"}, StoreType::automatic, AttentionStorage::dense},
                                  {"decoders/bloom"},
                                  {"encoders/xlnet"},
                                  {"encoder_decoders/t5", "auto", {"all"}, StoreType::automatic, AttentionStorage::factors, true}};
  for (const Recorded& what : all) {
    SCOPED_TRACE(what.model + ", " + what.kernel);
    const ScratchFile file("check");
    record_finished(what, file.path);
    const CheckResult result = check(file.path);
    EXPECT_EQ(findings_of(result), "");
    EXPECT_TRUE(result.notes.empty()) << result.notes.front();
    EXPECT_TRUE(result.finished);
    EXPECT_EQ(result.rows, 26u);
    EXPECT_EQ(result.maps_rows > 0, what.attention != AttentionStorage::none);
  }
}

TEST(CheckRecording, NamesEachNumberThatIsWrong) {
  struct Wrong {
    std::string dataset;
    std::vector<hsize_t> at;
    double value;
    std::string expected;
  };
  const std::vector<Wrong> all{{"/tokens/id", {3}, 5000, "/tokens/id[3]: expected an id below"},
                               {"/tokens/begin", {4}, 900, "/tokens/begin[4]"},
                               {"/tokens/log_probability", {0}, -1.0, "expected NaN for the first token"},
                               {"/tokens/log_probability", {5}, -0.001, "/tokens/log_probability[5]"},
                               {"/top_logits/value", {2, 0}, -50.0, "the largest first"},
                               {"/top_logits/log_sum_exp", {2}, -50.0, "/top_logits/log_sum_exp[2]"},
                               {"/activations/blocks.1.hook_resid_mid",
                                {4, 7},
                                std::nan(""),
                                "/activations/blocks.1.hook_resid_mid[4, 7]: expected a finite number, found NaN"},
                               {"/attention/blocks.1.attn/normalizer",
                                {0, 2},
                                3.0,
                                "/attention/blocks.1.attn/normalizer[0, 2]: expected a rebuilt row that sums to 1"},
                               {"/attention/blocks.1.attn/k", {25, 0, 1}, 30.0, "/attention/blocks.1.attn/normalizer[25,"},
                               {"/attention/blocks.0.attn/entropy", {25, 1}, 0.5, "/attention/blocks.0.attn/entropy[25, 1]"},
                               {"/activations/blocks.2.attn.hook_z",
                                {25, 1, 0},
                                9.0,
                                "/activations/blocks.2.attn.hook_z[25, 1]: expected the rebuilt map times the values"},
                               {"/summary/distance", {1, 1}, 77.0, "/summary/distance[1, 1]"}};
  for (const Wrong& wrong : all) {
    const ScratchFile file("wrong");
    record_finished({"llama"}, file.path);
    change_number(file.path, wrong.dataset, wrong.at, wrong.value);
    EXPECT_NE(findings_of(check(file.path)).find(wrong.expected), std::string::npos) << wrong.dataset << ":\n"
                                                                                     << findings_of(check(file.path));
  }
}

TEST(CheckRecording, NamesWhatIsNotLinkedLabelledOrThere) {
  struct Wrong {
    std::function<void(hid_t)> change;
    std::string expected;
  };
  const std::vector<Wrong> all{
      {[](hid_t file) {
         H5Ldelete(file, "/activations/blocks.1.hook_resid_post", H5P_DEFAULT);
         H5Ocopy(file, "/activations/blocks.1.hook_resid_pre", file, "/activations/blocks.1.hook_resid_post", H5P_DEFAULT, H5P_DEFAULT);
       },
       "a hard link to /activations/blocks.2.hook_resid_pre, as in other blocks"},
      {[](hid_t file) { H5Adelete_by_name(file, "/activations/blocks.1.hook_resid_mid", "DIMENSION_LABELS", H5P_DEFAULT); },
       "blocks.1.hook_resid_mid: expected DIMENSION_LABELS"},
      {[](hid_t file) { H5Ldelete(file, "/tokens/begin", H5P_DEFAULT); }, "/tokens/begin: expected a dataset, found nothing"},
      {[](hid_t file) {
         const h5::Handle set(H5Dopen2(file, "/activations/blocks.1.hook_resid_mid", H5P_DEFAULT), H5Dclose);
         const hsize_t longer[] = {40, 36};
         H5Dset_extent(set, longer);
       },
       "blocks.1.hook_resid_mid"},
      {[](hid_t file) { H5Adelete_by_name(file, "/attention/blocks.1.attn", "scale", H5P_DEFAULT); }, "the attribute scale"}};
  for (const Wrong& wrong : all) {
    const ScratchFile file("structure");
    record_finished({"llama"}, file.path);
    change_file(file.path, wrong.change);
    EXPECT_NE(findings_of(check(file.path)).find(wrong.expected), std::string::npos) << wrong.expected << ":\n"
                                                                                     << findings_of(check(file.path));
  }
  EXPECT_NE(findings_of(check("/nowhere.h5")).find("no such file"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
