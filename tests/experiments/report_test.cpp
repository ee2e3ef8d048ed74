// `vitrine report` on a tiny recording and a study: what the page holds, and that a browser shows it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>

#include "experiments/study.h"
#include "tests/experiments/run_program.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::string program = std::string(VITRINE_PROGRAM) + " ";

StudyResult small_study() {
  StudyResult result;
  result.study = "pairs";
  result.title = "A <study> & more";
  result.question = "Is it so?";
  result.signature = Json::object().set("model", "m.gguf").set("seed", 7);
  Estimate estimate = clustered_mean("first \"part\"", std::vector<double>{0.1, 0.2, 0.4, 0.3, 0.2, 0.5, 0.1, 0.3, 0.25, 0.15, 0.2}, {});
  estimate.unit = "nats";
  judge(estimate, 0.0, 0.1);
  result.estimates = {estimate, not_measurable("second", "share", "no items")};
  result.tables = {{"Rows", {"name", "value"}, {{"one", "0.5"}, {"two", ""}}}};
  result.notes = {"a note"};
  result.items = {"", {"item", "value"}, {{"0", "0.5"}}};
  result.licenses = "none";
  return result;
}

/// A model, a recording and a study in a folder that goes with the object.
class ReportTest : public testing::Test {
 protected:
  void SetUp() override {
    text_ = model_.write("text.txt", "abc ab,\"ca\nbc abc ab,\"ca bc abc");
    recording_ = model_.path() + "/run.h5";
    const Answer recorded = run(program + "record " + model_.path() + " --file " + text_ + " -o " + recording_ + " --quiet");
    ASSERT_EQ(recorded.code, 0) << recorded.out;
    study_ = model_.path() + "/study";
    write_study(small_study(), study_);
    page_ = model_.path() + "/report.html";
  }
  Answer report(const std::string& words) { return run(program + "report " + words + " -o " + page_ + " --quiet"); }

  TokenizingModel model_;
  std::string text_, recording_, study_, page_;
};

TEST_F(ReportTest, IsOneFileWithEverything) {
  ASSERT_EQ(report(recording_ + " " + study_).code, 0);
  const std::string html = read(page_);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  // Nothing is fetched: the only addresses are SVG's names, which nobody opens.
  const std::regex address("https?://[a-z.0-9]+"), token(R"re(<b (?:class=s[0-9]+ )?title="[0-9]+(?:: [0-9.e+-]+ nats)?">)re");
  for (auto at = std::sregex_iterator(html.begin(), html.end(), address); at != std::sregex_iterator(); ++at)
    EXPECT_EQ(at->str(), "http://www.w3.org");
  EXPECT_FALSE(std::regex_search(html, std::regex("(?:src|href)=\"(?!#|data:)")));
  for (const char* part : {"Where it comes from", "model_sha256", "-ln P(token", "<title>layer 1, head 0</title>", "Head scores",
                           "previous_token", "<title>query 1 ", "Norms of the residual stream", "A &lt;study&gt; &amp; more", "Is it so?",
                           "first &quot;part&quot;", "not_measurable", "a note", "@media print", "&quot;seed&quot;: 7"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  std::size_t tokens = 0;
  for (auto at = std::sregex_iterator(html.begin(), html.end(), token); at != std::sregex_iterator(); ++at) ++tokens;
  const Answer tokenized = run(program + "tokenize " + model_.path() + " --file " + text_ + " --json");
  EXPECT_EQ(tokens, parse_json(tokenized.out, "tokens")["tokens"].items().size());
  for (const char* word : {"fair", "unbiased", "debiased", "lossless", "no degradation", "compliant", "anonymous", "validated"}) {
    EXPECT_FALSE(std::regex_search(html, std::regex("\\b" + std::string(word) + "\\b", std::regex::icase))) << word;
  }
}

TEST_F(ReportTest, ShowsTheHeadsThatAreNamed) {
  ASSERT_EQ(report(recording_ + " --heads L1H0,0.1").code, 0);
  const std::string html = read(page_);
  EXPECT_THAT(html, HasSubstr(">L1H0</text>"));
  EXPECT_THAT(html, HasSubstr(">L0H1</text>"));
  EXPECT_THAT(html, Not(HasSubstr("highest")));
}

TEST_F(ReportTest, SaysWhatIsWrongInOneLine) {
  const std::string broken = model_.write("broken.h5", read(recording_).substr(0, 3000));
  fs::create_directory(model_.path() + "/empty");
  const struct {
    std::string words;
    int code;
    std::string says;
  } cases[]{{broken, 1, "broken.h5"},
            {model_.path() + "/empty", 1, "study.json"},
            {"missing.h5", 1, "no such file"},
            {recording_ + " --heads L9H0", 2, "L2H5"},
            {recording_ + " --heads x", 2, "--heads"},
            {recording_ + " --sequence 1", 2, "--sequence"},
            {"", 2, "RUN"}};
  for (const auto& each : cases) {
    const Answer answer = report(each.words);
    EXPECT_EQ(answer.code, each.code) << each.words << ": " << answer.out;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;
    EXPECT_THAT(answer.out, HasSubstr(each.says));
    EXPECT_FALSE(fs::exists(page_));
  }
  const Answer nowhere = run(program + "report " + recording_ + " -o " + model_.path() + "/no/folder.html --quiet");
  EXPECT_EQ(nowhere.code, 1) << nowhere.out;
  EXPECT_EQ(nowhere.out.find('\n'), nowhere.out.size() - 1) << nowhere.out;
}

TEST_F(ReportTest, OpensProtectedRecordingsAsFarAsTheKeyGoes) {
  const std::string all = model_.path() + "/all.key", few = model_.path() + "/few.key", sealed = model_.path() + "/sealed.h5";
  ASSERT_EQ(run(program + "key new -o " + all).code, 0);
  ASSERT_EQ(run(program + "key new -o " + few).code, 0);
  const Answer recorded = run(program + "record " + model_.path() + " --file " + text_ + " --encrypt --key-file " + all +
                              " --reader summaries=" + few + " -o " + sealed + " --quiet");
  ASSERT_EQ(recorded.code, 0) << recorded.out;
  ASSERT_EQ(report(sealed + " --key-file " + all).code, 0);
  EXPECT_THAT(read(page_), HasSubstr("<title>layer 1, head 0</title>"));
  EXPECT_THAT(run(program + "audit " + sealed + " --key-file " + all).out, HasSubstr("export"));
  const Answer part = report(sealed + " --key-file " + few);
  ASSERT_EQ(part.code, 0) << part.out;
  const std::string html = read(page_);
  for (const char* line :
       {"The key does not read texts", "The key does not read attention maps", "The key does not read activations", "Head scores"})
    EXPECT_THAT(html, HasSubstr(line));
  EXPECT_THAT(html, Not(HasSubstr("<b class")));
}

/// What write_study() wrote comes back.
TEST_F(ReportTest, ReadsStudiesBack) {
  const StudyResult written = small_study(), read = read_study(study_);
  EXPECT_EQ(read.title, written.title);
  EXPECT_EQ(read.question, written.question);
  EXPECT_EQ(read.notes, written.notes);
  ASSERT_EQ(read.estimates.size(), 2u);
  EXPECT_EQ(read.estimates[0].value, written.estimates[0].value);
  EXPECT_EQ(read.estimates[0].verdict, written.estimates[0].verdict);
  EXPECT_TRUE(std::isnan(read.estimates[1].value));
  ASSERT_EQ(read.tables.size(), 1u);
  EXPECT_EQ(read.tables[0].header, written.tables[0].header);
  EXPECT_EQ(read.tables[0].rows, written.tables[0].rows);
}

TEST_F(ReportTest, OpensInABrowser) {
  if (run("chromium --version").code != 0) GTEST_SKIP() << "there is no chromium: apt-get install chromium";
  ASSERT_EQ(report(recording_ + " " + study_).code, 0);
  const std::string chromium = "timeout 120 chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=" +
                               model_.path() + "/profile ",
                    page = " file://" + page_;
  const Answer dom = run(chromium + "--dump-dom" + page);
  ASSERT_EQ(dom.code, 0) << dom.out;
  EXPECT_THAT(dom.out, HasSubstr("Head scores"));
  EXPECT_THAT(dom.out, HasSubstr("<svg"));
  EXPECT_THAT(dom.out, HasSubstr("</section>"));
  const std::string picture = model_.path() + "/page.png", print = model_.path() + "/page.pdf";
  run(chromium + "--window-size=1280,2000 --screenshot=" + picture + page);
  run(chromium + "--no-pdf-header-footer --print-to-pdf=" + print + page);
  EXPECT_GT(fs::exists(picture) ? fs::file_size(picture) : 0, 20'000u);  // an empty page makes 9 KB
  EXPECT_EQ(read(print).substr(0, 5), "%PDF-");
}

}  // namespace
}  // namespace vitrine
