// What the program lists, and that studies take it from the same tables.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "core/base/csv.h"
#include "probes/metrics/metric.h"
#include "tests/experiments/run_program.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

TEST(List, PrintsEveryMetric) {
  const Answer answer = run(std::string(VITRINE_PROGRAM) + " list metrics");
  EXPECT_EQ(answer.code, 0);
  for (const Metric* metric : all_metrics()) {
    EXPECT_NE(("\n" + answer.out).find("\n" + std::string(metric->name) + " "), std::string::npos) << metric->name;
  }
}

/// The program finds its viewer beside itself, so a copy elsewhere finds none.
TEST(List, AsksTheViewerForItsPanels) {
  const std::filesystem::path viewer = std::filesystem::path(VITRINE_PROGRAM).parent_path() / "vitrine-viewer";
  if (std::filesystem::exists(viewer)) {
    const Answer answer = run(std::string(VITRINE_PROGRAM) + " list panels");
    EXPECT_EQ(answer.code, 0);
    EXPECT_EQ(answer.out, run(viewer.string() + " --list-panels").out);
    EXPECT_NE(answer.out.find("\nattention "), std::string::npos) << answer.out;
  }
  TokenizingModel folder;
  const std::string alone = folder.write("vitrine", "");
  std::filesystem::copy_file(VITRINE_PROGRAM, alone, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::permissions(alone, std::filesystem::perms::owner_all);
  const Answer answer = run(alone + " list panels");
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;
  EXPECT_NE(answer.out.find("vitrine-viewer"), std::string::npos) << answer.out;
}

/// A metric's file is all that the study needs of it.
TEST(Tradeoff, HasEveryColumnOfEveryMetric) {
  TokenizingModel model;
  const std::string texts = model.write("texts.txt", "abc ab ca bc abc ab ca bc abc\n\nca bc abc ab ca bc abc ab ca\n");
  const std::string out = model.write("out", "");
  std::filesystem::remove(out);
  const Answer answer = run(std::string(VITRINE_PROGRAM) + " study tradeoff " + model.path() +
                            " --weights F16 --quiet --file " + texts + " -o " + out);
  ASSERT_EQ(answer.code, 0) << answer.out;
  std::ifstream file(out + "/items.csv", std::ios::binary);
  const Csv items = parse_csv(std::string(std::istreambuf_iterator<char>(file), {}), "items.csv");
  for (const Metric* metric : all_metrics()) {
    for (const MetricColumn& column : metric->columns) {
      EXPECT_FALSE(items.rows.at(0).at(items.column(std::string(column.name), "items.csv")).empty()) << column.name;
    }
  }
}

}  // namespace
}  // namespace vitrine
