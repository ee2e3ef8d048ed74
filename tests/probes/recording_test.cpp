#include "probes/recording.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <string_view>
#include <thread>

#include "core/base/error.h"
#include "probes/head_score.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

class Recorded : public testing::TestWithParam<const char*> {};

TEST_P(Recorded, EveryPointComesBackBitByBit) {
  TinyModel tiny(GetParam());
  const ScratchFile file(std::string("all_") + GetParam());
  Keeper keeper;
  record(tiny, two_texts, options_for(tiny, file.path), &keeper)->finish();
  const auto recording = Recording::open(file.path);
  EXPECT_TRUE(recording->finished());
  ASSERT_EQ(recording->sequences(), 2u);
  EXPECT_EQ(recording->token_ids(1), two_texts[1]);
  const std::size_t rows = two_texts[0].size() + two_texts[1].size();
  std::size_t compared = 0;
  for (const Recording::Dataset& dataset : recording->activations()) {
    const std::string hook = dataset.name == "/logits" ? "logits" : dataset.name.substr(std::string("/activations/").size());
    ASSERT_TRUE(keeper.seen.contains(hook)) << hook;
    EXPECT_EQ(recording->activation(dataset, {0, rows}), keeper.seen.at(hook)) << hook;
    ++compared;
  }
  std::size_t expected = 0;
  for (const ProbePoint& point : all_points(tiny.model.spec)) expected += is_square(point.site) || point.site == Site::threshold ? 0 : 1;
  EXPECT_EQ(compared, expected);
}

TEST_P(Recorded, TileTimesValuesIsTheHeadsOutput) {
  TinyModel tiny(GetParam());
  const ScratchFile file(std::string("tile_") + GetParam());
  Keeper keeper;
  record(tiny, two_texts, options_for(tiny, file.path), &keeper)->finish();
  EXPECT_LT(largest_difference(*Recording::open(file.path), keeper), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, Recorded, testing::Values("llama", "gpt2", "bert"));

/// A recording shows the pattern that the kernel applied in each layer.
TEST(Recording, HoldsEveryKernelsPattern) {
  for (const char* name : {"llama", "gpt2", "bert"}) {
    for (const char* spelled : {"sliding_window:window=3", "streaming:sinks=1,window=2", "linear", "performer:features=32", "top_k:k=2",
                                "block_sparse:pattern=banded,block=2,window=1,stride=3,dense_every=2",
                                "block_sparse:pattern=bigbird,block=1,window=1,global=1,random=2"}) {
      SCOPED_TRACE(std::string(name) + ", " + spelled);
      TinyModel tiny(name);
      tiny.kernel = choose_attention_kernel(spelled);
      const ScratchFile file(std::string("kernel_") + name);
      Keeper keeper;
      record(tiny, two_texts, options_for(tiny, file.path, {"all", "threshold"}), &keeper)->finish();
      const auto recording = Recording::open(file.path);
      ASSERT_FALSE(recording->modules().empty());
      for (const Recording::Module& module : recording->modules()) {
        EXPECT_EQ(module.rule, tiny.kernel.kernel->rule(tiny.kernel.options).in_layer(module.block));
      }
      EXPECT_LT(largest_difference(*recording, keeper), 1e-5);
    }
  }
}

/// What codes stand for is what was multiplied: the file's keys and values explain the heads' outputs, the ones that the
/// model computed do not.
TEST(RecordedCache, TilesComeFromWhatAQuantisedCacheHeld) {
  for (const char* name : {"int8", "int8:hadamard", "int4", "int4:hadamard"}) {
    TinyModel tiny("llama");
    const ScratchFile file("cache");
    Keeper keeper;
    RecorderOptions options = options_for(tiny, file.path, {"v", "z", "pattern"});
    options.kv_format = parse_kv_format(name);
    options.longest_sequence = two_texts[0].size();
    record(tiny, two_texts, options, &keeper)->finish();
    const auto recording = Recording::open(file.path);
    const std::size_t rows = two_texts[0].size() + two_texts[1].size();
    for (const Recording::Module& module : recording->modules()) {
      const auto values_of = [&](const char* hook) {
        return recording->activation(*std::ranges::find(recording->activations(), "/activations/" + module.name + ".hook_" + hook, &Recording::Dataset::name), {0, rows});
      };
      const std::vector<float> v = values_of("v"), z = values_of("z"), &computed = keeper.seen.at(module.name + ".hook_v");
      EXPECT_NE(v, computed);
      double with_stored = 0.0, with_computed = 0.0;
      const auto [begin, count] = recording->rows_of(1);
      for (std::size_t h = 0; h < module.heads; ++h) {
        std::vector<float> map(count * count);
        pattern_tile(recording->head(module, h, 1)->factors, 0, 0, {map.data(), {count, count}});
        for (std::size_t i = 0; i < count; ++i) {
          for (std::size_t d = 0; d < module.head_dim; ++d) {
            double stored = 0.0, other = 0.0;
            for (std::size_t j = 0; j < count; ++j) {
              const std::size_t at = ((begin + j) * module.kv_heads + h / (module.heads / module.kv_heads)) * module.head_dim + d;
              stored += map[i * count + j] * v[at];
              other += map[i * count + j] * computed[at];
            }
            const float output = z[((begin + i) * module.heads + h) * module.head_dim + d];
            with_stored = std::max(with_stored, std::fabs(stored - output));
            with_computed = std::max(with_computed, std::fabs(other - output));
          }
        }
      }
      EXPECT_LT(with_stored, 1e-5) << name;
      EXPECT_GT(with_computed, 1e-4) << name;
    }
  }
}

/// Each row of a rebuilt map sums to one only where its factors are those whose normaliser was stored.
TEST(RecordedCache, RowsSumToOneWhateverTheCacheAndTheStorage) {
  const std::vector<std::vector<TokenId>> said{{2, 5, 9, 12, 7, 7}, {2, 7, 7, 7, 1, 6, 9}};
  for (const char* folder : {"llama", "encoder_decoders/t5"}) {
    for (const char* kernel : {"flash", "flash_bf16"}) {
      for (const char* name : {"f16", "int8", "int8:hadamard", "int4:hadamard"}) {
        for (const StoreType store : {StoreType::automatic, StoreType::f32}) {
          TinyModel tiny(folder, Precision::fast);
          if (!tiny.model.spec.encoder.empty()) tiny.sources = {{3, 17, 2, 5, 5, 21, 9}, {9, 9, 1, 22, 14, 8, 8, 8, 5, 4, 3, 2, 9}};
          tiny.kernel = choose_attention_kernel(kernel);
          const ScratchFile file("sums");
          RecorderOptions options = options_for(tiny, file.path, {"v"});
          options.kv_format = parse_kv_format(name);
          options.store = store;
          try {
            record(tiny, tiny.sources.empty() ? two_texts : said, options)->finish();
          } catch (const Error& error) {
            if (std::string_view(kernel) == "flash_bf16" && std::string(error.what()).find("bfloat16") != std::string::npos) GTEST_SKIP() << error.what();
            throw;
          }
          EXPECT_LE(largest_error_of_row_sums(*Recording::open(file.path)), 1e-4)
              << folder << ", " << kernel << ", " << name << ", store " << static_cast<int>(store);
        }
      }
    }
  }
}

TEST(Recording, HoldsLogProbabilitiesAndTheLargestLogits) {
  TinyModel tiny("llama");
  const ScratchFile file("logits");
  Keeper keeper;
  record(tiny, two_texts, options_for(tiny, file.path, {"logits"}), &keeper)->finish();
  const auto recording = Recording::open(file.path);
  const std::size_t vocabulary = tiny.model.spec.vocabulary;
  for (std::size_t sequence = 0; sequence < 2; ++sequence) {
    const auto scores = recording->log_probabilities(sequence);
    ASSERT_EQ(scores.size(), two_texts[sequence].size());
    EXPECT_TRUE(std::isnan(scores[0]));
    for (std::size_t i = 1; i < scores.size(); ++i) {
      const float* row = keeper.seen.at("logits").data() + (recording->rows_of(sequence).begin + i - 1) * vocabulary;
      EXPECT_NEAR(scores[i], tiny.ops->log_probability({row, vocabulary}, static_cast<std::size_t>(two_texts[sequence][i])), 1e-5);
    }
  }
}

/// A text that is made token by token is recorded as if it had been there.
TEST(Recording, TextsThatGrowAreThoseThatWereThere) {
  for (const char* name : {"llama", "gpt2"}) {
    TinyModel tiny(name);
    const ScratchFile grown("grown"), whole("whole");
    record(tiny, two_texts, options_for(tiny, whole.path))->finish();
    const auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options_for(tiny, grown.path));
    Observer* observers[] = {recorder.get()};
    const TapPlan taps(tiny.model.spec, observers);
    const ForwardContext context{tiny.model, *tiny.ops, tiny.kernel, tiny.workspace, tiny.progress, taps};
    for (std::uint32_t s = 0; s < two_texts.size(); ++s) {
      const std::vector<Token> tokens = tokens_of(two_texts[s]);
      KvCache cache(tiny.model.spec, DType::f32);
      for (std::size_t begin = 0; begin < tokens.size();) {
        const std::size_t count = begin == 0 ? 5 : begin == 8 ? 2 : 1;  // a prompt, then one at a time, once two
        begin == 0 ? recorder->begin_sequence(std::span(tokens).first(count)) : recorder->extend_sequence(std::span(tokens).subspan(begin, count));
        const Segment segment{.sequence = s, .ids = std::span(two_texts[s]).subspan(begin, count), .cache = &cache};
        forward(context, {&segment, 1}, {});
        begin += count;
      }
      recorder->end_sequence();
    }
    recorder->finish();
    const auto expected = Recording::open(whole.path), found = Recording::open(grown.path);
    ASSERT_EQ(found->sequences(), 2u);
    const Recording::Rows rows{0, two_texts[0].size() + two_texts[1].size()};
    for (std::size_t d = 0; d < expected->activations().size(); ++d) {
      EXPECT_EQ(found->activation(found->activations()[d], rows), expected->activation(expected->activations()[d], rows)) << expected->activations()[d].name;
    }
    for (std::size_t s = 0; s < 2; ++s) {
      EXPECT_EQ(found->token_ids(s), two_texts[s]);
      const auto one = found->log_probabilities(s), other = expected->log_probabilities(s);
      EXPECT_TRUE(std::equal(one.begin() + 1, one.end(), other.begin() + 1, other.end()));
      for (std::size_t m = 0; m < expected->modules().size(); ++m) {
        EXPECT_EQ(found->head(found->modules()[m], 0, s)->k, expected->head(expected->modules()[m], 0, s)->k);
        EXPECT_EQ(found->row_statistic(found->modules()[m], "entropy", s), expected->row_statistic(expected->modules()[m], "entropy", s));
      }
    }
  }
}

/// Many texts, each begun with one token and grown by another: borders are rewritten in chunks that were sent.
TEST(Recording, BordersOfGrownTextsAreRight) {
  TinyModel tiny("llama");
  const ScratchFile file("borders");
  const auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options_for(tiny, file.path, {"resid_pre"}));
  Observer* observers[] = {recorder.get()};
  const TapPlan taps(tiny.model.spec, observers);
  const ForwardContext context{tiny.model, *tiny.ops, tiny.kernel, tiny.workspace, tiny.progress, taps};
  const std::vector<TokenId> ids{3, 17};
  const std::vector<Token> tokens = tokens_of(ids);
  constexpr std::uint32_t count = 1100;
  for (std::uint32_t s = 0; s < count; ++s) {
    recorder->begin_sequence(std::span(tokens).first(1));
    recorder->extend_sequence(std::span(tokens).last(1));
    KvCache cache(tiny.model.spec, DType::f32);
    const Segment segment{.sequence = s, .ids = ids, .cache = &cache};
    forward(context, {&segment, 1}, {});
  }
  recorder->end_sequence();
  recorder->finish();
  const auto recording = Recording::open(file.path);
  ASSERT_EQ(recording->sequences(), count);
  for (std::size_t s = 0; s < count; ++s) ASSERT_EQ(recording->rows_of(s).count, 2u) << s;
}

TEST(Recording, EmptySequencesKeepTheirPlaces) {
  TinyModel tiny("llama");
  const ScratchFile file("empty");
  const std::vector<std::vector<TokenId>> texts{{}, two_texts[0], {}, two_texts[1], {}, {}};
  record(tiny, texts, options_for(tiny, file.path))->finish();
  const auto recording = Recording::open(file.path);
  ASSERT_EQ(recording->sequences(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(recording->token_ids(i), texts[i]);
}

/// The writer's thread is in the library again and again while this one opens (a fork) and reads.
TEST(Recording, OneIsReadWhileAnotherIsWritten) {
  TinyModel reading("llama"), writing("llama");
  const ScratchFile finished("finished"), live("live");
  record(reading, two_texts, options_for(reading, finished.path), nullptr)->finish();
  const auto expected = Recording::open(finished.path)->token_texts(1);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) record(writing, two_texts, options_for(writing, live.path), nullptr)->finish();
  });
  for (int i = 0; i < 20; ++i) {
    const auto recording = Recording::open(finished.path);
    EXPECT_EQ(recording->token_texts(1), expected);
    for (const Recording::Dataset& dataset : recording->activations()) EXPECT_FALSE(recording->activation(dataset, {0, 1}).empty());
  }
  stop = true;
  writer.join();
}

TEST(Recording, AStoppedRunKeepsItsWholeRows) {
  TinyModel tiny("llama");
  const ScratchFile file("stopped");
  record(tiny, two_texts, options_for(tiny, file.path)).reset();  // no finish()
  const auto recording = Recording::open(file.path);
  EXPECT_FALSE(recording->finished());
  EXPECT_EQ(recording->sequences(), 2u);
  EXPECT_EQ(recording->token_ids(0), two_texts[0]);
}

/// What a killed process leaves behind: the file as it was committed, never closed.
TEST(Recording, AKilledRunOpens) {
  const ScratchFile file("killed");
  const pid_t child = fork();
  if (child == 0) {
    TinyModel tiny("llama");
    auto recorder = record(tiny, two_texts, options_for(tiny, file.path));
    std::this_thread::sleep_for(std::chrono::milliseconds(2100));  // a commit is due
    recorder->end_sequence();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // the writer does it
    std::raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto recording = Recording::open(file.path);
  EXPECT_FALSE(recording->finished());
  EXPECT_EQ(recording->rows_of(1).count, two_texts[1].size());
}

/// A limit on the file's size fails writes as a full disk does.
TEST(Recording, AFullDiskIsOneClearLine) {
  const ScratchFile file("full");
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{1 << 19, 1 << 19};
    setrlimit(RLIMIT_FSIZE, &small);
    int code = 1;
    try {
      TinyModel tiny("llama");
      const std::vector<std::vector<TokenId>> many(400, two_texts[0]);
      record(tiny, many, options_for(tiny, file.path))->finish();
    } catch (const Error& error) {
      const std::string line = error.what();
      const bool named = line.find("run.h5") != std::string::npos && line.find('\n') == std::string::npos;
      code = named && line.find("File too large") != std::string::npos ? 0 : 2;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Recording, OtherFilesAreNotOverwritten) {
  TinyModel tiny("llama");
  const ScratchFile file("other");
  std::ofstream(file.path) << "precious";
  EXPECT_THROW(Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options_for(tiny, file.path)), Error);
  EXPECT_EQ(std::filesystem::file_size(file.path), 8u);
  EXPECT_THROW(Recording::open(file.path), Error);
  EXPECT_THROW(Recording::open(file.path.parent_path() / "none.h5"), Error);
}

std::vector<char> read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// A damaged file opens or is refused with one line; nothing worse reaches the reader.
TEST(Recording, DamageIsOneLineOrHarmless) {
  TinyModel tiny("llama");
  const ScratchFile file("damage");
  record(tiny, two_texts, options_for(tiny, file.path, {"default"}))->finish();
  const std::vector<char> whole = read_file(file.path);
  const auto try_open = [&](const std::vector<char>& bytes) {
    std::ofstream(file.path, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    try {
      const auto recording = Recording::open(file.path);
      for (const auto& module : recording->modules()) {
        if (recording->sequences() > 0) recording->head(module, 0, 0);
      }
      return 0;
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
      return 1;
    }
  };
  EXPECT_EQ(try_open(whole), 0);
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 80; ++round) {
    std::vector<char> bytes = whole;
    if (round % 3 == 0) bytes.resize(random() % bytes.size());
    for (int hit = 0; hit < 4 && !bytes.empty(); ++hit) {
      bytes[random() % (round % 2 ? bytes.size() : std::min<std::size_t>(bytes.size(), 8192))] = static_cast<char>(random());
    }
    refused += try_open(bytes);
  }
  EXPECT_GT(refused, 26);  // truncated ones at least
}

TEST(HeadTable, AgreesWithTheKernelsOwnStatistics) {
  TinyModel tiny("llama");
  const ScratchFile file("heads");
  record(tiny, two_texts, options_for(tiny, file.path, {"default"}))->finish();
  const auto recording = Recording::open(file.path);
  vitrine::Run progress;
  const auto table = head_table(*recording, tiny.pool, progress);
  std::size_t entropy = 0, distance = 0;
  for (std::size_t s = 0; s < all_head_scores().size(); ++s) {
    if (all_head_scores()[s]->name == "entropy") entropy = s;
    if (all_head_scores()[s]->name == "distance") distance = s;
  }
  ASSERT_FALSE(table.empty());
  for (const HeadRow& row : table) {
    const Recording::Module& module = recording->modules()[row.layer];
    double sums[2] = {}, rows = 0.0;
    for (std::size_t sequence = 0; sequence < 2; ++sequence) {
      const auto entropies = recording->row_statistic(module, "entropy", sequence), distances = recording->row_statistic(module, "distance", sequence);
      for (std::size_t i = row.head; i < entropies.size(); i += module.heads) {
        sums[0] += entropies[i];
        sums[1] += distances[i];
        rows += 1.0;
      }
    }
    EXPECT_NEAR(*row.scores[entropy], sums[0] / rows, 1e-5);
    EXPECT_NEAR(*row.scores[distance], sums[1] / rows, 1e-4);
  }
}

/// Whatever way a score is made (a kernel's statistic, single weights), it is that of the whole maps.
TEST(HeadTable, IsThatOfTheWholeMaps) {
  for (const char* kernel : {"auto", "top_k:k=2", "sliding_window:window=3", "linear"}) {
    TinyModel tiny("llama");
    tiny.kernel = choose_attention_kernel(kernel);
    const ScratchFile file("scores");
    record(tiny, two_texts, options_for(tiny, file.path, {"default"}))->finish();
    const auto recording = Recording::open(file.path);
    vitrine::Run progress;
    for (const HeadRow& row : head_table(*recording, tiny.pool, progress)) {
      const Recording::Module& module = recording->modules()[row.layer];
      for (std::size_t s = 0; s < row.scores.size(); ++s) {
        HeadScore::Sum sum;
        for (std::size_t sequence = 0; sequence < 2; ++sequence) {
          const std::vector<std::int32_t> ids = recording->token_ids(sequence);
          std::vector<std::optional<std::size_t>> earlier(ids.size());
          for (std::size_t i = 0; i < ids.size(); ++i) {
            for (std::size_t j = 0; j < i; ++j) earlier[i] = ids[j] == ids[i] ? std::optional(j) : earlier[i];
          }
          std::vector<float> map(ids.size() * ids.size());
          const TensorView<float, 2> weights(map.data(), {ids.size(), ids.size()});
          pattern_tile(recording->head(module, row.head, sequence)->factors, 0, 0, weights);
          add_rows(*all_head_scores()[s], {0, weights, ids, earlier}, sum);
        }
        ASSERT_EQ(row.scores[s].has_value(), sum.count > 0.0) << all_head_scores()[s]->name;
        if (!row.scores[s]) continue;
        EXPECT_NEAR(*row.scores[s], sum.total / sum.count, 1e-4) << kernel << " " << all_head_scores()[s]->name;
      }
    }
  }
}

/// Hand-made maps whose scores are known.
TEST(HeadScores, AreWhatTheirDefinitionsSay) {
  const std::vector<std::int32_t> ids{4, 7, 4, 9, 7};  // earlier copies: of 2 at 0, of 4 at 1
  const std::vector<std::optional<std::size_t>> earlier{{}, {}, 0, {}, 1};
  std::vector<float> map(25, 0.0f);
  const auto weight = [&](std::size_t i, std::size_t j) -> float& { return map[i * 5 + j]; };
  weight(0, 0) = 1.0f;
  weight(1, 0) = weight(1, 1) = 0.5f;
  weight(2, 0) = 0.25f, weight(2, 1) = 0.75f;
  weight(3, 3) = 1.0f;
  weight(4, 1) = 0.5f, weight(4, 2) = 0.125f, weight(4, 3) = 0.375f;
  const PatternBand band{0, {map.data(), {5, 5}}, ids, earlier};
  const std::map<std::string_view, double> expected{
      {"duplicate_token", (0.25 + 0.5) / 2}, {"induction", (0.75 + 0.125) / 2}, {"previous_token", (0.5 + 0.75 + 0 + 0.375) / 4},
      {"sink", (0.5 + 0.25) / 4}, {"distance", (0 + 0.5 + (0.25 * 2 + 0.75) + 0 + (0.5 * 3 + 0.125 * 2 + 0.375)) / 5},
      {"entropy", (std::log(2.0) + (0.25 * std::log(4.0) - 0.75 * std::log(0.75)) +
                   (0.5 * std::log(2.0) + 0.125 * std::log(8.0) - 0.375 * std::log(0.375))) / 5}};
  for (const HeadScore* score : all_head_scores()) {
    HeadScore::Sum sum;
    add_rows(*score, band, sum);
    ASSERT_TRUE(expected.contains(score->name)) << score->name << " has no hand-made case here";
    EXPECT_NEAR(sum.total / sum.count, expected.at(score->name), 1e-6) << score->name;
  }
}

}  // namespace
}  // namespace vitrine
