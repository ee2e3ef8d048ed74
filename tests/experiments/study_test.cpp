#include "experiments/study.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "core/base/error.h"
#include "core/base/csv.h"
#include "experiments/data/pairs.h"

namespace vitrine {
namespace {

TEST(Csv, ReadsQuotesAndLineBreaks) {
  const Csv csv = parse_csv("a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\n2,\n", "test");
  EXPECT_EQ(csv.header, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(csv.rows.size(), 2u);
  EXPECT_EQ(csv.rows[0][1], "x, \"y\"\nz");
  EXPECT_EQ(csv.rows[1], (std::vector<std::string>{"2", ""}));
  EXPECT_EQ(csv.column("b", "test"), 1u);
}

TEST(Csv, ComesBackAsItWasWritten) {
  const std::vector<std::vector<std::string>> records{{"a"}, {""}, {"x, \"y\"\r\nz"}, {"last"}};
  std::string text;
  for (const auto& record : records) text += csv_line(record);
  const Csv csv = parse_csv(text, "test");
  EXPECT_EQ(csv.header, records[0]);
  EXPECT_EQ(csv.rows, (std::vector<std::vector<std::string>>(records.begin() + 1, records.end())));
}

TEST(Csv, RefusesBrokenFiles) {
  for (const char* text : {"", "a,b\n1\n", "a,b\n1,2,3\n", "a\n\"x\n", "a\n\"x\"y\n"}) {
    EXPECT_THROW(parse_csv(text, "test"), Error) << text;
  }
  EXPECT_THROW(read_pairs("sent_more,other\nx,y\n", "test", ""), Error);
  EXPECT_THROW(read_pairs("a,b\nx,\n", "test", "more=a,less=b"), Error);
  EXPECT_THROW(read_pairs("a,b\nx,y\n", "test", "more=a,fewer=b"), Error);
  EXPECT_THROW(read_pairs("a,b\n", "test", "more=a,less=b"), Error);
}

TEST(Pairs, ReadsCrowsPairsColumnsAndOthers) {
  const PairSet crows = read_pairs("sent_more,sent_less,stereo_antistereo,bias_type,anon_writer\nA b.,A c.,stereo,age,w1\n", "test", "");
  EXPECT_EQ(crows.pairs[0].group, "age");
  EXPECT_EQ(crows.pairs[0].cluster, "w1");
  const PairSet own = read_pairs("x,y\nA b.,A c.\n", "test", "more=y,less=x");
  EXPECT_EQ(own.pairs[0].more, "A c.");
}

TEST(Templates, HaveEnoughPairsTermsAndOneDifference) {
  const PairSet set = template_pairs();
  std::map<std::string, std::size_t> count;
  std::map<std::string, std::set<std::string>> clusters;
  std::set<std::string> sentences;
  for (const SentencePair& pair : set.pairs) {
    ++count[pair.group];
    clusters[pair.group].insert(pair.cluster);
    EXPECT_NE(pair.more, pair.less);
    EXPECT_TRUE(sentences.insert(pair.more + "|" + pair.less).second) << "twice: " << pair.more;
    // Exactly one run of words changes.
    std::size_t prefix = 0, suffix = 0;
    while (pair.more[prefix] == pair.less[prefix]) ++prefix;
    while (pair.more[pair.more.size() - 1 - suffix] == pair.less[pair.less.size() - 1 - suffix]) ++suffix;
    EXPECT_LT(pair.more.size() - prefix - std::min(suffix, pair.more.size() - prefix), 12u) << pair.more;
  }
  EXPECT_EQ(count.size(), 5u);
  for (const auto& [group, pairs] : count) {
    EXPECT_GE(pairs, 400u) << group;
    EXPECT_GE(clusters[group].size(), 30u) << group;
  }
}

StudyResult small_study() {
  StudyResult result;
  result.study = "pairs";
  result.title = "A <study> & more";
  result.signature = Json::object().set("model", "m.gguf");
  Estimate estimate = clustered_mean("first \"part\"", std::vector<double>{0.1, 0.2, 0.4, 0.3, 0.2, 0.5, 0.1, 0.3, 0.25, 0.15, 0.2}, {});
  estimate.unit = "nats";
  judge(estimate, 0.0, 0.1);
  result.estimates = {estimate, not_measurable("second", "share", "no items")};
  result.items = {"", {"item", "value"}, {{"0", "0.5"}, {"1", "a, b"}}};
  result.licenses = "none";
  return result;
}

TEST(StudyOutput, WritesEverythingInOneStep) {
  const auto folder = std::filesystem::temp_directory_path() / ("vitrine_study_" + std::to_string(getpid()));
  write_study(small_study(), folder);
  write_study(small_study(), folder);  // replaces the older one
  for (const char* name : {"study.json", "items.csv", "items_long.csv", "items.h5", "report.html", "LICENSES.txt", "figures/estimates_1.svg"}) {
    EXPECT_TRUE(std::filesystem::is_regular_file(folder / name)) << name;
  }
  std::ifstream file(folder / "study.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(parse_json(text, "test")["estimates"].items().size(), 2u);
  std::filesystem::remove(folder / "study.json");
  EXPECT_THROW(write_study(small_study(), folder), Error);  // a folder that is no study
  std::filesystem::remove_all(folder);
}

TEST(StudyOutput, ATrailingSlashNamesTheSameFolder) {
  const auto scratch = std::filesystem::temp_directory_path() / ("vitrine_slash_" + std::to_string(getpid()));
  for (int time = 0; time < 2; ++time) {
    EXPECT_NO_THROW(write_study(small_study(), scratch / "study" / ""));
    EXPECT_TRUE(std::filesystem::is_regular_file(scratch / "study" / "study.json"));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch), {}), 1);
  }
  std::filesystem::remove_all(scratch);
}

/// Words that no report may use (measurement.md, "Never printed" has the reasons).
std::vector<std::string> forbidden_words(const std::string& text) {
  std::vector<std::string> found;
  for (const char* word : {"fair", "unbiased", "debiased", "no bias", "lossless", "no degradation", "compliant", "anonymous", "private",
                           "this head causes", "validated"}) {
    if (std::regex_search(text, std::regex("\\b" + std::string(word) + "\\b", std::regex::icase))) found.push_back(word);
  }
  return found;
}

TEST(Report, IsOneSafeHtmlFile) {
  const std::string html = report_html(small_study());
  EXPECT_NE(html.find("A &lt;study&gt; &amp; more"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("http://"), html.find("http://www.w3.org/2000/svg"));  // nothing else is linked
  EXPECT_NE(html.find("not_measurable"), std::string::npos);
  EXPECT_EQ(forbidden_words(html), std::vector<std::string>{});
  EXPECT_EQ(forbidden_words("it is Fair and lossless"), (std::vector<std::string>{"fair", "lossless"}));
}

TEST(Report, DrawsLongNamesAndOpenIntervalsInside) {
  Estimate open = clustered_mean("log-likelihood change: a variant with a name that is longer than anybody would like it to be, by far", std::vector<double>{0.1, 0.3}, {});
  open.unit = "nats";
  ASSERT_TRUE(std::isinf(open.low) && std::isinf(open.high));
  const std::string svg = figure_svg({.estimates = {estimates_in(std::vector<Estimate>{open}, "nats")}});
  EXPECT_NE(svg.find("excludes nothing"), std::string::npos);
  EXPECT_EQ(svg.find("by far"), std::string::npos);
  EXPECT_NE(svg.find("\u2026</text>"), std::string::npos);
  // Every place lies inside the picture.
  const double width = std::stod(svg.substr(svg.find("viewBox=\"0 0 ") + 13));
  const std::regex place(R"((?:x|x1|x2|cx)="(-?[0-9.]+)\")");
  for (auto at = std::sregex_iterator(svg.begin(), svg.end(), place); at != std::sregex_iterator(); ++at) {
    const double x = std::stod((*at)[1]);
    EXPECT_TRUE(x >= -10.0 && x <= width) << at->str();  // the legend's signs reach 9 pixels to the left of their middle
  }
}

/// A p stands only beside its family.
TEST(Report, ShowsNoPWithoutItsFamily) {
  StudyResult study = small_study();
  study.estimates[0].p = 0.01234;
  EXPECT_EQ(report_html(study).find("0.0123"), std::string::npos);
  study.estimates[0].family = "headline";
  EXPECT_NE(report_html(study).find("0.0123 (headline"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
