#include <algorithm>

#include "core/decode/drafting.h"

namespace vitrine {
namespace {

const DecodeOption longest{.name = "lookup-tokens", .summary = "how many of the last tokens are looked for earlier in the text, at the most (3)", .kind = OptionKind::whole, .fallback = 3, .low = 1, .high = 32};

/// What followed the last tokens where they stood before: of the longest run that is found the last place that has enough behind it, else
/// the first, which has most.
class Lookup : public Drafter {
 public:
  explicit Lookup(std::size_t longest_run) : longest_(longest_run) {}

  Draft propose(const GrowingText&, std::span<const TokenId> text, std::size_t most) override {
    for (std::size_t run = std::min(longest_, text.size() - 1); run > 0; --run) {
      const std::span<const TokenId> wanted = text.last(run), searched = text.first(text.size() - 1);
      std::size_t found = 0;  // where its continuation begins
      for (auto place = searched.begin();; ++place) {
        place = std::search(place, searched.end(), wanted.begin(), wanted.end());
        if (place == searched.end()) break;
        const auto begin = static_cast<std::size_t>(place - searched.begin()) + run;
        if (found == 0 || text.size() - begin >= most) found = begin;
      }
      if (found == 0) continue;
      const std::span<const TokenId> follows = text.subspan(found, std::min(most, text.size() - found));
      return {.ids = {follows.begin(), follows.end()}};
    }
    return {};
  }

 private:
  std::size_t longest_;
};

std::vector<GeneratedText> run(const SearchProblem& problem) {
  return one_by_one(problem, [&](GrowingText& text) {
    Lookup lookup(problem.values.whole(longest));
    make_by_drafts(text, lookup);
  });
}

}  // namespace

const Search& search_prompt_lookup() {
  static const Search search{"prompt_lookup", "drafts what stood earlier in the text behind the same words; the same text as greedy or sample, in fewer passes",
                             "Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding", {draft_tokens_option(), longest}, run, one_problem_at_a_time<run>};
  return search;
}

}  // namespace vitrine
