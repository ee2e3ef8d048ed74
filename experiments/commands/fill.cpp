#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/printed_rows.h"
#include "probes/top_logits.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::size_t top = 5;
  std::optional<int> mask_id;
};

/// The token that stands for a gap.
TokenId mask_of(const Session& session, const Options& options) {
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  const std::size_t vocabulary = session.model().spec.vocabulary;
  if (options.mask_id) {
    if (*options.mask_id >= 0 && static_cast<std::size_t>(*options.mask_id) < vocabulary) return *options.mask_id;
    throw Error({"--mask-id", "0 to " + std::to_string(vocabulary - 1), std::to_string(*options.mask_id), ""}, Fault::usage);
  }
  if (tokenizer && tokenizer->special().mask) return *tokenizer->special().mask;
  throw Error({options.common.model, "a tokenizer with a mask token", tokenizer ? "one without" : "none", "name the token with --mask-id"}, Fault::usage);
}

/// Where the gaps are, in order. @throws Error (usage) where there is none, naming how one is written
std::vector<std::uint32_t> gaps_of(const Session& session, const InputText& input, TokenId mask) {
  std::vector<std::uint32_t> gaps;
  for (std::size_t i = 0; i < input.tokens.size(); ++i) {
    if (input.tokens[i].id == mask) gaps.push_back(static_cast<std::uint32_t>(i));
  }
  if (!gaps.empty()) return gaps;
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  throw Error({"--text", "at least one " + (tokenizer ? tokenizer->piece(mask) : "token " + std::to_string(mask)), "none", ""}, Fault::usage);
}

/// @param logits  [vocabulary]
Json candidates_of(Session& session, std::span<const float> logits, std::size_t top) {
  std::vector<std::int32_t> ids(top);
  std::vector<float> values(top);
  largest_logits(logits, ids, values);
  Json list = Json::array();
  for (const std::int32_t id : ids) {
    const Tokenizer* tokenizer = session.model().tokenizer.get();
    const double probability = std::exp(session.ops().log_probability(logits, static_cast<std::size_t>(id)));
    list.push(Json::object().set("id", id).set("text", tokenizer ? Json(tokenizer->piece(id)) : Json()).set("probability", probability));
  }
  return list;
}

/// Rows of a second stream predict the gaps, which neither stream sees.
void run_queries(Session& session, Segment segment, std::span<const std::uint32_t> gaps, const ForwardSinks& sinks) {
  const std::size_t count = segment.ids.size();
  if (gaps.size() == count) throw Error({"--text", "at least one token that is no gap", "none", ""}, Fault::usage);
  BitMatrix seen(1, count);
  for (std::size_t key = 0; key < count; ++key) {
    if (!std::ranges::binary_search(gaps, key)) seen.set(0, key);
  }
  segment.allowed = seen.view();
  segment.allowed.rows = count;
  segment.allowed.row_words = 0;  // every row sees the same
  segment.targets = gaps;
  session.run_segments({&segment, 1}, {}, sinks);
}

/// A decoder that is to say the source again, its own tokens being what it heard so far, predicts the gap's where it comes to it
/// (BART's denoising).
void run_denoising(Session& session, const std::vector<TokenId>& ids, const ForwardSinks& sinks) {
  session.encode_batch({&ids, 1}, {}, {});
  const std::vector<TokenId> said = session.shifted_right(ids);
  session.run_batch({&said, 1}, {}, sinks);
}

Json fill(Session& session, const Options& options, const InputText& input, TokenId mask) {
  const std::vector<std::uint32_t> gaps = gaps_of(session, input, mask);
  Json masks = Json::array();
  ForwardSinks sinks{.logit_rows = LogitRows::wanted};
  sinks.wants_logits = [&](const RowRef& row) { return std::ranges::binary_search(gaps, row.position); };
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const Json candidates = candidates_of(session, {&logits(r, 0), logits.extent(1)}, options.top);
      masks.push(Json::object().set("position", static_cast<std::uint64_t>(rows[r].position)).set("candidates", candidates));
    }
  };
  const std::vector<TokenId> ids = ids_of(input.tokens);
  const std::vector<std::int32_t> types = types_of(session.model(), input);
  if (session.has_encoder()) run_denoising(session, ids, sinks);
  else if (session.model().spec.query_stream) run_queries(session, {.ids = ids, .types = types}, gaps, sinks);
  else session.run_batch({&ids, 1}, {}, sinks, {0, {&types, 1}});
  return Json::object().set("masks", masks);
}

/// One row a candidate.
std::vector<Json> rows_of(std::span<const Json> results) {
  std::vector<Json> rows;
  for (std::size_t i = 0; i < results.size(); ++i) {
    for (const Json& mask : results[i]["masks"].items()) {
      for (const Json& candidate : mask["candidates"].items()) {
        Json row = Json::object().set("sequence", static_cast<std::uint64_t>(i)).set("position", mask["position"]);
        for (const auto& [name, value] : candidate.members()) row.set(name, value);
        rows.push_back(row);
      }
    }
  }
  return rows;
}

void print_table(std::span<const Json> rows) {
  std::puts("position  probability      id  text");
  for (const Json& row : rows) {
    const std::string text = row["text"].is_string() ? printable(row["text"].string()) : "";
    std::printf("%8s  %11.6f  %6s  %s\n", row["position"].dump().c_str(), row["probability"].number(), row["id"].dump().c_str(), text.c_str());
  }
}

void require_masked_model(const Model& model) {
  if (model.spec.has_head && (!model.spec.causal() || !model.spec.encoder.empty())) return;
  throw Error({model.path.string(), "a model with a masked-language-model head", model.spec.architecture + (model.spec.has_head ? ", which predicts next tokens" : " without one"), ""});
}

void run(const Options& options) {
  require_one_source(options.text);
  Session session(options.common);
  require_masked_model(session.model());
  if (options.top > session.model().spec.vocabulary) {
    throw Error({"--top", "at most " + std::to_string(session.model().spec.vocabulary) + " (the vocabulary)", std::to_string(options.top), ""}, Fault::usage);
  }
  const TokenId mask = mask_of(session, options);
  const std::vector<InputText> inputs = session.read_all(options.text);
  require_context(session.model(), inputs);
  std::vector<Json> results;
  for (const InputText& input : inputs) results.push_back(fill(session, options, input, mask));
  print(session, {options.common, options.text, {"sequence", "position", "id", "text", "probability"}, rows_of, print_table}, inputs, std::move(results));
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_interventions(app, options->common);
  declare_texts(app, options->text);
  declare_pair(app, options->text);
  app.add_option("--top", options->top, "so many of the likeliest tokens for each gap")->check(whole_number(1));
  app.add_option("--mask-id", options->mask_id, "the token that stands for a gap (the tokenizer's mask)");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_fill() {
  static const Command command{"fill", "what stands in the gaps of a text, by a masked-language model",
                               "vitrine fill bert-base-uncased/ --text 'Paris is the [MASK] of France.' --json", declare};
  return command;
}

}  // namespace vitrine
