#include "core/decode/token_by_token.h"

namespace vitrine {
namespace {

std::vector<std::vector<GeneratedText>> run_together(std::span<const SearchProblem> problems) { return continue_texts(problems, TokenChoice::likeliest); }
std::vector<GeneratedText> run(const SearchProblem& problem) { return std::move(run_together({&problem, 1}).front()); }

}  // namespace

const Search& search_greedy() {
  static const Search search{"greedy", "the likeliest token, one after another; the lowest id of equals", "", {}, run, run_together};
  return search;
}

}  // namespace vitrine
