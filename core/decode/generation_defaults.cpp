#include "core/decode/generation_defaults.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/decode/search.h"

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

std::string joined(std::span<const TokenId> ids) {
  std::string words;
  for (const TokenId id : ids) words += (words.empty() ? "" : ",") + std::to_string(id);
  return words;
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
  /// Tokens as the command line writes them: "1,2".
  void add(std::string_view key, std::string_view option, DecodeValues& values) const {
    const std::vector<TokenId> ids = tokens(key);
    if (!ids.empty()) values.set_word(*find_decode_option(option), joined(ids));
  }
  /// Lists of tokens that are never said one behind the other.
  void add_banned(DecodeValues& values) const {
    const Json& lists = value("bad_words_ids");
    if (!lists.is_array()) return;
    std::vector<std::string> runs;
    for (const Json& list : lists.items()) {
      std::vector<TokenId> ids;
      for (const Json& id : list.is_array() ? list.items() : Json::Array{list}) ids.push_back(token("bad_words_ids", id));
      if (!ids.empty()) runs.push_back(joined(ids));
    }
    if (!runs.empty()) values.set(*find_decode_option("bad-ids"), std::move(runs));
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

/// A setting, the option that follows it, and the value at which it does nothing.
struct Setting {
  std::string_view key, option;
  double harmless;
  bool of_draws = false;  ///< where do_sample is said
};
constexpr std::array<Setting, 22> known_settings{{
    {"temperature", "temperature", 1, true}, {"top_k", "top-k", 0, true}, {"top_p", "top-p", 1, true}, {"min_p", "min-p", 0, true},
    {"top_h", "top-h", 1, true}, {"typical_p", "typical-p", 1, true}, {"epsilon_cutoff", "epsilon-cutoff", 0, true}, {"eta_cutoff", "eta-cutoff", 0, true},
    {"repetition_penalty", "repetition-penalty", 1}, {"encoder_repetition_penalty", "encoder-repetition-penalty", 1},
    {"no_repeat_ngram_size", "no-repeat-ngram", 0}, {"encoder_no_repeat_ngram_size", "encoder-no-repeat-ngram", 0},
    {"min_new_tokens", "min-tokens", 0}, {"min_length", "", 0}, {"num_beams", "beams", 1}, {"num_beam_groups", "beam-groups", 1},
    {"diversity_penalty", "diversity-penalty", 0}, {"length_penalty", "length-penalty", 1}, {"penalty_alpha", "penalty-alpha", 0},
    {"guidance_scale", "guidance-scale", 1}, {"prompt_lookup_num_tokens", "", 0}, {"num_return_sequences", "", 1},
}};

void read_settings(const Reader& read, GenerationDefaults& result) {
  const bool draws = read.value("do_sample").is_bool() && read.value("do_sample").boolean();
  for (const Setting& setting : known_settings) {
    const Json& value = read.value(setting.key);
    if (!value.is_number() || value.number() == setting.harmless || (setting.of_draws && !draws)) continue;
    const DecodeOption* option = find_decode_option(setting.option);
    if (option) result.settings.set(*option, value.number());
    else result.unused.push_back(std::string(setting.key) + "=" + value.dump());
  }
  const DecodeOption* temperature = find_decode_option("temperature");
  if (draws && !result.settings.has("temperature")) result.settings.set(*temperature, 1.0);
}

}  // namespace

GenerationDefaults read_generation_defaults(const Model& model) {
  const Reader read(model);
  GenerationDefaults result;
  result.ends = read.tokens("eos_token_id");
  read_settings(read, result);
  if (model.spec.encoder.empty()) return result;
  result.start = read.one("decoder_start_token_id");
  if (!result.start) result.start = read.one("bos_token_id");
  read.add("forced_bos_token_id", "forced-first", result.rules);
  read.add("forced_eos_token_id", "forced-last", result.rules);
  read.add("begin_suppress_tokens", "suppress-first", result.rules);
  read.add("suppress_tokens", "suppress-tokens", result.rules);
  read.add_banned(result.rules);
  return result;
}

}  // namespace vitrine
