#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/shortcuts/shortcut.h"
#include "kernels/kernels.h"

namespace vitrine {

inline std::filesystem::path golden_folder() { return std::filesystem::path(VITRINE_TEST_DATA) / "golden"; }

/// Every tiny model of tests/golden, as Hugging Face's folder.
inline std::vector<std::filesystem::path> golden_models() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(golden_folder())) {
    if (entry.path().filename() == "model.safetensors") found.push_back(entry.path().parent_path());
  }
  std::ranges::sort(found);
  return found;
}

/// "decoders/llama_yarn"
inline std::string golden_name(const std::filesystem::path& model) { return std::filesystem::relative(model.parent_path(), golden_folder()).string(); }

/// Random texts that a model takes, of different lengths.
inline std::vector<ModelText> random_texts(const ModelSpec& spec, std::size_t count, std::size_t longest, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  const auto some = [&](const ModelSpec& stack, std::size_t length) {
    const std::size_t limit = stack.context > 0 ? std::min(length, stack.context) : length;
    std::vector<TokenId> ids(limit);
    for (TokenId& id : ids) id = static_cast<TokenId>(3 + random() % (stack.vocabulary - 3));
    return ids;
  };
  std::vector<ModelText> texts(count);
  for (std::size_t i = 0; i < count; ++i) {
    texts[i].ids = some(spec, longest - i % 5);
    if (!spec.encoder.empty()) texts[i].source = some(spec.encoder.front(), longest - (i + 2) % 5);
  }
  return texts;
}

/// Exact arithmetic and everything else that shortcuts ask for.
struct ShortcutHarness {
  explicit ShortcutHarness(std::size_t threads = 2)
      : pool(threads, initialize_worker), ops(make_cpu_ops(Precision::exact, pool)), kernel(choose_attention_kernel("reference")) {}
  ShortcutBench bench(std::span<const ModelText> texts = {}, std::uint64_t seed = 0) { return {*ops, kernel, workspace, run, texts, seed}; }

  ShortcutReport apply(Model& model, std::string_view words, std::span<const ModelText> texts = {}, std::uint64_t seed = 0) {
    return apply_shortcuts(model, parse_shortcuts(words), bench(texts, seed));
  }

  /// [rows of all texts, vocabulary], one text behind the other.
  std::vector<float> logits(const Model& model, std::span<const ModelText> texts, std::span<const OpsLayer> layers = {}) {
    std::vector<std::unique_ptr<Ops>> owned;
    Ops* outermost = ops.get();
    for (const OpsLayer& layer : layers) outermost = owned.emplace_back(layer(*outermost, model)).get();
    std::vector<float> all;
    ForwardSinks sinks;
    sinks.logit_rows = LogitRows::all;
    sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> rows) { all.insert(all.end(), rows.data(), rows.data() + rows.size()); };
    static const KvFormat plain{DType::f32};
    for (std::size_t i = 0; i < texts.size(); ++i) run_texts({model, *outermost, kernel, plain, workspace, run}, texts.subspan(i, 1), {}, sinks);
    return all;
  }

  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  KernelChoice kernel;
  Workspace workspace;
  Run run;
};

}  // namespace vitrine
