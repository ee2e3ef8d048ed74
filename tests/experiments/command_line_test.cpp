// The program itself, as a shell starts it.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/json.h"
#include "experiments/tuning.h"
#include "kernels/kernels.h"
#include "probes/recording.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

struct Answer {
  int code = -1;
  std::string out;  // with what went to stderr, where the command says 2>&1
};

/// @param before  what the shell does first
Answer run(const std::string& arguments, const std::string& before = "") {
  std::FILE* pipe = popen((before + VITRINE_PROGRAM + " " + arguments).c_str(), "r");
  Answer answer;
  char block[4096];
  for (std::size_t count; pipe && (count = std::fread(block, 1, sizeof block, pipe)) > 0;) answer.out.append(block, count);
  const int status = pipe ? pclose(pipe) : -1;
  answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return answer;
}

class CommandLine : public testing::Test {
 protected:
  // Not the tables of `vitrine tune` of whoever runs the tests.
  CommandLine() { setenv("XDG_CACHE_HOME", (model.path() + "/cache").c_str(), 1); }
  Json json(const std::string& command, const std::string& rest) {
    const Answer answer = run(command + " " + model.path() + " --json --precision exact --quiet " + rest);
    EXPECT_EQ(answer.code, 0) << rest;
    return answer.code == 0 ? parse_json(answer.out, "stdout") : Json();
  }
  void expect_refused(const std::string& command, int code, const std::string& words) {
    const Answer answer = run(command + " 2>&1");
    EXPECT_EQ(answer.code, code) << command;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;  // one line
    EXPECT_NE(answer.out.find(words), std::string::npos) << answer.out;
  }
  std::string file_of(const std::string& name) const {
    std::ifstream file(model.path() + "/" + name);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  TokenizingModel model;
};

TEST_F(CommandLine, QuantisedCaches) {
  for (const char* kv : {"f32", "f16", "int8", "int8:hadamard", "int4", "int4:hadamard"}) {
    EXPECT_EQ(run("score " + model.path() + " --ids 1,2,3 --quiet --kv " + kv).code, 0) << kv;
    EXPECT_EQ(run("generate " + model.path() + " --ids 1,2,3 --max-tokens 2 --quiet --kv " + kv).code, 0) << kv;
  }
  const Answer info = run("info " + model.path() + " --json --kv int4:hadamard");
  ASSERT_EQ(info.code, 0);
  EXPECT_EQ(parse_json(info.out, "stdout")["kv"].string(), "INT4:HADAMARD");
  expect_refused("score " + model.path() + " --ids 1,2 --kv int8 --precision exact", 2, "--kv: expected f32 under --precision exact");
  expect_refused("score " + model.path() + " --ids 1,2 --kv int5", 2, "int8:hadamard");
  expect_refused("score " + model.path() + " --ids 1,2 --kv int8 --kernel gemm", 2, "expected a cache of f32 or f16 (--kv f32, --kv f16), found a llama model with keys in INT8");
  const std::string bert = std::string(VITRINE_TEST_DATA) + "/golden/bert/model";
  expect_refused("embed " + bert + " --ids 1,2 --kv int8", 2, "a causal model, which has a cache");
}

TEST_F(CommandLine, ListsDoNotSwallowTheModel) {
  EXPECT_EQ(run("score --ids 1,2,3 " + model.path() + " --quiet").code, 0);
  const std::string file = model.write("run.h5", "");
  EXPECT_EQ(run("record --points resid_mid,z " + model.path() + " --ids 1,2 -o " + file).code, 0);
  EXPECT_EQ(run("score --continuation b " + model.path() + " --text a").code, 0);
}

TEST_F(CommandLine, ManyTextsGiveOneResultEachInTheirOrder) {
  const std::string lines = model.write("lines.txt", "\xef\xbb\xbf" "abc ab\r\n\r\nca\n");
  const std::string jsonl = model.write("texts.jsonl", "{\"t\": \"abc ab\"}\n{\"t\": \"\"}\n{\"t\": \"ca\"}\n");
  const std::string csv = model.write("texts.csv", "n,t\n1,abc ab\n2,\n3,ca\n");
  for (const std::string& source : {"--lines " + lines, "--lines - < " + lines, "--jsonl " + jsonl + " --field t", "--csv " + csv + " --column t"}) {
    for (const char* command : {"score", "tokenize", "embed"}) {
      const Json all = json(command, source);
      const Json& sequences = all["sequences"];
      ASSERT_TRUE(sequences.is_array() && sequences.items().size() == 3) << command << " " << source;
      for (std::size_t i = 0; i < 3; ++i) {
        const Json& item = sequences.items()[i];
        EXPECT_EQ(item["id"].integer(), static_cast<std::int64_t>(i));
        if (i == 1) continue;  // a single empty text has no embedding at all
        const Json alone = json(command, i == 0 ? "--text 'abc ab'" : "--text ca");
        for (const auto& [name, value] : item.members()) {
          if (name == "id" || name == "protocol") continue;
          EXPECT_EQ(value.dump(), alone[name].dump()) << command << " " << name;
        }
      }
    }
  }
}

TEST_F(CommandLine, ManyTextsAreOneRecording) {
  const std::string lines = model.write("lines.txt", "abc ab\n\nca\n"), file = model.write("many.h5", "");
  const Json result = json("record", "--lines " + lines + " -o " + file);
  EXPECT_EQ(result["sequences"].items().size(), 3u);
  const auto recording = Recording::open(file);
  ASSERT_EQ(recording->sequences(), 3u);
  EXPECT_EQ(recording->token_ids(0), (std::vector<std::int32_t>{5, 3, 4}));
  EXPECT_TRUE(recording->token_ids(1).empty());
  EXPECT_EQ(recording->token_ids(2), (std::vector<std::int32_t>{2, 0}));
  const double score = json("score", "--text ca")["sum"].number();
  EXPECT_NEAR(recording->log_probabilities(2)[1], score, 1e-5);
}

TEST_F(CommandLine, AContinuationIsTheDifferenceOfTwoSums) {
  const Json result = json("score", "--text 'abc ab' --continuation ' ab' --continuation c --bos yes");
  const Json& first = result["continuations"].items()[0];
  const double whole = json("score", "--text 'abc ab ab' --bos yes")["sum"].number();
  EXPECT_NEAR(first["sum"].number(), whole - result["sum"].number(), 1e-9);
  EXPECT_EQ(first["straddles"].dump(), "false");
  EXPECT_EQ(first["tokens_scored"].integer(), 2);
  const Json straddling = json("score", "--text 'ca' --continuation bc")["continuations"].items()[0];
  EXPECT_EQ(straddling["straddles"].dump(), "true");  // "abc" is one token
  EXPECT_EQ(straddling["tokens"].items().size(), 1u);
  EXPECT_EQ(straddling["tokens"].items()[0]["text"].string(), "abc");
}

TEST_F(CommandLine, TopShowsTheLikeliestTokensOfAPlace) {
  const Json result = json("score", "--text 'abc ab' --top 2");
  EXPECT_TRUE(result["tokens"].items()[0]["top"].is_null());
  const Json& top = result["tokens"].items()[1]["top"];
  ASSERT_EQ(top.items().size(), 2u);
  EXPECT_GE(top.items()[0]["logprob"].number(), top.items()[1]["logprob"].number());
  EXPECT_EQ(run("score " + model.path() + " --text ab --top 2 --format csv").out.find("position,id,text,logprob,top_1,top_1_logprob,top_2,"), 0u);
}

TEST_F(CommandLine, MistakesAreOneLine) {
  const std::string score = "score " + model.path(), bad = model.write("bad.jsonl", "{\"t\": \"a\"}\n{\"t\": 1}\n");
  expect_refused(score + " --jsonl " + bad + " --field t", 1, "line 2, field 't': expected a string, found a number");
  expect_refused(score + " --jsonl " + bad, 2, "--field");
  expect_refused(score + " --text a --field t", 2, "--jsonl");
  expect_refused(score + " --text a --column t", 2, "--csv");
  expect_refused(score + " --text a --lines x", 2, "exactly one");
  expect_refused(score + " --lines /nowhere", 1, "/nowhere");
  expect_refused(score + " --lines /", 1, "a folder");
  expect_refused(score + " --text a --format xml", 2, "table (default), csv or json");
  expect_refused("info " + model.path() + " --format csv", 2, "table (default) or json");
  expect_refused(score + " --ids 1,2 --continuation a", 2, "--ids");
  expect_refused(score + " --text a --continuation ''", 2, "an empty text");
  expect_refused(score + " --text ab --top 1000", 2, "the vocabulary");
  const std::string tokens = model.write("long.txt", "a\n" + std::string(70, 'c') + "\n");
  expect_refused("embed " + model.path() + " --lines " + tokens, 1, "text 1 (counted from 0): expected at most 64 tokens");
}

/// A limit on the file's size fails writes as a full disk does; the library's own end must stay quiet too.
TEST_F(CommandLine, AFileThatMayNotGrowIsOneLine) {
  const std::string file = model.write("full.h5", "");
  std::string ids = "1";
  for (int i = 1; i < 60; ++i) ids += ",2";
  const Answer answer = run("record " + model.path() + " --ids " + ids + " --points all -o " + file + " 2>&1", "trap '' XFSZ; ulimit -f 100; ");
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;
  EXPECT_NE(answer.out.find("File too large"), std::string::npos) << answer.out;
  expect_refused("heads " + file, 1, file);
}

TEST_F(CommandLine, AFullDiskIsOneLineAndLeavesAReadableFile) {
  const std::string disk = model.path() + "/disk", file = disk + "/full.h5";
  std::filesystem::create_directory(disk);
  std::string ids = "1";
  for (int i = 1; i < 60; ++i) ids += ",2";
  for (const int kilobytes : {96, 120, 144, 168}) {
    if (std::system(("mount -t tmpfs -o size=" + std::to_string(kilobytes) + "k tmpfs " + disk + " 2>/dev/null").c_str()) != 0) {
      GTEST_SKIP() << "a disk of a few kilobytes needs the right to mount one";
    }
    const Answer answer = run("record " + model.path() + " --ids " + ids + " --points all -o " + file + " 2>&1");
    EXPECT_EQ(answer.code, 1) << kilobytes;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;
    EXPECT_NE(answer.out.find("No space left on device"), std::string::npos) << answer.out;
    expect_refused("heads " + file, 1, "nothing was committed");
    EXPECT_EQ(std::system(("umount " + disk).c_str()), 0);
  }
}

TEST_F(CommandLine, ANumberIsWhatItSays) {
  const std::string score = "score " + model.path();
  expect_refused(score + " --ids ''", 2, "whole numbers with commas");
  expect_refused(score + " --ids 1,,2", 2, "found ''");
  expect_refused(score + " --text a --threads 0", 2, "from 1 to 1024, found 0");
  expect_refused(score + " --text a --seed -1", 2, "found -1");
  expect_refused(score + " --text a --stride 0", 2, "found 0");
  expect_refused("generate " + model.path() + " --text a --max-tokens 99999999999999999999", 2, "whole number");
  expect_refused("generate " + model.path() + " --text a --temperature nan", 2, "found nan");
}

TEST_F(CommandLine, AKernelSaysInOneLineWhatItCannotDo) {
  const std::string score = "score " + model.path() + " --text a --kernel ";
  expect_refused(score + "additive", 2, "expected scores v . tanh(q + k) of a model that learned such a v");
  expect_refused(score + "block_sparse:pattern=round", 2, "expected pattern=banded or pattern=bigbird, found 'round'");
  expect_refused(score + "block_sparse:pattern=banded", 2, "window=N, a whole number from 1, found none");
  expect_refused(score + "top_k", 2, "k=N, a whole number from 1, found none");
  expect_refused(score + "top_k:k=4,k=5", 2, "'k': expected once, found twice");
  expect_refused(score + "performer:features=100000000", 2, "expected at most 65536, found 100000000");
}

TEST_F(CommandLine, APrecisionIsInTheSignatureOrRefused) {
  expect_refused("score " + model.path() + " --text a --precision best", 2, "expected fast, exact or int8, found 'best'");
  expect_refused("score " + model.path() + " --text a --precision int8 --simd SCALAR", 2, "expected a CPU with AVX-512 VNNI");
  for (const char* precision : {"fast", "exact", "int8"}) {
    if (std::string_view(precision) == "int8" && !has_int8_products()) continue;
    const Answer printed = run("score " + model.path() + " --json --quiet --text 'abc abc' --precision " + precision);
    ASSERT_EQ(printed.code, 0) << precision;
    const Json answer = parse_json(printed.out, "stdout");
    EXPECT_EQ(answer["signature"]["precision"].string(), precision);
    EXPECT_TRUE(std::isfinite(answer["sum"].number()));
  }
}

TEST_F(CommandLine, AFullStandardOutputIsAFailure) {
  const Answer answer = run("list kernels 2>&1 >/dev/full");
  EXPECT_EQ(answer.code, 1);
  EXPECT_NE(answer.out.find("No space left on device"), std::string::npos) << answer.out;
}

TEST_F(CommandLine, TheSignatureNamesKernelOptionsAndData) {
  EXPECT_EQ(json("score", "--text 'a b' --kernel sliding_window:window=2")["signature"]["kernel"].string(), "sliding_window:window=2");
  const Json signature = json("score", "--text abc")["signature"];
  EXPECT_EQ(signature["kernel"].string(), "flash");
  EXPECT_EQ(signature["data_sha256"].string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-2, B.1
}

TEST_F(CommandLine, AutoIsWhatTheTableSaysAndSaysSo) {
  EXPECT_EQ(json("info", "")["attention_kernel"].string(), "flash (auto: the default, no table of `vitrine tune` for this machine)");
  const Json before = json("score", "--text 'abc ab' --threads 1");
  TuningTable table{tuning_key(1), shapes_to_tune()};
  for (TunedShape& place : table.shapes) place.seconds = {{"flash", 2e-3}, {"online_softmax", 1e-3}, {"reference", 3e-3}};
  write_tuning(table);
  EXPECT_EQ(json("info", "--threads 1")["attention_kernel"].string(), "online_softmax (auto: the fastest one by `vitrine tune`)");
  const Json first = json("score", "--text 'abc ab' --threads 1"), again = json("score", "--text 'abc ab' --threads 1");
  EXPECT_EQ(first.dump(), again.dump());
  EXPECT_EQ(first["signature"]["kernel"].string(), "online_softmax");
  EXPECT_EQ(first["signature"]["kernel_choice"].string(), "auto: the fastest one by `vitrine tune`");
  EXPECT_NEAR(first["sum"].number(), before["sum"].number(), 1e-5);
  EXPECT_EQ(json("score", "--text 'abc ab' --threads 1 --kernel flash")["sum"].dump(), before["sum"].dump());
  std::ofstream(tuning_path(table.key)) << "{\"format\": 1, \"key\": ";
  const Answer damaged = run("info " + model.path() + " --threads 1 2>&1 >/dev/null");
  EXPECT_EQ(damaged.code, 0);
  EXPECT_EQ(damaged.out.find('\n'), damaged.out.size() - 1) << damaged.out;
  EXPECT_NE(damaged.out.find("damaged file; it is not used: run `vitrine tune` again"), std::string::npos) << damaged.out;
}

TEST_F(CommandLine, RecordingsAndTheirToolsSayWhatIsMeant) {
  const std::string file = model.write("said.h5", ""), record = "record " + model.path() + " --ids 1,2,3 --quiet -o " + file;
  expect_refused(record + " --store auto,nope=int8", 2, "--store nope=int8: expected a point of this model");
  expect_refused(record + " --store auto,mlp_out=int8", 2, "expected a point that is recorded: of default, rot_q, rot_k, found 'mlp_out'; add it to --points");
  const Answer plan = run(record + " --compress gzip --plan --json");
  ASSERT_EQ(plan.code, 0);
  const Json planned = parse_json(plan.out, "stdout");
  ASSERT_EQ(planned["compressed_file_bytes_estimate"].items().size(), 2u);
  EXPECT_LT(planned["compressed_file_bytes_estimate"].items()[1].integer(), planned["file_bytes"].integer());
  ASSERT_EQ(run(record).code, 0);
  const Answer repair = run("h5 repair " + file + " --quiet");
  EXPECT_NE(repair.out.find("nothing to repair"), std::string::npos) << repair.out;
  expect_refused("h5 check " + model.write("no.h5", "not a recording"), 1, "no.h5");
}

TEST_F(CommandLine, WhatWouldNotBeFollowedIsRefused) {
  const std::string score = "score " + model.path() + " --ids 1,2,3 --quiet ";
  EXPECT_EQ(run(score + "--intervene zero:all").code, 0);
  expect_refused(score + "--intervene zero:blocks.0.ln1.hook_scale", 2, "found blocks.0.ln1.hook_scale, which is derived from them");
  expect_refused(score + "--intervene knockout:scores:key=0,of=cross", 2, "of: expected an encoder-decoder");
  const std::string t5 = std::string(VITRINE_TEST_DATA) + "/golden/encoder_decoders/t5/model", record = "record " + t5 + " --ids 1,2,3 --decoder-ids 1,2 --attention none --quiet -o " + model.write("t5.h5", "");
  expect_refused(record + " --intervene knockout:scores:key=0", 2, "of=encoder, of=decoder or of=cross, found maps of 3 kinds");
  EXPECT_EQ(run(record + " --intervene knockout:scores:key=0,of=cross").code, 0);
  const std::string attribute = "attribute " + model.path() + " --ids 1,2,3 --target-id 1 ";
  expect_refused(attribute + "--method gradient --steps 10", 2, "--steps: expected a method that follows it, found --method gradient");
  expect_refused(attribute + "--method gradient --baseline zero", 2, "--baseline");
}

TEST_F(CommandLine, AGeneratedRecordingHoldsThePlaceholderOfAScrubbedPrompt) {
  const std::string file = model.write("scrubbed.h5", ""), rules = model.write("rules.json", "[{\"label\": \"A\", \"pattern\": \"abc\"}]");
  std::string tokenizer = file_of("tokenizer.json");
  tokenizer.replace(tokenizer.find("\"bc\""), 4, "\"<\"");  // so that the placeholder is not lost
  model.write("tokenizer.json", tokenizer);
  const Answer answer = run("generate " + model.path() + " --text 'abc ab' --max-tokens 3 --quiet --scrub-rules " + rules + " --record " + file + " 2>&1");
  ASSERT_EQ(answer.code, 0) << answer.out;
  const auto recording = Recording::open(file);
  const std::vector<std::int32_t> marks = recording->scrub_marks(0, Recording::Side::text);
  ASSERT_EQ(marks.size(), recording->rows_of(0).count);
  EXPECT_GT(marks.front(), 0);
  EXPECT_EQ(marks.back(), 0);
  EXPECT_EQ(recording->provenance()["provenance"]["command_line"].string().find("abc ab"), std::string::npos);
}

TEST_F(CommandLine, FewerBlocksThanTheWeightsHaveAreRefused) {
  std::string config = file_of("config.json");
  const std::size_t at = config.find("\"num_hidden_layers\": ");
  ASSERT_NE(at, std::string::npos);
  config[at + 21] = '1';
  model.write("config.json", config);
  expect_refused("info " + model.path(), 1, "would not be used");
}

TEST_F(CommandLine, AnUnknownCommandIsNamed) {
  expect_refused("scor " + model.path(), 2, "found 'scor'");
  expect_refused("", 2, "found none");
  expect_refused("study nope", 2, "expected circuits, hooks, ioi, mediation, pairs, rtn-table, tradeoff, found 'nope'");
}

}  // namespace
}  // namespace vitrine
