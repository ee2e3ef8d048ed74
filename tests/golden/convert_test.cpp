// Every tiny model of this folder in the other format and back: the same weights bit by bit, the same answers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/model/export.h"
#include "core/model/forward.h"
#include "core/model/model.h"
#include "core/model/spec_difference.h"
#include "kernels/kernels.h"
#include "tests/golden/golden_values.h"
#include "tests/stories_model.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

struct Scratch {
  fs::path folder = fs::temp_directory_path() / ("vitrine_convert" + std::to_string(getpid()));
  Scratch() { fs::create_directories(folder); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
};

std::vector<fs::path> models(const char* file) {
  std::vector<fs::path> found;
  for (const char* group : {"decoders", "encoders", "encoder_decoders"}) {
    for (const fs::path& folder : golden_folders(group)) found.push_back(folder / file);
  }
  for (const char* name : {"bert", "gpt2", "llama", "llama_tied"}) found.push_back(fs::path(VITRINE_TEST_DATA) / "golden" / name / file);
  std::erase_if(found, [](const fs::path& path) { return !fs::exists(path); });
  return found;
}

std::string name_of(const fs::path& model) { return model.parent_path().filename().string(); }

ExportPlan write(const Model& model, const fs::path& path, std::optional<DType> type = std::nullopt) {
  Run run;
  return write_model(model, {.path = path, .type = type}, run);
}

bool same_bits(const Weight& a, const Weight& b) {
  const Tensor x = expand(a), y = expand(b);
  return a.rows == b.rows && a.cols == b.cols && std::memcmp(x.floats().data(), y.floats().data(), x.bytes().size()) == 0;
}

/// @param shifted  of the position table: rows that a GGUF leaves out
void expect_same_weights(const Model& a, const Model& b, bool heads_left_out) {
  for (const auto& [key, weight] : b.weights.all()) {
    const Weight* before = a.weights.find(key);
    ASSERT_NE(before, nullptr) << role_name(key.role);
    if (key.role == Role::position_embedding && before->rows != weight.rows) {
      Weight cut = *before;
      cut.data = cut.row(cut.rows - weight.rows);
      cut.rows = weight.rows;
      EXPECT_TRUE(same_bits(cut, weight));
      continue;
    }
    if (key.role == Role::head && a.spec.head_scale != b.spec.head_scale) {
      const Tensor x = expand(*before), y = expand(weight);
      for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x.floats()[i] * a.spec.head_scale, y.floats()[i] * b.spec.head_scale);
      continue;
    }
    // What no distance reaches is not kept where the model was changed; here nothing was.
    EXPECT_TRUE(same_bits(*before, weight)) << role_name(key.role) << " of block " << key.block;
  }
  if (!heads_left_out) EXPECT_EQ(a.weights.all().size(), b.weights.all().size());
}

std::vector<float> logits_of(const Model& model, std::span<const TokenId> ids) {
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel("flash");
  Workspace workspace;
  Run run;
  const TapPlan taps(model.spec, {});
  KvCache cache(model.spec, DType::f32);
  std::vector<float> logits;
  ForwardSinks sinks{.logit_rows = LogitRows::all, .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> values) {
                       for (std::size_t row = 0; row < rows.size(); ++row) {
                         for (std::size_t i = 0; i < values.extent(1); ++i) logits.push_back(values(row, i));
                       }
                     }};
  const Segment segment{.sequence = 0, .ids = ids, .cache = &cache};
  forward({model, *ops, kernel, workspace, run, taps}, std::span(&segment, 1), sinks);
  return logits;
}

void expect_same_answer(const Model& a, const Model& b, const std::string& name) {
  if (!a.spec.causal() || !a.spec.has_head || !a.spec.encoder.empty()) return;
  const std::vector<TokenId> ids{1, 7, 3, 5, 2, 2, 11, 4, 6};
  const std::vector<float> before = logits_of(a, ids), after = logits_of(b, ids);
  ASSERT_EQ(before.size(), after.size());
  // Where formats say a rope by other parameters, its factors are rounded at another place.
  const bool same_rope = std::ranges::equal(a.spec.blocks, b.spec.blocks, [](const BlockSpec& x, const BlockSpec& y) {
    return x.attention.rope_factors == y.attention.rope_factors && x.attention.rope_magnitude == y.attention.rope_magnitude && x.attention.scale == y.attention.scale;
  });
  if (same_rope) {
    EXPECT_EQ(std::memcmp(before.data(), after.data(), before.size() * sizeof(float)), 0) << name;
    return;
  }
  for (std::size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(before[i], after[i], 1e-5f) << name;
}

/// What GGUF's keys or llama.cpp's families do not say; everything else must go through.
const std::set<std::string>& only_in_folders() {
  static const std::set<std::string> names{
      "falcon_alibi", "falcon_one_norm", "falcon_sequential", "gemma2_uncapped", "gemma3_patterned", "gemma3_two_scalings", "gpt2_by_layer", "gpt2_unscaled", "gpt3", "gpt3_listed",
      "gpt_neo", "gpt_neo_global", "gpt_neox_unbiased", "llama_biases", "megatron_1", "mixtral_window", "openai_gpt", "openai_gpt_untied", "opt", "opt_after", "opt_bare", "qwen2_window",
      "qwen3_biases", "smollm3_window", "albert_labels", "albert_mlm", "albert_pretraining", "bert_pretraining", "bert_token_labels", "distilbert_labels", "distilbert_token_labels",
      "electra_discriminator", "electra_generator", "electra_labels", "electra_token_labels", "roberta_token_labels", "t5_token_labels", "xlnet", "xlnet_labels", "xlnet_labels_mean",
      "xlnet_one_stream", "xlnet_permuted", "xlnet_token_labels", "xlnet_uni", "xlnet_uni_same_length", "bart", "bart_labels", "bart_scaled", "m2m_100", "m2m_100_unscaled", "marian",
      "marian_two_tables", "mbart", "t5", "t5_gated_silu", "t5_labels", "megatron_0", "megatron_2", "mt5"};
  return names;
}

TEST(Convert, FoldersBecomeGgufAndComeBack) {
  const Scratch scratch;
  std::size_t converted = 0;
  for (const fs::path& path : models("model")) {
    SCOPED_TRACE(name_of(path));
    const Model model = load_model(path);
    const fs::path gguf = scratch.folder / (name_of(path) + ".gguf"), back = scratch.folder / name_of(path);
    try {
      const ExportPlan plan = write(model, gguf);
      const Model there = load_model(gguf);
      expect_same_weights(model, there, !plan.left_out.empty());
      expect_same_answer(model, there, name_of(path));
      if (model.spec.architecture == "megatron") continue;  // comes back as GPT-2
      write(there, back);
      const Model again = load_model(back);
      EXPECT_EQ(spec_difference(there.spec, again.spec), "");
      expect_same_weights(there, again, false);
      expect_same_answer(model, again, name_of(path));
      ++converted;
    } catch (const Error& error) {
      EXPECT_TRUE(only_in_folders().contains(name_of(path))) << error.what();
      EXPECT_FALSE(fs::exists(gguf));
      continue;
    }
    EXPECT_FALSE(only_in_folders().contains(name_of(path))) << "goes through now";
  }
  EXPECT_GE(converted, 30u);
}

// A folder's own kind keeps names, bytes and whatever else the file holds.
TEST(Convert, FoldersToFoldersKeepEveryTensor) {
  const Scratch scratch;
  for (const fs::path& path : models("model")) {
    SCOPED_TRACE(name_of(path));
    const Model model = load_model(path);
    const fs::path target = scratch.folder / name_of(path);
    write(model, target);
    const Checkpoint copy = open_checkpoint(target);
    ASSERT_EQ(copy.tensors.size(), model.checkpoint->tensors.size());
    for (const NamedTensor& tensor : model.checkpoint->tensors) {
      const NamedTensor* found = copy.find(tensor.name);
      ASSERT_NE(found, nullptr) << tensor.name;
      EXPECT_EQ(found->shape, tensor.shape);
      EXPECT_EQ(found->word, tensor.word);
      ASSERT_EQ(found->weight.bytes(), tensor.weight.bytes());
      EXPECT_EQ(std::memcmp(found->weight.data, tensor.weight.data, tensor.weight.bytes()), 0) << tensor.name;
    }
  }
}

std::string bytes_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Convert, GgufFilesComeBackFromFolders) {
  const Scratch scratch;
  for (const fs::path& path : models("model.gguf")) {
    SCOPED_TRACE(name_of(path));
    const Model model = load_model(path);
    const fs::path copy = scratch.folder / (name_of(path) + ".gguf"), folder = scratch.folder / name_of(path);
    write(model, copy);
    const Model same = load_model(copy);
    expect_same_weights(model, same, false);
    for (std::size_t i = 0; i < model.checkpoint->raw_metadata.size(); ++i) {
      const MetadataBytes &a = model.checkpoint->raw_metadata[i], &b = same.checkpoint->raw_metadata[i];
      EXPECT_EQ(a.key, b.key);
      EXPECT_TRUE(std::ranges::equal(a.value, b.value)) << a.key;
    }
    write(model, folder);
    const Model there = load_model(folder);
    expect_same_weights(model, there, false);
    expect_same_answer(model, there, name_of(path));
  }
}

// A trained model in llama2.c's layout, whose tokenizer goes along.
TEST(Convert, StoriesGoIntoBothFormats) {
  const fs::path path = stories_model();
  if (path.empty()) GTEST_SKIP() << no_stories_model;
  const Scratch scratch;
  const Model model = load_model(path);
  const std::string text = "Once upon a time, Lily's cat said: \"Meow!\"  And\n\u00e9\u4f60.";
  const std::vector<Token> tokens = model.tokenizer->encode(text, {});
  for (const char* name : {"stories.gguf", "stories"}) {
    write(model, scratch.folder / name);
    const Model there = load_model(scratch.folder / name);
    expect_same_weights(model, there, false);
    expect_same_answer(model, there, name);
    ASSERT_NE(there.tokenizer, nullptr) << name;
    EXPECT_TRUE(std::ranges::equal(there.tokenizer->encode(text, {}), tokens, {}, &Token::id, &Token::id)) << name;
  }
}

fs::path tiny_llama() { return fs::path(VITRINE_TEST_DATA) / "golden" / "llama" / "model"; }

TEST(Convert, FewerBlocksAreWritten) {
  const Scratch scratch;
  Model model = load_model(tiny_llama());
  const int last = static_cast<int>(model.spec.blocks.size()) - 1;
  // Block 0 goes, the others move up.
  WeightStore kept;
  for (const auto& [key, weight] : model.weights.all()) {
    if (key.block == 0) continue;
    WeightKey moved = key;
    if (key.block > 0) --moved.block;
    kept.put(moved, weight);
  }
  model.weights = kept;
  model.spec.blocks.pop_back();
  for (const char* name : {"fewer.gguf", "fewer"}) {
    vitrine::Run run;
    write_model(model, {.path = scratch.folder / name, .operations = {Json::object().set("operation", "prune").set("blocks", 1)}}, run);
    const Model there = load_model(scratch.folder / name);
    EXPECT_EQ(static_cast<int>(there.spec.blocks.size()), last);
    expect_same_weights(model, there, false);
    expect_same_answer(model, there, name);
  }
  // A second operation stands behind the first.
  const Model once = load_model(scratch.folder / "fewer.gguf");
  const ExportPlan plan = write(once, scratch.folder / "again");
  ASSERT_EQ(plan.operations.size(), 3u);  // prune, convert to GGUF, convert back
  EXPECT_EQ(plan.operations[0]["operation"].string(), "prune");
  EXPECT_EQ(plan.operations[0]["source_sha256"].string().size(), 64u);
  const Json config = load_model(scratch.folder / "again").checkpoint->metadata;
  EXPECT_EQ(config["vitrine"]["history"].items().size(), 3u);
}

TEST(Convert, ReplacedWeightsAreWrittenInTheirType) {
  const Scratch scratch;
  Model model = load_model(fs::path(VITRINE_TEST_DATA) / "golden" / "decoders" / "llama_linear" / "model");
  const WeightKey q{Role::attn_q, 1};
  const Tensor numbers = expand(model.weights.at(q));
  Tensor half(DType::f16, {model.weights.at(q).rows, model.weights.at(q).cols});
  dtype_info(DType::f16).compress(numbers.floats().data(), half.bytes().data(), numbers.size());
  model.weights.replace(q, std::move(half));
  write(model, scratch.folder / "a.gguf");
  const Model there = load_model(scratch.folder / "a.gguf");
  EXPECT_EQ(there.weights.at(q).type, DType::f16);
  EXPECT_EQ(there.weights.at({Role::attn_k, 1}).type, DType::f32);
  expect_same_weights(model, there, false);
}

TEST(Convert, TypesAreThoseAskedFor) {
  const Scratch scratch;
  const Model model = load_model(tiny_llama());
  write(model, scratch.folder / "a.gguf", DType::f16);
  const Checkpoint gguf = open_checkpoint(scratch.folder / "a.gguf");
  EXPECT_EQ(gguf.find("blk.0.attn_q.weight")->weight.type, DType::f16);
  EXPECT_EQ(gguf.find("blk.0.attn_norm.weight")->weight.type, DType::f32);
  EXPECT_EQ(gguf.metadata["general.file_type"].integer(), 1);
  write(model, scratch.folder / "a", DType::bf16);
  const Checkpoint folder = open_checkpoint(scratch.folder / "a");
  EXPECT_TRUE(std::ranges::all_of(folder.tensors, [](const NamedTensor& tensor) { return tensor.weight.type == DType::bf16; }));
  EXPECT_EQ(folder.metadata["dtype"].string(), "bfloat16");
}

std::string complaint(const Model& model, const ExportRequest& request) {
  try {
    plan_export(model, request);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

TEST(Convert, RefusalsSayWhatToDo) {
  const Scratch scratch;
  const Model model = load_model(tiny_llama());
  EXPECT_NE(complaint(model, {.path = tiny_llama()}).find("another place than the model that is read"), std::string::npos);
  EXPECT_NE(complaint(model, {.path = tiny_llama(), .existing = Existing::replaced}).find("another place"), std::string::npos);
  std::ofstream(scratch.folder / "there.gguf") << "something";
  EXPECT_NE(complaint(model, {.path = scratch.folder / "there.gguf"}).find("--force"), std::string::npos);
  EXPECT_EQ(complaint(model, {.path = scratch.folder / "there.gguf", .existing = Existing::replaced}), "nothing");
  EXPECT_NE(complaint(model, {.path = scratch.folder / "a.gguf", .type = DType::q8_0}).find("rows of a multiple of 32"), std::string::npos);
  EXPECT_NE(complaint(model, {.path = scratch.folder / "a", .type = DType::q8_0}).find("F32, F16 or BF16 in safetensors"), std::string::npos);
  const Model bart = load_model(fs::path(VITRINE_TEST_DATA) / "golden" / "encoder_decoders" / "bart" / "model");
  const std::string said = complaint(bart, {.path = scratch.folder / "a.gguf"});
  EXPECT_NE(said.find("a family that GGUF has: bert, bloom"), std::string::npos) << said;
}

// A folder that is stopped on the way is not there.
TEST(Convert, AStoppedFolderIsNotThere) {
  const Scratch scratch;
  const Model model = load_model(tiny_llama());
  vitrine::Run stopped([&](std::string_view, std::size_t done, std::size_t) {
    if (done > 0) stopped.cancel();
  });
  EXPECT_THROW(write_model(model, {.path = scratch.folder / "a"}, stopped), Cancelled);
  EXPECT_TRUE(fs::is_empty(scratch.folder));
}

}  // namespace
}  // namespace vitrine
