#include "experiments/calibration_text.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/number_range_internal.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

constexpr std::size_t fewest_tokens = 16;

/// Tokens that the tokenizer puts around every text.
struct Around {
  std::vector<TokenId> before, after;
};

Around around_texts(const Tokenizer& tokenizer) {
  Around around;
  bool in_front = true;
  for (const Token& token : tokenizer.encode("a", {.add_special = true, .parse_special = false})) {
    if (token.begin < token.end) in_front = false;
    else (in_front ? around.before : around.after).push_back(token.id);
  }
  return around;
}

}  // namespace

std::vector<CLI::Option*> declare_calibration(CLI::App& app, CalibrationOptions& options) {
  CLI::Option* file = app.add_option("--calibration", options.file, "a text from which shortcuts learn what goes into the model's matrices")->check(some_text());
  CLI::Option* tokens = app.add_option("--calibration-tokens", options.tokens, "at most so many tokens of it")->check(whole_number(fewest_tokens, 1u << 30))->needs(file);
  CLI::Option* window = app.add_option("--calibration-window", options.window, "tokens that are run at once")->check(whole_number(fewest_tokens, 1u << 20))->needs(file);
  return {file, tokens, window};
}

std::vector<ModelText> calibration_texts(const Session& session, const CalibrationOptions& options, std::string& hash) {
  if (options.file.empty()) return {};
  const Model& model = session.model();
  if (!model.tokenizer) throw Error({options.flag, "a model with a tokenizer", model.path.string(), ""}, Fault::usage);
  const std::string text = read_file(options.flag, options.file);
  hash = sha256(text);
  std::vector<TokenId> ids = ids_of(model.tokenizer->encode(text, {.add_special = false, .parse_special = false}));
  if (ids.size() > options.tokens) ids.resize(options.tokens);
  if (ids.size() < fewest_tokens) throw Error({options.flag + " " + options.file, "at least " + std::to_string(fewest_tokens) + " tokens", std::to_string(ids.size()), ""});

  const Around around = around_texts(*model.tokenizer);
  const std::size_t context = session.has_encoder() ? model.spec.encoder.front().context : model.spec.context, more = around.before.size() + around.after.size();
  const std::size_t longest = context > 0 ? std::min(options.window, context) : options.window;
  if (longest < fewest_tokens + more) throw Error({options.flag, "a context of at least " + std::to_string(fewest_tokens + more) + " tokens", std::to_string(longest), ""});
  const std::size_t window = longest - more;
  std::vector<ModelText> texts;
  for (std::size_t begin = 0; begin < ids.size(); begin += window) {
    const std::size_t count = std::min(window, ids.size() - begin);
    if (count < fewest_tokens && begin > 0) break;  // a rest that sees next to nothing before it
    std::vector<TokenId> some = around.before;
    some.insert(some.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(begin + count));
    some.insert(some.end(), around.after.begin(), around.after.end());
    if (session.has_encoder()) texts.push_back({session.shifted_right(some), {}, some});
    else texts.push_back({std::move(some), {}, {}});
  }
  return texts;
}

}  // namespace vitrine
