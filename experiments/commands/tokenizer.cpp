#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/stopwatch.h"
#include "core/text/trainer.h"
#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/session.h"
#include "experiments/texts.h"

namespace vitrine {
namespace {

struct Options {
  std::string model = "bpe", file, folder;
  std::size_t vocabulary = 30'000, least_frequency = 0;
  bool json = false, quiet = false;
};

const TokenizerTrainer& trainer_named(const std::string& name) {
  std::vector<std::string_view> known;
  for (const TokenizerTrainer* trainer : all_tokenizer_trainers()) {
    if (trainer->name == name) return *trainer;
    known.push_back(trainer->name);
  }
  throw Error({"--model", joined(known), quoted(name), ""}, Fault::usage);
}

void write(const std::filesystem::path& path, const Json& json) {
  std::ofstream file(path, std::ios::binary);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) throw Error({path.string(), "to be written", "a failure", "is there room, and may you write there?"});
}

/// What transformers needs besides tokenizer.json.
Json config_of(const Json& tokenizer) {
  Json config = Json::object().set("tokenizer_class", "PreTrainedTokenizerFast").set("clean_up_tokenization_spaces", false);
  const std::pair<const char*, const char*> names[] = {{"<|endoftext|>", "bos_token"}, {"<|endoftext|>", "eos_token"}, {"<s>", "bos_token"},
                                                       {"</s>", "eos_token"},          {"<unk>", "unk_token"},         {"[UNK]", "unk_token"},
                                                       {"<pad>", "pad_token"},         {"[PAD]", "pad_token"},         {"[CLS]", "cls_token"},
                                                       {"[SEP]", "sep_token"},         {"[MASK]", "mask_token"}};
  for (const Json& token : tokenizer["added_tokens"].items()) {
    for (const auto& [text, key] : names) {
      if (token["content"].string() == text) config.set(key, text);
    }
  }
  return config;
}

void train(const Options& options) {
  const TokenizerTrainer& trainer = trainer_named(options.model);
  const std::string text = read_file("--file", options.file);
  if (text.empty()) throw Error({"--file", "a text", "an empty file", ""});
  const std::filesystem::path folder = options.folder;
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure || !std::filesystem::is_directory(folder)) throw Error({"-o", "a folder that can be made", quoted(options.folder), ""});
  Run run(progress_bar(options.quiet));
  const auto begin = std::chrono::steady_clock::now();
  const Json tokenizer = trainer.train(text, {options.vocabulary, options.least_frequency}, run);
  const double seconds = seconds_since(begin);
  write(folder / "tokenizer.json", tokenizer);
  write(folder / "tokenizer_config.json", config_of(tokenizer));
  const Json& vocab = tokenizer["model"]["vocab"];
  const std::size_t tokens = vocab.is_object() ? vocab.members().size() : vocab.items().size();
  if (options.json) {
    Json result = Json::object().set("model", trainer.name).set("tokens", static_cast<std::uint64_t>(tokens)).set("bytes", static_cast<std::uint64_t>(text.size()));
    std::puts(result.set("seconds", seconds).set("folder", folder.string()).dump(2).c_str());
    return;
  }
  std::printf("%s: %zu tokens from %zu bytes in %.1f s\n", (folder / "tokenizer.json").string().c_str(), tokens, text.size(), seconds);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("train", "learns a vocabulary from a text");
  sub->add_option("--model", options->model, "bpe (byte-level), wordpiece or unigram");
  sub->add_option("--vocabulary", options->vocabulary, "tokens, special ones included")->check(whole_number(1, 4'000'000));
  sub->add_option("--min-frequency", options->least_frequency, "leave out pairs (unigram: words) that occur less often")->check(whole_number(0, 1'000'000'000));
  sub->add_option("--file", options->file, "the text, - for the standard input")->required();
  sub->add_option("-o,--output", options->folder, "folder for tokenizer.json and tokenizer_config.json")->required();
  sub->add_flag("--json", options->json, "print JSON");
  sub->add_flag("--quiet", options->quiet, "no progress");
  app.require_subcommand(1);
  return [options] { train(*options); };
}

}  // namespace

const Command& command_tokenizer() {
  static const Command command{"tokenizer", "learns the vocabulary of a tokenizer (train)",
                               "vitrine tokenizer train --model bpe --vocabulary 8000 --file text.txt -o my-tokenizer", declare};
  return command;
}

}  // namespace vitrine
