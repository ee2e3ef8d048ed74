#include "core/decode/generation_defaults.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// generation_config.json beside the weights; null where there is none.
Json read_file_beside(const Model& model) {
  const std::filesystem::path folder = std::filesystem::is_directory(model.path) ? model.path : model.path.parent_path();
  std::ifstream file(folder / "generation_config.json", std::ios::binary);
  if (model.format == "gguf" || !file) return {};
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return parse_json(text, (folder / "generation_config.json").string());
}

class Reader {
 public:
  explicit Reader(const Model& model) : model_(model), file_(read_file_beside(model)) {}

  const Json& value(std::string_view key) const {
    if (file_.has(key) && !file_[key].is_null()) return file_[key];
    return model_.checkpoint->metadata[model_.format == "gguf" ? model_.spec.architecture + "." + std::string(key) : std::string(key)];
  }
  /// A token or a list of tokens.
  std::vector<TokenId> tokens(std::string_view key) const {
    const Json& said = value(key);
    std::vector<TokenId> ids;
    if (said.is_array()) {
      for (const Json& id : said.items()) ids.push_back(token(key, id));
    } else if (!said.is_null()) {
      ids.push_back(token(key, said));
    }
    return ids;
  }
  std::optional<TokenId> one(std::string_view key) const {
    const std::vector<TokenId> ids = tokens(key);
    return ids.empty() ? std::nullopt : std::optional(ids.front());
  }
  /// Single tokens of a list of lists. Longer ones are not followed.
  std::vector<TokenId> banned(std::vector<std::string>& unused) const {
    const Json& lists = value("bad_words_ids");
    std::vector<TokenId> ids;
    if (!lists.is_array()) return ids;
    for (const Json& list : lists.items()) {
      if (list.is_array() && list.items().size() == 1) ids.push_back(token("bad_words_ids", list.items().front()));
      else unused.push_back("bad_words_ids=" + list.dump());
    }
    return ids;
  }

 private:
  TokenId token(std::string_view key, const Json& id) const {
    const std::size_t vocabulary = model_.spec.vocabulary;
    if (id.is_integer() && id.integer() >= 0 && static_cast<std::size_t>(id.integer()) < vocabulary) return static_cast<TokenId>(id.integer());
    throw Error({model_.path.string() + ": " + std::string(key), "token ids from 0 to " + std::to_string(vocabulary - 1), quoted(id.dump()), ""});
  }

  const Model& model_;
  Json file_;
};

/// Settings that would change a greedy text, with the value at which they do nothing.
struct Unfollowed {
  std::string_view key;
  double harmless;
};
constexpr std::array<Unfollowed, 8> unfollowed{{{"num_beams", 1}, {"no_repeat_ngram_size", 0}, {"encoder_no_repeat_ngram_size", 0},
                                                {"repetition_penalty", 1}, {"encoder_repetition_penalty", 1}, {"min_length", 0},
                                                {"min_new_tokens", 0}, {"num_beam_groups", 1}}};

}  // namespace

GenerationDefaults read_generation_defaults(const Model& model) {
  const Reader read(model);
  GenerationDefaults result;
  result.stop = read.tokens("eos_token_id");
  for (const Unfollowed& setting : unfollowed) {
    const Json& value = read.value(setting.key);
    if (value.is_number() && value.number() != setting.harmless) result.unused.push_back(std::string(setting.key) + "=" + value.dump());
  }
  if (model.spec.encoder.empty()) return result;
  result.start = read.one("decoder_start_token_id");
  if (!result.start) result.start = read.one("bos_token_id");
  result.forced_first = read.one("forced_bos_token_id");
  result.forced_last = read.one("forced_eos_token_id");
  result.suppressed = read.tokens("suppress_tokens");
  for (const TokenId id : read.banned(result.unused)) result.suppressed.push_back(id);
  result.suppressed_first = read.tokens("begin_suppress_tokens");
  return result;
}

GenerateOptions following(const GenerationDefaults& defaults) {
  GenerateOptions options;
  options.stop = defaults.stop;
  options.forced_first = defaults.forced_first;
  options.forced_last = defaults.forced_last;
  options.suppressed = defaults.suppressed;
  options.suppressed_first = defaults.suppressed_first;
  return options;
}

}  // namespace vitrine
