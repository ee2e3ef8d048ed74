#include "experiments/texts.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/data/text_lists.h"

namespace vitrine {
namespace {

/// Names a file in errors about what stands in it.
std::string place_of(const std::string& path) { return path == "-" ? "the standard input" : path; }

/// @throws Error (usage) where one of a file and the name of its part is given without the other
void require_both(const std::string& file_flag, const std::string& file, const std::string& part_flag, const std::string& part) {
  if (file.empty() == part.empty()) return;
  const auto& [given, missing] = file.empty() ? std::pair(part_flag, file_flag) : std::pair(file_flag, part_flag);
  throw Error({given, missing + " beside it", "none", ""}, Fault::usage);
}

std::vector<int> parse_ids(std::string_view text) {
  std::vector<int> ids;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), ids.emplace_back());
    if (error != std::errc() || end != word.data() + word.size()) {
      throw Error({"--ids", "whole numbers with commas between them", quoted(word, 40), ""}, Fault::usage);
    }
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
  }
  return ids;
}

}  // namespace

void declare_text(CLI::App& app, TextOptions& options) {
  app.add_option("--text", options.text, "the text itself (may be empty)");
  app.add_option("--file", options.file, "a file with the text (- for the standard input)");
  // One argument a flag: a list must not swallow the model behind it.
  app.add_option_function<std::string>("--ids", [&options](const std::string& text) { options.ids = parse_ids(text); }, "token ids, used as they are: 1,2,3");
  app.add_option("--bos", options.bos, "auto (what the tokenizer declares), yes or no");
}

void declare_decoder_ids(CLI::App& app, TextOptions& options) {
  app.add_option_function<std::string>("--decoder-ids", [&options](const std::string& text) { options.decoder_ids = parse_ids(text); },
                                       "token ids in the decoder of an encoder-decoder, the start included: 2,0,5");
}

void declare_pair(CLI::App& app, TextOptions& options) {
  app.add_option("--pair", options.pair, "a second text, put behind each as the tokenizer declares");
}

void declare_texts(CLI::App& app, TextOptions& options) {
  declare_text(app, options);
  app.add_option("--lines", options.lines, "a file of one text a line (- for the standard input)");
  app.add_option("--jsonl", options.jsonl, "a file of one JSON object a line (- for the standard input)");
  app.add_option("--field", options.field, "the member of --jsonl's objects that is the text");
  app.add_option("--csv", options.csv, "a file of comma-separated values with a header (- for the standard input)");
  app.add_option("--column", options.column, "the column of --csv that is the text");
}

void require_one_source(const TextOptions& options) {
  int given = (options.text ? 1 : 0) + (options.ids.empty() ? 0 : 1);
  for (const std::string* path : {&options.file, &options.lines, &options.jsonl, &options.csv}) given += path->empty() ? 0 : 1;
  require_both("--jsonl", options.jsonl, "--field", options.field);
  require_both("--csv", options.csv, "--column", options.column);
  if (given == 1) return;
  throw Error({"input", "exactly one of --text, --file, --ids, --lines, --jsonl, --csv", std::to_string(given) + " of them", ""}, Fault::usage);
}

std::vector<std::string> texts_of(const TextOptions& options) {
  require_one_source(options);
  if (options.text) return {*options.text};
  if (!options.file.empty()) return {read_file("--file", options.file)};
  if (!options.lines.empty()) return lines_of(read_file("--lines", options.lines));
  if (!options.jsonl.empty()) return jsonl_texts(read_file("--jsonl", options.jsonl), options.field, place_of(options.jsonl));
  if (!options.csv.empty()) return csv_texts(read_file("--csv", options.csv), options.column, place_of(options.csv));
  throw Error({"input", "a text", "--ids", "give it with --text, --file, --lines, --jsonl or --csv"}, Fault::usage);
}

InputText encode_text(const Tokenizer& tokenizer, std::string text, const std::string& bos) {
  if (bos != "auto" && bos != "yes" && bos != "no") throw Error({"--bos", "auto, yes or no", quoted(bos), ""}, Fault::usage);
  const SpecialTokens& special = tokenizer.special();
  InputText input;
  input.text = std::move(text);
  input.tokens = tokenizer.encode(input.text, {});
  input.bos_added = special.adds_bos && special.bos && !input.tokens.empty() && input.tokens.front().id == *special.bos;
  input.bos_rule = bos;
  if (bos == "no" && input.bos_added) {
    input.tokens.erase(input.tokens.begin());
    input.bos_added = false;
  }
  if (bos == "yes" && !input.bos_added) {
    if (!special.bos) throw Error({"--bos yes", "a BOS token in the tokenizer", "none", ""}, Fault::usage);
    input.tokens.insert(input.tokens.begin(), {*special.bos, 0, 0});
    input.bos_added = true;
    input.bos_rule = "yes (the tokenizer adds none)";
  }
  return input;
}

InputText encode_pair(const Tokenizer& tokenizer, std::string text, const TextOptions& options) {
  if (options.bos != "auto") throw Error({"--pair", "--bos auto", "--bos " + options.bos, ""}, Fault::usage);
  InputText input;
  input.tokens = tokenizer.encode_pair(text, options.pair, {});
  input.text = std::move(text);
  input.pair = options.pair;
  input.bos_rule = "auto";
  return input;
}

std::string data_sha256(std::span<const InputText> inputs) {
  std::string all;
  for (const InputText& input : inputs) {
    std::string data = input.text;
    if (!input.pair.empty()) data += "\n" + input.pair;
    if (data.empty() && input.bos_rule == bos_of_ids) {
      for (const Token& token : input.tokens) data += (data.empty() ? "" : ",") + std::to_string(token.id);
    }
    const std::string hash = sha256(data);
    if (inputs.size() == 1) return hash;
    all += hash + "\n";
  }
  return sha256(all);
}

std::string read_file(const std::string& flag, const std::string& path, const std::string& expected) {
  std::ifstream file;
  const bool standard = path == "-";
  std::error_code ignored;
  if (!standard && std::filesystem::is_directory(path, ignored)) throw Error({flag + " " + path, expected, "a folder", ""});
  if (!standard) file.open(path, std::ios::binary);
  std::istream& source = standard ? std::cin : file;
  std::string text((std::istreambuf_iterator<char>(source)), std::istreambuf_iterator<char>());
  if ((!standard && !file.is_open()) || source.bad()) throw Error({flag + " " + path, expected, "none", ""});
  return text;
}

}  // namespace vitrine
