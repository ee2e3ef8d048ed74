#include "experiments/decoding.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "experiments/number_range_internal.h"

namespace vitrine {
namespace {

bool hears(std::span<const DecodeOption> options, std::string_view name) { return std::ranges::find(options, name, &DecodeOption::name) != options.end(); }

void declare(CLI::App& app, const DecodeOption& option, DecodeValues& values) {
  const std::string flag = "--" + std::string(option.name), summary(option.summary);
  if (option.kind == OptionKind::flag) {
    app.add_flag_callback(flag, [&option, &values] { values.set(option, 1.0); }, summary);
  } else if (option.repeated) {
    // One argument a flag: a list must not swallow the model behind it.
    app.add_option_function<std::vector<std::string>>(flag, [&option, &values](const std::vector<std::string>& texts) { values.set(option, texts); }, summary + ". May be given several times")
        ->allow_extra_args(false);
  } else {
    app.add_option_function<std::string>(flag, [&option, &values](const std::string& word) { values.set_word(option, word); }, summary);
  }
}

/// The option, said by somebody, that only shapes what is drawn; empty where there is none. A search may hear of it in its own way.
std::string shaping_option(const DecodeValues& values, const Search* search) {
  for (const std::string& name : values.names()) {
    if (name == "temperature" || (search && hears(search->options, name))) continue;
    for (const SamplerKind* kind : all_samplers()) {
      if (kind->role == SamplerRole::shape && hears(kind->options, name)) return name;
    }
  }
  return {};
}

/// Whether tokens are drawn: at a temperature above 0, or where something shapes what is drawn and no temperature says otherwise.
bool draws(const DecodeValues& values, const Search* search) {
  const std::string shaping = shaping_option(values, search);
  const bool named_greedy = search && search->name == "greedy", named_sample = search && search->name == "sample";
  const DecodeOption& temperature = *find_decode_option("temperature");
  const bool cold = values.has("temperature") && values.number(temperature) == 0.0;
  if (!shaping.empty() && (cold || named_greedy)) {
    throw Error({"--" + shaping, "tokens that are drawn: it shapes what they are drawn from", cold ? "--temperature 0" : "--search greedy", ""}, Fault::usage);
  }
  const bool warm = values.has("temperature") && !cold;
  if (named_greedy && warm) throw Error({"--search greedy", "no --temperature above 0", "one", "leave --search away, or take --search sample"}, Fault::usage);
  if (named_sample && cold) throw Error({"--search sample", "a --temperature above 0", "0", ""}, Fault::usage);
  return named_sample || warm || !shaping.empty();
}

/// Nothing that was asked for is left out in silence.
void require_heard_by(const Search& search, const DecodeValues& values) {
  for (const std::string& name : values.names()) {
    const auto hears_it = [&](const auto* member) { return hears(member->options, name); };
    if (hears_it(&search) || std::ranges::any_of(all_samplers(), hears_it)) continue;
    std::string those;
    for (const Search* other : all_searches()) {
      if (hears_it(other)) those += (those.empty() ? "" : ", ") + std::string(other->name);
    }
    throw Error({"--" + name, "--search " + those, std::string(search.name), ""}, Fault::usage);
  }
}

/// The search that somebody means who names none but says what only searches hear of: of those that hear it all the one with the fewest
/// options. Null where nothing of the kind is said.
const Search* meant_search(const DecodeValues& values) {
  std::vector<std::string> told;
  for (const std::string& name : values.names()) {
    if (std::ranges::none_of(all_samplers(), [&](const SamplerKind* kind) { return hears(kind->options, name); })) told.push_back(name);
  }
  const Search* meant = nullptr;
  for (const Search* search : all_searches()) {
    const bool hears_all = !told.empty() && std::ranges::all_of(told, [&](const std::string& name) { return hears(search->options, name); });
    if (hears_all && (!meant || search->options.size() < meant->options.size())) meant = search;
  }
  return meant;
}

/// Of what was said together, not of what a model's settings add.
void require_reachable(const DecodingOptions& options) {
  const DecodeOption& least = *find_decode_option("min-tokens");
  if (!options.values.has(least.name) || options.values.whole(least) <= options.max_tokens) return;
  throw Error({"--min-tokens", "at most --max-tokens, " + std::to_string(options.max_tokens), std::to_string(options.values.whole(least)), ""}, Fault::usage);
}

}  // namespace

void declare_decoding(CLI::App& app, DecodingOptions& options) {
  app.add_option("--max-tokens", options.max_tokens, "how many tokens at the most")->check(whole_number(0));
  app.add_option("--search", options.search, "how the text is looked for, see `vitrine list searches`; default: the one whose options are given (--beams 4: beam), else greedy, or sample where an option says that tokens are drawn");
  app.add_option("--samplers", options.samplers, "the order of samplers, names with commas between them, transformers or llama.cpp; default: as `vitrine list samplers` shows them. Rules that are not named come first")->check(some_text());
  app.add_option("--defaults", options.defaults, "model: what generation_config.json says where no option does")->check(CLI::IsMember({"model"}));
  std::set<std::string_view> declared;
  const auto declare_all = [&](std::span<const DecodeOption> some) {
    for (const DecodeOption& option : some) {
      if (declared.insert(option.name).second) declare(app, option, options.values);
    }
  };
  for (const SamplerKind* kind : sampler_order("")) declare_all(kind->options);
  for (const Search* search : all_searches()) declare_all(search->options);
}

Decoding decoding_of(const Session& session, const DecodingOptions& options) {
  require_reachable(options);
  const GenerationDefaults& defaults = session.generation_defaults();
  Decoding result;
  result.max_tokens = options.max_tokens;
  result.values = options.values;
  if (options.defaults == "model") result.values.add_missing(defaults.settings);
  result.values.add_missing(defaults.rules);
  const Search* named = options.search.empty() ? meant_search(result.values) : &search_named(options.search);
  result.draws_tokens = draws(result.values, named);
  result.search = named ? named : &search_named(result.draws_tokens ? "sample" : "greedy");
  require_heard_by(*result.search, result.values);
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  // Each once: samplers and beams count them.
  const std::vector<TokenId> of_tokenizer = tokenizer ? text_ends(*tokenizer) : std::vector<TokenId>();
  for (const std::vector<TokenId>& ends : {defaults.ends, of_tokenizer}) {
    for (const TokenId id : ends) {
      if (std::ranges::find(result.ends, id) == result.ends.end()) result.ends.push_back(id);
    }
  }
  result.order = sampler_order(options.samplers);
  result.samplers = make_chain(result.order, result.values, {session.model().spec.vocabulary, tokenizer, result.ends, options.max_tokens});
  return result;
}

Json Decoding::to_json() const {
  Json names = Json::array();
  for (const SamplerKind* kind : order) {
    if (std::ranges::any_of(kind->options, [&](const DecodeOption& option) { return values.has(option.name); })) names.push(kind->name);
  }
  return Json::object().set("search", search->name).set("samplers", names).set("values", values.to_json()).set("max_tokens", static_cast<std::uint64_t>(max_tokens));
}

}  // namespace vitrine
