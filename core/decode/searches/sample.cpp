#include "core/decode/token_by_token.h"

namespace vitrine {
namespace {

std::vector<std::vector<GeneratedText>> run_together(std::span<const SearchProblem> problems) { return continue_texts(problems, TokenChoice::drawn); }
std::vector<GeneratedText> run(const SearchProblem& problem) { return std::move(run_together({&problem, 1}).front()); }

}  // namespace

const Search& search_sample() {
  static const Search search{"sample", "tokens drawn one after another from what the samplers leave", "", {}, run, run_together};
  return search;
}

}  // namespace vitrine
