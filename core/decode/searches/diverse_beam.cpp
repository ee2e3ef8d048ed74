#include <algorithm>
#include <map>
#include <string>

#include "core/base/error.h"
#include "core/decode/beams.h"

namespace vitrine {
namespace {

const DecodeOption groups{.name = "beam-groups", .summary = "how many groups the beams are parted into, each kept apart from those before it (2)", .kind = OptionKind::whole,
                          .fallback = 2, .low = 1, .high = 512};
const DecodeOption penalty{.name = "diversity-penalty", .summary = "what a token costs for each beam of an earlier group that took it in the same step (0.5)", .fallback = 0.5,
                           .low = 0, .high = 1e6};

/// The beams of one group and what they have completed.
struct Group {
  std::vector<Beam> beams;
  Complete complete;
  Expansion expansion;
  std::vector<Candidate> going{};  // empty: the group is done
};

/// Which tokens groups took in a step, and how often.
using Taken = std::map<TokenId, std::size_t>;

/// Takes a step of one group: candidates in their order, until as many go on as the group has beams.
void step(Group& group, std::size_t size, std::size_t length, const BeamTask& task, Taken& taken) {
  group.going.clear();
  const std::size_t count = candidates_of(size, task);
  const std::vector<Candidate> candidates = task.draws_tokens ? group.expansion.drawn(count) : group.expansion.best(count);
  for (std::size_t rank = 0; rank < candidates.size() && group.going.size() < size; ++rank) {
    if (!group.expansion.stops(candidates[rank])) group.going.push_back(candidates[rank]);
    else if (rank < size) group.complete.add(group.expansion.text_of(candidates[rank]), candidates[rank].score, length);
  }
  for (const Candidate& candidate : group.going) ++taken[candidate.id];
  if (group.complete.settled(candidates.front().score, length)) return group.going.clear();
  if (length < task.max_tokens) return;
  for (const Candidate& candidate : group.going) group.complete.add(group.expansion.text_of(candidate), candidate.score, length);
  group.going.clear();
}

/// The beams of all groups that go on, in one pass.
TensorView<float, 2> go_on_together(NextScores& model, std::vector<Group>& all) {
  std::vector<NextScores::Growth> growths;
  for (Group& group : all) {
    std::vector<Beam> grown;
    for (const Candidate& candidate : group.going) {
      grown.push_back(group.expansion.grown(candidate, growths.size()));
      growths.push_back({group.beams[candidate.beam].row, candidate.id});
    }
    group.beams = std::move(grown);
  }
  return growths.empty() ? TensorView<float, 2>() : model.grow(growths);
}

std::vector<GeneratedText> run(const SearchProblem& problem) {
  ModelScores scores(problem);
  return diverse_beam_search(scores, beam_task(problem));
}

}  // namespace

// As transformers 4 does it (group beam search with the Hamming diversity of section 4 of the paper).
std::vector<GeneratedText> diverse_beam_search(NextScores& model, const BeamTask& task) {
  const BeamSettings settings = beam_settings(task);
  const std::size_t count = task.values.whole(groups);
  if (settings.beams % count != 0) {
    throw Error({"--beam-groups", "a divisor of " + std::to_string(settings.beams) + ", the number of beams", std::to_string(count), ""}, Fault::usage);
  }
  if (task.max_tokens == 0) return std::vector<GeneratedText>(task.texts);
  const std::size_t size = settings.beams / count;
  std::vector<Group> all;
  for (std::size_t g = 0; g < count; ++g) {
    all.push_back({first_beam(task), Complete(settings, size), Expansion(model, task)});
  }
  const auto cost = static_cast<float>(task.values.number(penalty));
  TensorView<float, 2> logits = model.begin({&task.prompt, 1});
  for (std::size_t length = 1; !logits.empty(); ++length) {
    Taken taken;  // by the groups before, in this step
    for (Group& group : all) {
      if (group.beams.empty()) continue;
      group.expansion.score(logits, group.beams, [&](std::span<float> scores) {
        for (const auto& [id, times] : taken) scores[static_cast<std::size_t>(id)] -= cost * static_cast<float>(times);
      });
      step(group, size, length, task, taken);
    }
    if (task.on_step) task.on_step(length);
    logits = go_on_together(model, all);
  }
  std::vector<GeneratedText> texts;
  for (Group& group : all) std::ranges::move(group.complete.take(), std::back_inserter(texts));
  return Complete::best(std::move(texts), task.texts);
}

const Search& search_diverse_beam() {
  static const Search search{"diverse_beam", "beams in groups that keep from saying what the others say",
                             "Vijayakumar et al. 2016, arXiv:1610.02424",
                             {beam_options().beams, beam_options().length_penalty, beam_options().early_stopping, groups, penalty}, run};
  return search;
}

}  // namespace vitrine
