// The commands by which people use heads and encoder-decoders, on tiny models: commands.json holds what transformers answers
// (make_commands.py here).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace vitrine {
namespace {

constexpr double tolerance = 1e-5;  // of a probability, relative; of a log-probability, absolute

Json cases() {
  std::ifstream file(std::filesystem::path(VITRINE_TEST_DATA) / "experiments" / "commands.json");
  return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "commands.json");
}

std::string list_of(const Json& ids) {
  std::string list;
  for (const Json& id : ids.items()) list += (list.empty() ? "" : ",") + id.dump();
  return list;
}

/// Fails where the program does not end well.
Json answer_of(const Json& tested, const std::string& more) {
  const std::string command = std::string(VITRINE_PROGRAM) + " " + tested["command"].string() + " " + VITRINE_TEST_DATA + "/golden/" + tested["model"].string() +
                              "/model --precision exact --json --quiet --ids " + list_of(tested["ids"]) + more;
  std::FILE* pipe = popen(command.c_str(), "r");
  std::string out;
  char block[4096];
  for (std::size_t count; pipe && (count = std::fread(block, 1, sizeof block, pipe)) > 0;) out.append(block, count);
  const int status = pipe ? pclose(pipe) : -1;
  EXPECT_EQ(status, 0) << command;
  return status == 0 ? parse_json(out, "stdout") : Json();
}

void expect_gaps(const Json& tested) {
  const std::size_t top = tested["masks"].items().front()["ids"].items().size();
  const Json answer = answer_of(tested, " --mask-id " + tested["mask"].dump() + " --top " + std::to_string(top));
  ASSERT_EQ(answer["masks"].items().size(), tested["masks"].items().size());
  for (std::size_t m = 0; m < tested["masks"].items().size(); ++m) {
    const Json &expected = tested["masks"].items()[m], &found = answer["masks"].items()[m];
    EXPECT_EQ(found["position"].integer(), expected["position"].integer());
    ASSERT_EQ(found["candidates"].items().size(), top);
    for (std::size_t i = 0; i < top; ++i) {
      const Json& candidate = found["candidates"].items()[i];
      const double probability = expected["probabilities"].items()[i].number();
      EXPECT_EQ(candidate["id"].integer(), expected["ids"].items()[i].integer()) << i;
      EXPECT_NEAR(candidate["probability"].number(), probability, tolerance * probability) << i;
    }
  }
}

void expect_labels(const Json& tested) {
  const Json answer = answer_of(tested, "");
  std::vector<Json> rows;
  if (answer.has("tokens")) rows = answer["tokens"].items();
  else rows.push_back(answer);
  ASSERT_EQ(rows.size(), tested["labels"].items().size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto &expected = tested["labels"].items()[r].items(), &found = rows[r]["labels"].items();
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const Json& number = found[i].has("probability") ? found[i]["probability"] : found[i]["value"];
      EXPECT_NEAR(number.number(), expected[i].number(), tolerance * std::max(1.0, std::abs(expected[i].number()))) << r << ", " << i;
    }
  }
}

void expect_text(const Json& tested) {
  const Json answer = answer_of(tested, " --max-tokens 10");
  std::vector<std::int64_t> found, expected;
  for (const Json& token : answer["tokens"].items()) found.push_back(token["id"].integer());
  for (const Json& id : tested["said"].items()) expected.push_back(id.integer());
  EXPECT_EQ(found, expected);
}

void expect_sum(const Json& tested) {
  const Json answer = answer_of(tested, " --decoder-ids " + list_of(tested["target"]));
  EXPECT_NEAR(answer["sum"].number(), tested["sum"].number(), tolerance * tested["target"].items().size());
}

TEST(GoldenCommands, AnswerAsTransformersDoes) {
  const Json all = cases();
  ASSERT_GE(all.items().size(), 25u);
  for (const Json& tested : all.items()) {
    const std::string& command = tested["command"].string();
    SCOPED_TRACE(command + " " + tested["model"].string());
    if (command == "fill") expect_gaps(tested);
    else if (command == "classify") expect_labels(tested);
    else if (command == "generate") expect_text(tested);
    else if (command == "score") expect_sum(tested);
    else ADD_FAILURE() << "no such command";
  }
}

}  // namespace
}  // namespace vitrine
