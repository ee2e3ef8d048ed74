#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/command.h"
#include "experiments/scrubbing.h"
#include "probes/scrub/evaluation.h"

namespace vitrine {
namespace {

struct Options {
  TextOptions text;
  std::string names = "all", rules, evaluate, templates = "all";
  bool json = false;
};

Json json_of(const std::string& text, const std::vector<ScrubPlan::Finding>& findings) {
  Json list = Json::array();
  for (const ScrubPlan::Finding& finding : findings) {
    list.push(Json::object().set("label", finding.label).set("begin", static_cast<std::uint64_t>(finding.bytes.begin)).set("end", static_cast<std::uint64_t>(finding.bytes.end))
                  .set("text", text.substr(finding.bytes.begin, finding.bytes.size())));
  }
  return Json::object().set("findings", std::move(list)).set("scrubbed", scrubbed(text, findings).text);
}

void find(const Options& options, const ScrubPlan& plan) {
  const std::vector<std::string> texts = texts_of(options.text);
  Json results = Json::array();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<ScrubPlan::Finding> findings = plan.find(texts[i]);
    if (options.json) results.push(Json::object().set("id", static_cast<std::uint64_t>(i)).set("result", json_of(texts[i], findings)));
    for (const ScrubPlan::Finding& finding : findings) {
      if (options.json) break;
      if (options.text.many()) std::printf("%zu\t", i);
      std::printf("%zu\t%zu\t%s\t%s\n", finding.bytes.begin, finding.bytes.end, finding.label.c_str(), printable(texts[i].substr(finding.bytes.begin, finding.bytes.size())).c_str());
    }
  }
  if (!options.json) return;
  const bool one = !options.text.many();
  std::puts((one ? results.items().front()["result"] : Json::object().set("texts", results)).dump(2).c_str());
}

Json json_of(const ScrubScores& scores) {
  return Json::object().set("precision", scores.precision).set("recall", scores.recall).set("f2", scores.f2);
}

void print(const std::string& label, const ScrubCounts& counts) {
  const auto cell = [](double value) { return std::isnan(value) ? std::string("    -") : std::to_string(value).substr(0, 5); };
  const ScrubScores exact = exact_scores(counts), overlap = overlap_scores(counts);
  std::printf("%-18s %6zu %6zu   %5s %5s %5s   %5s %5s %5s   %5s\n", label.c_str(), counts.marked, counts.found, cell(exact.precision).c_str(), cell(exact.recall).c_str(),
              cell(exact.f2).c_str(), cell(overlap.precision).c_str(), cell(overlap.recall).c_str(), cell(overlap.f2).c_str(),
              cell(counts.marked > 0 ? static_cast<double>(counts.covered) / static_cast<double>(counts.marked) : std::nan("")).c_str());
}

/// Texts of one template are alike: who tunes rules on some templates reports the others.
std::vector<MarkedText> chosen(std::vector<MarkedText> texts, const std::string& templates) {
  if (templates != "all" && templates != "even" && templates != "odd") throw Error({"--templates", "all, even or odd", quoted(templates), ""}, Fault::usage);
  std::erase_if(texts, [&](const MarkedText& text) { return templates != "all" && (text.group % 2 == 0) != (templates == "even"); });
  return texts;
}

void evaluate(const Options& options, const ScrubPlan& plan) {
  const std::string content = read_file("--evaluate", options.evaluate);
  const std::vector<MarkedText> texts = chosen(read_marked_texts(parse_json(content, options.evaluate), options.evaluate), options.templates);
  const std::map<std::string, ScrubCounts> counts = evaluate_scrubbing(plan, texts);
  if (options.json) {
    Json rows = Json::array();
    for (const auto& [label, each] : counts) {
      rows.push(Json::object().set("label", label).set("marked", static_cast<std::uint64_t>(each.marked)).set("found", static_cast<std::uint64_t>(each.found))
                    .set("exact", json_of(exact_scores(each))).set("overlap", json_of(overlap_scores(each))).set("covered", static_cast<std::uint64_t>(each.covered)));
    }
    Json signature = Json::object().set("data_sha256", sha256(content)).set("templates", options.templates).set("version", VITRINE_VERSION);
    std::puts(Json::object().set("texts", static_cast<std::uint64_t>(texts.size())).set("labels", std::move(rows)).set("signature", std::move(signature)).dump(2).c_str());
    return;
  }
  std::printf("%zu texts            spans          same bytes and label   bytes in common, label   no byte\n", texts.size());
  std::printf("%-18s %6s %6s   %5s %5s %5s   %5s %5s %5s   %5s\n", "label", "marked", "found", "P", "R", "F2", "P", "R", "F2", "left");
  for (const auto& [label, each] : counts) {
    if (label != "all") print(label, each);
  }
  if (counts.contains("all")) print("all", counts.at("all"));
}

void run(const Options& options) {
  const ScrubPlan plan = scrub_plan(options.names, options.rules);
  options.evaluate.empty() ? find(options, plan) : evaluate(options, plan);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_texts(app, options->text);
  app.remove_option(app.get_option("--ids"));
  app.remove_option(app.get_option("--bos"));
  app.add_option("--names", options->names, "what to look for, with commas (default: all of `vitrine list scrubbers`)");
  app.add_option("--scrub-rules", options->rules, "a JSON file with more rules: [{\"label\": \"STAFF_ID\", \"pattern\": \"\\\\bE\\\\d{6}\\\\b\"}]");
  app.add_option("--evaluate", options->evaluate, "compare with the marked spans of a file in the format of presidio-research");
  app.add_option("--templates", options->templates, "of --evaluate: all (default), or texts whose template has an even or odd number");
  app.add_flag("--json", options->json, "print JSON");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_scrub() {
  static const Command command{"scrub", "find personal data in texts by rules, and say how well that works on marked ones",
                               "vitrine scrub --text 'Write to ada@example.org or call +44 20 7946 0958.'", declare};
  return command;
}

}  // namespace vitrine
