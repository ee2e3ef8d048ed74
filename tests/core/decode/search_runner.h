#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/decode/search.h"
#include "kernels/kernels.h"

// What tests of searches share: a model with all that runs it, and options by their names.

namespace vitrine {

using Settings = std::map<std::string, std::vector<std::string>>;

inline DecodeValues values_of(const Settings& settings) {
  DecodeValues values;
  for (const auto& [name, words] : settings) {
    const DecodeOption* option = find_decode_option(name);
    if (!option) throw std::invalid_argument("no option " + name);
    if (option->kind == OptionKind::text) values.set(*option, words);
    else values.set_word(*option, words.front());
  }
  return values;
}

/// A model on two threads.
struct ModelOnTest {
  ModelOnTest(const std::filesystem::path& path, Precision chosen, KvFormat kv)
      : precision(chosen), format(kv), model(load_model(path)), ops(make_cpu_ops(chosen, pool)), kernel(choose_attention_kernel("auto", chosen)) {}
  ForwardContext context() { return {model, *ops, kernel, workspace, run, taps}; }

  Precision precision;
  KvFormat format;
  ThreadPool pool{2, initialize_worker};
  Model model;
  std::unique_ptr<Ops> ops;
  KernelChoice kernel;
  Workspace workspace;
  Run run;
  TapPlan taps;
};

/// What a test asks for.
struct Asked {
  std::string search;
  std::vector<TokenId> prompt;
  std::vector<TokenId> source{};
  std::vector<TokenId> ends{};
  std::size_t max_tokens = 12, texts = 1;
  Settings settings{};
  bool draws_tokens = false;
  Draws draws{};
  const GrammarMatcher* grammar = nullptr;
};

inline std::vector<GeneratedText> run_search(ModelOnTest& on, const Asked& asked, ModelOnTest* draft = nullptr) {
  const DecodeValues values = values_of(asked.settings);
  const SamplerModel told{.vocabulary = on.model.spec.vocabulary, .tokenizer = on.model.tokenizer.get(), .ends = asked.ends, .max_tokens = asked.max_tokens};
  const SamplerChain chain = make_chain(sampler_order(""), values, told);
  const ForwardContext context = on.context();
  std::optional<KvCache> memory;
  if (!asked.source.empty()) {
    memory.emplace(on.model.spec, on.format, AttentionRole::cross);
    const Segment segment{.ids = asked.source, .memory = &*memory};
    encode(context, {&segment, 1}, {});
  }
  std::optional<ForwardContext> draft_context;
  if (draft) draft_context.emplace(draft->context());
  const SearchProblem problem{.context = context, .kv_format = on.format, .source = memory ? &*memory : nullptr, .prompt = asked.prompt,
                              .source_ids = asked.source, .max_tokens = asked.max_tokens, .texts = asked.texts, .ends = asked.ends, .samplers = chain,
                              .draws_tokens = asked.draws_tokens, .draws = asked.draws, .values = values, .draft = draft_context ? &*draft_context : nullptr,
                              .tokenizer = on.model.tokenizer.get(), .grammar = asked.grammar};
  return search_named(asked.search).run(problem);
}

inline std::vector<TokenId> ids_of(const GeneratedText& text) {
  std::vector<TokenId> ids;
  for (const GeneratedToken& token : text.tokens) ids.push_back(token.id);
  return ids;
}

inline std::filesystem::path golden_folder() { return std::filesystem::path(VITRINE_TEST_DATA) / "golden"; }

}  // namespace vitrine
