#include "probes/recording_tools/rewrite.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/base/error.h"
#include "probes/recording_tools/check.h"
#include "probes/recording_tools/difference.h"
#include "tests/probes/recorded_run.h"
#include "tests/probes/recording_tools/changed_file.h"

namespace vitrine {
namespace {

const std::vector<std::vector<TokenId>> texts{{3, 17, 4, 5, 5, 6, 9, 17, 4, 30, 2, 8, 5, 1, 3}, {}, {9, 9, 1, 22, 6, 9, 9, 1, 22, 6, 11}};
const std::vector<std::vector<TokenId>> sources{{3, 17, 4, 5, 9, 2}, {7}, {4, 5}};

RecorderOptions options_stored_as(const TinyModel& tiny, const std::filesystem::path& path, StoreType store = StoreType::automatic) {
  RecorderOptions options = options_for(tiny, path);
  options.store = store;
  options.longest_sequence = 15;
  options.provenance = Json::object().set("model_sha256", "abc");
  return options;
}

/// Some of the texts, recorded alone.
void record_some(const std::string& model, std::size_t first, std::size_t count, const RecorderOptions& options,
                 const std::string& kernel = "auto") {
  TinyModel tiny(model);
  tiny.kernel = choose_attention_kernel(kernel);
  if (!tiny.model.spec.encoder.empty())
    tiny.sources.assign(sources.begin() + static_cast<std::ptrdiff_t>(first), sources.begin() + static_cast<std::ptrdiff_t>(first + count));
  record(tiny, std::span(texts).subspan(first, count), options)->finish();
}

RecordingDifference compare(const std::filesystem::path& a, const std::filesystem::path& b) {
  ThreadPool pool(1, initialize_worker);
  vitrine::Run progress;
  return compare_recordings(a, b, CompareMaps::no, pool, progress);
}

std::size_t findings(const std::filesystem::path& path) {
  vitrine::Run progress;
  const CheckResult result = check_recording(path, {}, progress);
  for (const auto& finding : result.findings) ADD_FAILURE() << finding.where << ": " << finding.what;
  return result.findings.size();
}

std::string refusal_of_merge(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& output) {
  vitrine::Run progress;
  try {
    merge_recordings(runs, output, progress);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MergeRecordings, IsTheRecordingOfAllTexts) {
  for (const char* model : {"llama", "bert", "decoders/bloom", "encoder_decoders/t5"}) {
    SCOPED_TRACE(model);
    const ScratchFile whole("whole"), first("first"), second("second"), merged("merged");
    const TinyModel tiny(model);
    record_some(model, 0, 3, options_stored_as(tiny, whole.path));
    record_some(model, 0, 2, options_stored_as(tiny, first.path));
    record_some(model, 2, 1, options_stored_as(tiny, second.path));
    vitrine::Run progress;
    const std::vector<std::filesystem::path> runs{first.path, second.path};
    const Rewritten result = merge_recordings(runs, merged.path, progress);
    EXPECT_EQ(result.sequences, 3u);
    EXPECT_EQ(result.rows, 26u);
    EXPECT_TRUE(compare(whole.path, merged.path).same_bytes());
    EXPECT_EQ(findings(merged.path), 0u);
    const auto recording = Recording::open(merged.path);
    EXPECT_EQ(recording->token_texts(2), Recording::open(whole.path)->token_texts(2));
    EXPECT_EQ(recording->provenance()["provenance"]["made_of"].items().size(), 2u);
    EXPECT_EQ(recording->rows_of(1).count, 0u);
  }
}

TEST(MergeRecordings, NamesTheFirstDifference) {
  const ScratchFile first("one"), other("other"), merged("merged");
  const TinyModel llama("llama"), gpt2("gpt2");
  record_some("llama", 0, 1, options_stored_as(llama, first.path));
  const std::vector<std::filesystem::path> runs{first.path, other.path};
  record_some("gpt2", 2, 1, options_stored_as(gpt2, other.path));
  EXPECT_NE(refusal_of_merge(runs, merged.path).find("the same architecture"), std::string::npos);
  record_some("llama", 2, 1, options_stored_as(llama, other.path), "sliding_window:window=3");
  EXPECT_NE(refusal_of_merge(runs, merged.path).find("the same kernel"), std::string::npos);
  RecorderOptions fewer = options_stored_as(llama, other.path);
  fewer.points.pop_back();
  record_some("llama", 2, 1, fewer);
  EXPECT_NE(refusal_of_merge(runs, merged.path).find("/"), std::string::npos);
  RecorderOptions changed = options_stored_as(llama, other.path);
  changed.provenance.set("model_sha256", "def");
  record_some("llama", 2, 1, changed);
  EXPECT_NE(refusal_of_merge(runs, merged.path).find("the same model"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(merged.path));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(merged.path.parent_path()), {}), 0);
}

TEST(MergeRecordings, WidensWhereTypesDiffer) {
  const ScratchFile first("one"), other("other"), merged("merged");
  const TinyModel llama("llama");
  record_some("llama", 0, 1, options_stored_as(llama, first.path, StoreType::f16));
  record_some("llama", 2, 1, options_stored_as(llama, other.path, StoreType::f32));
  vitrine::Run progress;
  const std::vector<std::filesystem::path> runs{first.path, other.path};
  merge_recordings(runs, merged.path, progress);
  const auto narrow = Recording::open(first.path), wide = Recording::open(other.path), both = Recording::open(merged.path);
  for (std::size_t i = 0; i < both->activations().size(); ++i) {
    const Recording::Dataset& dataset = both->activations()[i];
    EXPECT_EQ(dataset.type, "f32");
    EXPECT_EQ(both->activation(dataset, {0, 15}), narrow->activation(narrow->activations()[i], {0, 15}));
    EXPECT_EQ(both->activation(dataset, {15, 11}), wide->activation(wide->activations()[i], {0, 11}));
  }
}

TEST(RepairRecording, OfAStoppedWriterIsTheRecordingOfWhatItHad) {
  for (const char* model : {"llama", "encoder_decoders/t5"}) {
    SCOPED_TRACE(model);
    const ScratchFile whole("whole"), stopped("stopped");
    TinyModel tiny(model);
    record_some(model, 0, 3, options_stored_as(tiny, whole.path));
    if (!tiny.model.spec.encoder.empty()) tiny.sources = sources;
    record(tiny, texts, options_stored_as(tiny, stopped.path));  // never finished
    EXPECT_FALSE(Recording::open(stopped.path)->finished());
    vitrine::Run progress;
    const Rewritten result = repair_recording(stopped.path, stopped.path, progress);
    EXPECT_EQ(result.rows, 26u);
    EXPECT_FALSE(result.parts[0].finished);
    EXPECT_TRUE(Recording::open(stopped.path)->finished());
    EXPECT_TRUE(compare(whole.path, stopped.path).same_bytes());  // the summaries too
    EXPECT_EQ(findings(stopped.path), 0u);
  }
}

TEST(RepairRecording, CutsTheSequenceThatWasStopped) {
  const ScratchFile whole("whole"), stopped("stopped");
  TinyModel tiny("llama");
  record_some("llama", 0, 1, options_stored_as(tiny, whole.path));
  {
    const auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options_stored_as(tiny, stopped.path));
    std::vector<TokenId> longer = texts[0];
    longer.insert(longer.end(), 5, 7);
    recorder->begin_sequence(tokens_of(longer));
    Observer* observers[] = {recorder.get()};
    tiny.run(std::span(texts).subspan(0, 1), observers);
  }
  vitrine::Run progress;
  const Rewritten::Part part = repair_recording(stopped.path, stopped.path, progress).parts[0];
  ASSERT_TRUE(part.cut_sequence);
  EXPECT_EQ(*part.cut_sequence, 0u);
  EXPECT_EQ(part.cut_rows, 15u);
  EXPECT_EQ(part.announced_rows, 20u);
  const auto recording = Recording::open(stopped.path);
  EXPECT_EQ(recording->rows_of(0).count, 15u);
  EXPECT_EQ(findings(stopped.path), 0u);
}

TEST(RepairRecording, IsNotForAFileThatIsBeingWritten) {
  const ScratchFile file("live"), other("other");
  TinyModel tiny("llama");
  auto recorder = record(tiny, texts, options_stored_as(tiny, file.path));
  while (!std::filesystem::exists(file.path)) std::this_thread::yield();
  vitrine::Run progress;
  try {
    repair_recording(file.path, file.path, progress);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("being written"), std::string::npos) << error.what();
  }
  repair_recording(file.path, other.path, progress);  // as far as it is
  EXPECT_EQ(findings(other.path), 0u);
  recorder->finish();
  const auto before = std::filesystem::last_write_time(file.path);
  const Rewritten again = repair_recording(file.path, file.path, progress);
  EXPECT_TRUE(again.unchanged);
  EXPECT_EQ(again.rows, 26u);
  EXPECT_EQ(std::filesystem::last_write_time(file.path), before);
}

TEST(RepairRecording, LeavesTheOldFileWhereItFails) {
  const ScratchFile file("kept");
  TinyModel tiny("llama");
  record(tiny, texts, options_stored_as(tiny, file.path));  // never finished
  vitrine::Run progress;
  EXPECT_THROW(repair_recording(file.path, "/nowhere/out.h5", progress), Error);
  EXPECT_EQ(findings(file.path), 0u);
  vitrine::Run cancelled;
  cancelled.cancel();
  EXPECT_THROW(repair_recording(file.path, file.path, cancelled), Cancelled);
  EXPECT_EQ(findings(file.path), 0u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file.path.parent_path()), {}), 1);
}

TEST(CompareRecordings, IsWhatItsDefinitionsSay) {
  const ScratchFile a("a"), b("b");
  const TinyModel tiny("llama");
  const std::string name = "/activations/blocks.1.hook_resid_mid";
  record_some("llama", 0, 1, options_stored_as(tiny, a.path));
  std::filesystem::copy_file(a.path, b.path);
  EXPECT_TRUE(compare(a.path, b.path).same_bytes());
  change_number(b.path, name, {2, 3}, 5.0);
  change_number(b.path, name, {4, 1}, std::nan(""));
  const auto left = Recording::open(a.path), right = Recording::open(b.path);
  const auto find = [&](const Recording& run) {
    return run.activation(*std::ranges::find(run.activations(), name, &Recording::Dataset::name), {0, 15});
  };
  const std::vector<float> x = find(*left), y = find(*right);
  double difference = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(y[i])) continue;
    difference += (double{y[i]} - x[i]) * (double{y[i]} - x[i]);
    xx += double{x[i]} * x[i];
    yy += double{y[i]} * y[i];
    xy += double{x[i]} * y[i];
  }
  const RecordingDifference result = compare(a.path, b.path);
  const auto found = std::ranges::find(result.datasets, name, &RecordingDifference::Dataset::name);
  ASSERT_NE(found, result.datasets.end());
  EXPECT_NEAR(found->relative_error, std::sqrt(difference / xx), 1e-12);
  EXPECT_NEAR(found->cosine, xy / std::sqrt(xx * yy), 1e-12);
  EXPECT_NEAR(found->largest, std::fabs(5.0 - x[2 * 36 + 3]), 1e-6);
  EXPECT_EQ(found->misplaced, 1u);
  EXPECT_FALSE(found->same_bytes);
  EXPECT_EQ(result.misplaced(), 1u);
  for (const auto& dataset : result.datasets) EXPECT_TRUE(dataset.name == name || dataset.same_bytes) << dataset.name;
}

TEST(CompareRecordings, MapsAreComparedInBits) {
  const ScratchFile a("a"), b("b");
  const TinyModel tiny("llama");
  record_some("llama", 0, 1, options_stored_as(tiny, a.path));
  record_some("llama", 0, 1, options_stored_as(tiny, b.path), "sliding_window:window=2");
  ThreadPool pool(2, initialize_worker);
  vitrine::Run progress;
  const RecordingDifference result = compare_recordings(a.path, b.path, CompareMaps::yes, pool, progress);
  ASSERT_EQ(result.heads.size(), 18u);
  const auto left = Recording::open(a.path), right = Recording::open(b.path);
  for (const auto& head : result.heads) {
    const auto module = std::ranges::find(left->modules(), head.module, &Recording::Module::name),
               other = std::ranges::find(right->modules(), head.module, &Recording::Module::name);
    std::vector<float> p(15 * 15), q(15 * 15);
    pattern_tile(left->head(*module, head.head, 0)->factors, 0, 0, {p.data(), {15, 15}});
    pattern_tile(right->head(*other, head.head, 0)->factors, 0, 0, {q.data(), {15, 15}});
    double bits = 0.0;
    for (std::size_t i = 7 * 15; i < p.size(); ++i) {  // rows that see 8 keys and more
      const double m = (double{p[i]} + q[i]) / 2.0;
      if (p[i] > 0.0f) bits += p[i] / 2.0 * std::log2(p[i] / m);
      if (q[i] > 0.0f) bits += q[i] / 2.0 * std::log2(q[i] / m);
    }
    EXPECT_EQ(head.rows, 8u);
    EXPECT_NEAR(head.mean(), bits / 8.0, 1e-9);
    EXPECT_GT(head.mean(), 0.0);
  }
}

TEST(CompareRecordings, OtherTokensAreRefused) {
  const ScratchFile a("a"), b("b");
  const TinyModel tiny("llama");
  record_some("llama", 0, 1, options_stored_as(tiny, a.path));
  record_some("llama", 2, 1, options_stored_as(tiny, b.path));
  try {
    compare(a.path, b.path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("token 3 at position 0 of sequence 0"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace vitrine
