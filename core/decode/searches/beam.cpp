#include <algorithm>

#include "core/decode/beams.h"

namespace vitrine {
namespace {

const DecodeOption sibling_penalty{.name = "sibling-penalty", .summary = "what each rank among the continuations of one beam costs, so that beams do not come from one parent (0)",
                                   .fallback = 0, .low = 0, .high = 1e6};

std::vector<GeneratedText> run(const SearchProblem& problem) {
  ModelScores scores(problem);
  return beam_search(scores, beam_task(problem));
}

}  // namespace

// As transformers 5 does it: of (1 + ends) * beams candidates the best that do not end go on; those that end are complete if they are
// among the best `beams`. At max_tokens all of these are.
std::vector<GeneratedText> beam_search(NextScores& model, const BeamTask& task) {
  const BeamSettings settings = beam_settings(task);
  if (task.max_tokens == 0) return std::vector<GeneratedText>(task.texts);
  Complete complete(settings, settings.beams);
  Expansion expansion(model, task);
  std::vector<Beam> beams = first_beam(task);
  TensorView<float, 2> logits = model.begin({&task.prompt, 1});
  for (std::size_t length = 1;; ++length) {
    expansion.score(logits, beams);
    const std::size_t count = candidates_of(settings.beams, task);
    // Siblings are told apart from the second token on: of the first there is one parent.
    const double penalty = length > 1 ? task.values.number(sibling_penalty) : 0.0;
    const std::vector<Candidate> candidates = task.draws_tokens ? expansion.drawn(count) : expansion.best(count, penalty);
    const bool last = length == task.max_tokens;
    std::vector<Candidate> going;
    for (std::size_t rank = 0; rank < candidates.size(); ++rank) {
      const bool stops = last || expansion.stops(candidates[rank]);
      if (stops && rank < settings.beams) complete.add(expansion.text_of(candidates[rank]), candidates[rank].score, length);
      if (!stops && going.size() < settings.beams) going.push_back(candidates[rank]);
    }
    if (task.on_step) task.on_step(length);
    if (going.empty() || complete.settled(going.front().score, length)) break;
    logits = go_on(model, expansion, going, beams);
  }
  return Complete::best(complete.take(), task.texts);
}

const Search& search_beam() {
  static const Search search{"beam", "the texts that are likeliest as wholes, as far as a number of beams finds them",
                             "transformers' beam search; siblings: Li, Monroe, Jurafsky 2016, arXiv:1611.08562",
                             {beam_options().beams, beam_options().length_penalty, beam_options().early_stopping, sibling_penalty}, run};
  return search;
}

}  // namespace vitrine
