#include "experiments/patch_pairs.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "experiments/continuation.h"
#include "core/base/csv.h"
#include "experiments/data/text_lists.h"

namespace vitrine {
namespace {

InputText encoded(const Session& session, const std::string& text, const PatchReading& reading) {
  TextOptions options = reading.text;
  options.text = text;
  return session.read(options);
}

[[noreturn]] void refuse_answer(const Session& session, const std::string& answer, std::span<const TokenId> ids) {
  std::string pieces;
  for (const TokenId id : ids) pieces += (pieces.empty() ? "" : ", ") + quoted(session.model().tokenizer->piece(id), 40);
  throw Error({"answer " + quoted(answer), "a single token", ids.empty() ? "none" : std::to_string(ids.size()) + ": " + pieces,
               "choose a shorter word, with the space before it where a text goes on with one"}, Fault::usage);
}

std::size_t position_of(const Session& session, const ModelText& text, const PatchReading& reading) {
  if (reading.position) {
    if (*reading.position < text.ids.size()) return *reading.position;
    throw Error({"--position", "a position of the text, 0 to " + std::to_string(text.ids.size() - 1), std::to_string(*reading.position), ""}, Fault::usage);
  }
  if (session.model().spec.causal()) return text.ids.size() - 1;
  const std::optional<TokenId> mask = session.model().tokenizer->special().mask;
  const auto found = mask ? std::ranges::find(text.ids, *mask) : text.ids.end();
  if (mask && std::ranges::count(text.ids, *mask) > 1) throw Error({"--clean", "one mask token, or --position", std::to_string(std::ranges::count(text.ids, *mask)) + " mask tokens", ""}, Fault::usage);
  if (found == text.ids.end()) throw Error({"--clean", "a mask token, whose place the answers are for", "none", "put the model's mask token in the text, or name a place with --position"}, Fault::usage);
  return static_cast<std::size_t>(found - text.ids.begin());
}

PatchQuestion question_of(const Session& session, const InputText& input, const PatchReading& reading) {
  ModelText text = std::move(session.model_texts({&input, 1}, reading.text).front());
  if (text.ids.empty()) throw Error({"--clean", "at least one token", "none", ""}, Fault::usage);
  const std::size_t position = position_of(session, text, reading);
  return {std::move(text), 0, 0, position};
}

std::vector<std::string> labels_of(const Session& session, std::span<const TokenId> ids) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < ids.size(); ++i) labels.push_back(std::to_string(i) + " " + printable(session.model().tokenizer->piece(ids[i])));
  return labels;
}

}  // namespace

std::vector<PatchPair> read_patch_pairs(const std::filesystem::path& path) {
  constexpr std::array<const char*, 4> names{"clean", "corrupt", "answer", "wrong"};
  const std::string content = read_file("--pairs", path.string(), "a readable CSV or JSON Lines file"), where = path.string();
  std::vector<PatchPair> pairs;
  std::array<std::string PatchPair::*, 4> members{&PatchPair::clean, &PatchPair::corrupt, &PatchPair::answer, &PatchPair::wrong};
  const bool is_csv = path.extension() == ".csv";
  const Csv csv = is_csv ? parse_csv(content, where) : Csv{};
  for (std::size_t m = 0; m < names.size(); ++m) {
    std::vector<std::string> texts;
    if (is_csv) {
      const std::size_t column = csv.column(names[m], where);
      for (const std::vector<std::string>& row : csv.rows) texts.push_back(row[column]);
    } else {
      texts = jsonl_texts(content, names[m], where);
    }
    pairs.resize(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) pairs[i].*members[m] = std::move(texts[i]);
  }
  if (pairs.empty()) throw Error({where, "at least one pair", "none", ""});
  return pairs;
}

TokenId answer_token(const Session& session, const std::string& text, const std::string& answer, const PatchReading& reading) {
  std::vector<TokenId> ids;
  if (session.model().spec.causal() && !session.has_encoder()) {
    const std::vector<Token> tokens = encoded(session, text + answer, reading).tokens;
    const ContinuationTokens found = continuation_tokens(tokens, text.size());
    for (std::size_t i = found.begin; i < found.end; ++i) ids.push_back(tokens[i].id);
    if (found.straddles) throw Error({"answer " + quoted(answer), "a token that begins where the text ends", "one that swallows the text's end", "begin the answer with a space, or end the text before one"}, Fault::usage);
  } else {
    for (const Token& token : session.model().tokenizer->encode(answer, {.add_special = false, .parse_special = false})) ids.push_back(token.id);
  }
  if (ids.size() != 1) refuse_answer(session, answer, ids);
  return ids.front();
}

PatchQuestions read_questions(const Session& session, const PatchPair& pair, const PatchReading& reading) {
  if (!session.model().tokenizer) throw Error({session.model().path.string(), "a tokenizer", "none", "choose a model with one"}, Fault::usage);
  PatchQuestions questions{question_of(session, encoded(session, pair.clean, reading), reading), question_of(session, encoded(session, pair.corrupt, reading), reading), 0, {}};
  questions.first_changed = first_difference(questions.clean.text, questions.corrupt.text);
  const TokenId answer = answer_token(session, pair.clean, pair.answer, reading), wrong = answer_token(session, pair.clean, pair.wrong, reading);
  if (answer == wrong) throw Error({"--wrong", "another token than --answer", quoted(pair.wrong), ""}, Fault::usage);
  for (PatchQuestion* question : {&questions.clean, &questions.corrupt}) {
    question->answer = answer;
    question->wrong = wrong;
  }
  if (questions.clean.position != questions.corrupt.position) throw Error({"--corrupt", "its mask where --clean has its own", "another place", "write the texts token by token alike"}, Fault::usage);
  questions.tokens = labels_of(session, reading.stack == Stack::encoder ? questions.clean.text.source : questions.clean.text.ids);
  return questions;
}

}  // namespace vitrine
