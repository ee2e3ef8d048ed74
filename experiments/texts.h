#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace CLI {
class App;
}

namespace vitrine {

/// Where a text, or a file of many, comes from (cli.md: Text, Many texts). A path "-" is the standard input.
struct TextOptions {
  std::optional<std::string> text;
  std::string file;
  std::vector<int> ids;
  std::vector<int> decoder_ids;  ///< of an encoder-decoder: what stands in the decoder
  std::string pair;              ///< a second text, put behind each as the tokenizer declares
  std::string bos = "auto";
  std::string lines;          ///< a file of one text a line
  std::string jsonl, field;   ///< a file of JSON objects, one a line, and the member that is the text
  std::string csv, column;    ///< a file of comma-separated values and the column that is the text

  /// Whether the texts are those of a file of many: results are then one row an item.
  bool many() const { return !lines.empty() || !jsonl.empty() || !csv.empty(); }
};

/// --text, --file, --ids and --bos.
void declare_text(CLI::App& app, TextOptions& options);
/// --decoder-ids, of commands that run a decoder beside an encoder.
void declare_decoder_ids(CLI::App& app, TextOptions& options);
/// --pair, of commands for models that read two texts.
void declare_pair(CLI::App& app, TextOptions& options);
/// --text, --file, --ids, --bos and --lines, --jsonl with --field, --csv with --column.
void declare_texts(CLI::App& app, TextOptions& options);

/// @throws Error (usage) unless exactly one source is named, with what it needs
void require_one_source(const TextOptions& options);

/// The texts as they are written: one, or those of the file of many in its order.
/// @throws Error (usage) where ids or no text are given; Error where a file cannot be read, naming its line
std::vector<std::string> texts_of(const TextOptions& options);

constexpr std::string_view bos_of_ids = "ids as given";

struct InputText {
  std::string text;           ///< empty where ids were given
  std::string pair{};         ///< a second text, where there is one
  std::vector<Token> tokens;  ///< with a BOS where asked for
  bool bos_added = false;     ///< the first token is a BOS
  std::string bos_rule;       ///< "auto", "yes (the tokenizer adds none)", ...
};

/// @param bos  "auto" (what the tokenizer declares), "yes" or "no"
/// @throws Error (usage) for another word, or "yes" where the tokenizer has no BOS
InputText encode_text(const Tokenizer& tokenizer, std::string text, const std::string& bos);

/// Two texts, with the type of each token. @throws Error as encode_text; --bos has nothing to say here
InputText encode_pair(const Tokenizer& tokenizer, std::string text, const TextOptions& options);

/// What a signature says of its data: the SHA-256 of the text's bytes, of its ids "1,2,3" where it has no text. Several
/// inputs: of the lines of theirs.
std::string data_sha256(std::span<const InputText> inputs);

/// A whole file, "-" for the standard input. @param flag  names it in the error, as "--file"  @throws Error
/// @param expected  what should be there
std::string read_file(const std::string& flag, const std::string& path, const std::string& expected = "a readable file");

}  // namespace vitrine
