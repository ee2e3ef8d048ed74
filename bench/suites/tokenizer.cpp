#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "bench/measure.h"
#include "bench/suite.h"

namespace vitrine {
namespace {

constexpr std::size_t text_tokens = 20'000;

bool is_plain(const std::string& piece) {
  return !piece.empty() && std::ranges::all_of(piece, [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
}

/// Pieces of the vocabulary in random order, two of three beginning a word: all of it is used, and no file is needed.
std::string text_of(const Tokenizer& tokenizer) {
  std::mt19937 random(1);
  std::vector<TokenId> begins, others, drawn;
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.vocabulary_size()); ++id) {
    const std::string piece = tokenizer.piece(id);
    if (!tokenizer.is_special(id) && is_plain(piece)) (piece[0] == ' ' ? begins : others).push_back(id);
  }
  for (std::size_t i = 0; i < text_tokens; ++i) {
    const auto& from = others.empty() || (!begins.empty() && random() % 3 != 0) ? begins : others;
    if (!from.empty()) drawn.push_back(from[random() % from.size()]);
  }
  return tokenizer.decode(drawn);
}

std::vector<TokenId> ids_of(const std::vector<Token>& tokens) {
  std::vector<TokenId> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

/// Why it may not be timed: its text comes back changed, or (where it folds case or spaces) its tokens do.
std::string disagreement(const Tokenizer& tokenizer, const std::string& text) {
  const EncodeOptions plain{.add_special = false, .parse_special = false};
  const std::vector<TokenId> ids = ids_of(tokenizer.encode(text, plain));
  const std::string again = tokenizer.decode(ids);
  if (again == text || ids_of(tokenizer.encode(again, plain)) == ids) return "";
  return "tokens of the decoded text differ";
}

/// What is timed; empty where the state says why nothing may be.
std::string checked_text(benchmark::State& state, const LoadedModel& loaded) {
  std::string text, reason = "the model has no tokenizer";
  if (loaded.model.tokenizer) {
    text = text_of(*loaded.model.tokenizer);
    reason = text.empty() ? "the vocabulary has no printable piece" : disagreement(*loaded.model.tokenizer, text);
  }
  if (reason.empty()) return text;
  state.SkipWithError(reason.c_str());
  return "";
}

void encode_row(benchmark::State& state, const LoadedModel& loaded) {
  const std::string text = checked_text(state, loaded);
  if (text.empty()) return;
  const Tokenizer& tokenizer = *loaded.model.tokenizer;
  const std::size_t tokens = tokenizer.encode(text, {}).size();
  measure(state, {.tokens = static_cast<double>(tokens), .kernel = std::string(tokenizer.model())},
          [&] { benchmark::DoNotOptimize(tokenizer.encode(text, {})); });
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

void decode_row(benchmark::State& state, const LoadedModel& loaded) {
  const std::string text = checked_text(state, loaded);
  if (text.empty()) return;
  const Tokenizer& tokenizer = *loaded.model.tokenizer;
  const std::vector<TokenId> ids = ids_of(tokenizer.encode(text, {}));
  measure(state, {.tokens = static_cast<double>(ids.size()), .kernel = std::string(tokenizer.model())},
          [&] { benchmark::DoNotOptimize(tokenizer.decode(ids)); });
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

void register_rows(const SuiteOptions& options) {
  for (const std::string& path : options.models) {
    const auto loaded = loaded_model(path);
    const std::string name = "tokenizer/" + loaded->name + "/";
    const auto add = [&](const char* what, void (*row)(benchmark::State&, const LoadedModel&)) {
      benchmark::RegisterBenchmark((name + what).c_str(),
                                   [loaded, row](benchmark::State& state) { row(state, *loaded); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    };
    add("encode", encode_row);
    add("decode", decode_row);
  }
}

}  // namespace

const Suite& suite_tokenizer() {
  static const Suite suite{"tokenizer", "text to tokens and back, one thread", register_rows};
  return suite;
}

}  // namespace vitrine
