#include <map>

#include "core/base/error.h"
#include "core/text/names.h"
#include "core/text/vocabulary.h"

// GGUF stores the name of a pre-tokenizer, not its rule. The names are llama.cpp's (convert_hf_to_gguf_update.py); each rule is that
// of the tokenizer.json or the tokenizer's own program for which the name was given.

namespace vitrine {
namespace {

using Stages = std::vector<Json>;

Json split(const std::string& expression) {
  return Json::object().set("type", "Split").set("pattern", Json::object().set("Regex", expression)).set("behavior", "Isolated");
}
Json digits() { return Json::object().set("type", "Digits").set("individual_digits", true); }
Json byte_level(bool cuts) { return Json::object().set("type", "ByteLevel").set("add_prefix_space", false).set("use_regex", cuts); }
Json stage(const char* type) { return Json::object().set("type", type); }

const std::string contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const std::string words = R"([^\r\n\p{L}\p{N}]?\p{L}+)";
const std::string signs = R"( ?[^\s\p{L}\p{N}]+[\r\n]*)";
const std::string spaces = R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string llama3 = contractions + "|" + words + R"(|\p{N}{1,3}|)" + signs + "|" + spaces;
const std::string qwen2 = contractions + "|" + words + R"(|\p{N}|)" + signs + "|" + spaces;

/// Words that begin with capitals and go on in small letters.
std::string cased_words(const std::string& upper, const std::string& lower, const std::string& ending) {
  const std::string before = R"([^\r\n\p{L}\p{N}]?)";
  return before + upper + "*" + lower + "+" + ending + "|" + before + upper + "+" + lower + "*" + ending;
}
const std::string upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])", lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
const std::string signs_with_slash = R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)";
const std::string gpt4o = cased_words(upper, lower, contractions + "?") + R"(|\p{N}{1,3}|)" + signs_with_slash + "|" + spaces;
const std::string tekken = cased_words(upper, lower, "") + R"(|\p{N}|)" + signs_with_slash + "|" + spaces;
const std::string kimi_k2 = R"(\p{Han}+|)" + cased_words("(?:(?!\\p{Han})" + upper + ")", "(?:(?!\\p{Han})" + lower + ")", contractions + "?") +
                            R"(|\p{N}{1,3}|)" + signs + "|" + spaces;
const std::string youtu = cased_words(upper, lower, contractions + "?") + R"(|\p{N}|)" + signs_with_slash + "|" + spaces;

const std::string cjk_to_yi = "[一-龥ࠀ-一가-퟿]+", kana_and_han = "[一-龥぀-ゟ゠-ヿ]+";
const std::string deepseek_letters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
const std::string deepseek_v3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string spark =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
const std::string bloom = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";
// Digits in threes from the right.
const std::string threes = R"(\d{1,3}(?=(?:\d{3})*\b))", threes_of_numbers = R"(\p{Nd}{1,3}(?=(?:\p{Nd}{3})*(?!\p{Nd})))";
const std::string asian = "[一-鿿㐀-䶿\\x{F900}-\\x{FAFF}぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+";
const std::string jais2 = contractions + "|" + words + R"(|\p{N}{1,3}|)" + signs +
                          R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";

enum class Extra { none = 0, ignore_merges = 1, bos = 2, nfc = 4, mask_left = 8, marks = 16 };
constexpr Extra operator|(Extra a, Extra b) { return static_cast<Extra>(static_cast<int>(a) | static_cast<int>(b)); }
constexpr bool has(Extra set, Extra one) { return (static_cast<int>(set) & static_cast<int>(one)) != 0; }

struct Rule {
  Stages stages;
  Extra extra = Extra::none;
};
using Table = std::map<std::string, Rule>;

Stages over_bytes(Stages stages) {
  stages.push_back(byte_level(false));
  return stages;
}

void add(Table& table, std::initializer_list<const char*> names, const Rule& rule) {
  for (const char* name : names) table.emplace(name, rule);
}

void add_gpt2_and_llama3(Table& table) {
  const Stages gpt2{byte_level(true)}, digits_first{digits(), byte_level(true)};
  add(table, {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "a.x-4.0", "mellum", "jais", "trillion", "granite-docling", "exaone4"}, {gpt2});
  add(table, {"mpt", "olmo"}, {gpt2, Extra::nfc});
  add(table, {"jina-v1-en", "jina-v2-code", "jina-v2-es", "jina-v2-de", "roberta-bpe"}, {gpt2, Extra::mask_left});
  add(table, {"modern-bert"}, {gpt2, Extra::nfc | Extra::mask_left});
  add(table, {"starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"}, {digits_first});
  add(table, {"command-r"}, {digits_first, Extra::nfc});
  add(table, {"falcon"}, {{Json::object().set("type", "Punctuation").set("behavior", "Contiguous"), byte_level(true), stage("Digits"), split("[0-9][0-9][0-9]")}});
  const Stages three = over_bytes({split(llama3)}), one = over_bytes({split(qwen2)});
  add(table, {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"},
      {three, Extra::ignore_merges | Extra::bos});
  add(table, {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, {three});
  add(table, {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"}, {one, Extra::nfc});
  add(table, {"stablelm2", "hunyuan", "solar-open", "grok-2"}, {one});
  add(table, {"qwen35"},
      {over_bytes({split(contractions + R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" + spaces)}), Extra::nfc});
  add(table, {"ufakzeka"}, {over_bytes({split(words + R"(|\p{N}|)" + signs + "|" + spaces)})});
  add(table, {"laguna"}, {over_bytes({split("[^\\n]+|[\\n]+"), split(qwen2)})});
  add(table, {"minicpm5"},
      {over_bytes({split("\\p{N}{1,3}"), split(contractions + "|" + words + R"(|\p{N}+|)" + signs + "|" + spaces)}), Extra::ignore_merges});
  add(table, {"jais-2"}, {over_bytes({split(jais2)})});
}

void add_cased_and_asian(Table& table) {
  add(table, {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {over_bytes({split(gpt4o)})});
  add(table, {"granite-embed-multi-97m"}, {over_bytes({split(gpt4o)}), Extra::ignore_merges});
  add(table, {"tekken"}, {over_bytes({split(tekken)}), Extra::ignore_merges | Extra::bos});
  add(table, {"tiny_aya", "cohere2moe"}, {over_bytes({split(threes), split(gpt4o)})});
  add(table, {"kimi-k2"}, {over_bytes({split(kimi_k2)})});
  add(table, {"youtu"},
      {over_bytes({split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+"), split(youtu)}), Extra::ignore_merges});
  add(table, {"deepseek-llm"}, {over_bytes({split("[\\r\\n]"), split(deepseek_letters), split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"), split("\\s+$"),
                                            split(cjk_to_yi), digits()})});
  add(table, {"deepseek-coder"}, {over_bytes({split("[\\r\\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(cjk_to_yi), digits()})});
  add(table, {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"}, {over_bytes({split("\\p{N}{1,3}"), split(kana_and_han), split(deepseek_v3)})});
  add(table, {"spark2_5"}, {over_bytes({split("\\p{N}{1,3}"), split(kana_and_han), split(spark), split("\\p{N}")})});
  add(table, {"afmoe"}, {over_bytes({split(threes_of_numbers), split(asian), split(deepseek_v3)})});
  add(table, {"poro-chat", "bloom", "gpt3-finnish"}, {over_bytes({split(bloom)})});
  add(table, {"viking"}, {over_bytes({split(bloom), digits()})});
}

void add_others(Table& table) {
  const Json punctuation = Json::object().set("type", "Punctuation");
  add(table, {"default"}, {over_bytes({split("[\\p{P}\\$\\+<=>\\^~\\|]+"), split("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"),
                             split("\\p{N}+"), split("[0-9][0-9][0-9]")})});
  add(table, {"chameleon"}, {{split("<sentinel:[0-9]+>"), split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"), split("([\\t\\n]|    |  )"), digits(), punctuation,
                              byte_level(true)},
                             Extra::bos});
  add(table, {"superbpe"}, {over_bytes({split("\\p{N}+"), split("(?=(\\d{3})+(?!\\d))")})});
  add(table, {"bailingmoe", "bailingmoe2", "llada-moe"},
      {over_bytes({split(R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)")})});
  add(table, {"seed-coder"}, {over_bytes({split(contractions + "|" + words + R"(|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)" + spaces)})});
  add(table, {"exaone-moe"},
      {over_bytes({split(contractions +
                         R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)")})});
  add(table, {"gemma4", "granite-embed-multi-311m"}, {{split("[^\\n]+|[\\n]+")}, Extra::marks | Extra::bos});
  add(table, {"sarvam-moe"}, {{split("[^\\n]+|[\\n]+")}, Extra::marks});
  add(table, {"whitespace"}, {{stage("WhitespaceSplit")}});
}

const Table& rules() {
  static const Table table = [] {
    Table made;
    add_gpt2_and_llama3(made);
    add_cased_and_asian(made);
    add_others(made);
    return made;
  }();
  return table;
}

}  // namespace

std::vector<std::string> pre_tokenizer_names() {
  std::vector<std::string> names;
  for (const auto& [name, rule] : rules()) names.push_back(name);
  return names;
}

NamedPreTokenizer pre_tokenizer_named(const std::string& name, const std::string& where) {
  const auto found = rules().find(name);
  if (found == rules().end()) throw Error({where, one_of(name, pre_tokenizer_names()), quoted(name), ""});
  const auto& [stages, extra] = found->second;
  NamedPreTokenizer named;
  named.pre_tokenizer = Json::object().set("type", "Sequence").set("pretokenizers", Json(Json::Array(stages)));
  if (has(extra, Extra::nfc)) named.normalizer = stage("NFC");
  if (has(extra, Extra::marks)) {
    named.normalizer = Json::object().set("type", "Replace").set("pattern", Json::object().set("String", " ")).set("content", "\u2581");
  }
  named.ignore_merges = has(extra, Extra::ignore_merges);
  named.adds_bos = has(extra, Extra::bos);
  named.mask_takes_left = has(extra, Extra::mask_left);
  return named;
}

}  // namespace vitrine
