#include "experiments/generation.h"

#include <cmath>

#include "core/base/error.h"

namespace vitrine {
namespace {

const Strategy* strategy_named(std::string_view name) {
  for (const Strategy* strategy : all_strategies()) {
    if (strategy->name == name) return strategy;
  }
  throw Error({"strategy", "one of `vitrine list strategies`", quoted(name), ""}, Fault::usage);
}

}  // namespace

GenerateOptions generation_options(const Session& session, const ContinuationRequest& request) {
  if (!(request.temperature >= 0.0f && std::isfinite(request.temperature))) {
    throw Error({"--temperature", "0 or more", std::to_string(request.temperature), ""}, Fault::usage);
  }
  if (!(request.top_p > 0.0f && request.top_p <= 1.0f)) {
    throw Error({"--top-p", "more than 0, at most 1", std::to_string(request.top_p), ""}, Fault::usage);
  }
  GenerateOptions result = following(session.generation_defaults());
  result.max_tokens = request.max_tokens;
  result.sampling = {request.temperature, request.top_p, request.seed};
  result.strategy = strategy_named(request.temperature == 0.0f ? "greedy" : "sample");
  if (const Tokenizer* tokenizer = session.model().tokenizer.get()) {
    for (const auto& stop : {tokenizer->special().eos, tokenizer->special().end_of_turn}) {
      if (stop) result.stop.push_back(*stop);
    }
  }
  return result;
}

}  // namespace vitrine
