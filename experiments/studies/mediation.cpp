#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "experiments/data/mediation_items.h"
#include "experiments/number_range_internal.h"
#include "probes/figures/figure_text.h"
#include "experiments/scoring.h"
#include "experiments/study.h"
#include "probes/analysis.h"
#include "probes/patching/mediation.h"
#include "probes/statistics/many_hypotheses.h"

// Through which heads' attention does one exchanged word act on what comes next? With Y the log odds of two continuations, x and x' the two
// texts and A_h the attention pattern of head h over them (Vig et al. 2020; Pearl 2001):
//   total     Y(x', A(x')) - Y(x, A(x))
//   indirect  Y(x, A_h(x')) - Y(x, A(x))
//   direct    Y(x', A_h(x)) - Y(x, A(x))
//   remainder total - direct - indirect: how much both need each other

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  std::string data = "templates", protocol = "log-odds", bos, output, heads;
  std::size_t limit = 0, joint = 10, flips = 10000;
  double margin = 0.05;
  bool published_form() const { return protocol == "vig-2020"; }
  EffectScale scale() const { return published_form() ? EffectScale::odds_ratio : EffectScale::log_odds; }
  const char* unit() const { return published_form() ? "odds ratio - 1" : "nats of log odds"; }
};

/// An item as the model reads it, and what its runs said.
struct Measured {
  const MediationItem* item;
  std::size_t cluster = 0;
  MediationTexts texts;
  MediationRuns runs;
  MediationEffects effects;
  CandidateLengths lengths() const { return {texts.candidate1.size(), texts.candidate2.size()}; }
};

/// "L5H8,L5H10" or "5.8,5.10".
HeadSet parse_heads(const std::string& words, const ModelSpec& spec) {
  HeadSet set;
  for (std::size_t begin = 0; begin < words.size();) {
    const std::size_t end = std::min(words.find(',', begin), words.size());
    const std::string word = words.substr(begin, end - begin);
    std::size_t layer = 0, head = 0;
    int read = 0;
    const bool named = std::sscanf(word.c_str(), "L%zuH%zu%n", &layer, &head, &read) == 2 || std::sscanf(word.c_str(), "%zu.%zu%n", &layer, &head, &read) == 2;
    if (!named || static_cast<std::size_t>(read) != word.size() || layer >= spec.blocks.size() || head >= spec.blocks[layer].attention.heads) {
      throw Error({"--heads", "heads of this model, such as L0H0 or 0.0", quoted(word, 40), ""}, Fault::usage);
    }
    set.push_back({layer, head});
    begin = end + 1;
  }
  return set;
}

class Mediation {
 public:
  Mediation(const Options& options, Session& session, MediationSet set, std::string hash)
      : options_(options), session_(session), set_(std::move(set)), hash_(std::move(hash)), heads_(all_heads(session.model().spec)),
        chosen_(parse_heads(options.heads, session.model().spec)) {
    for (const HeadIndex& place : heads_) sets_.push_back({place});
    for (std::size_t layer = 0; layer < session.model().spec.blocks.size(); ++layer) {
      HeadSet& whole = sets_.emplace_back();
      for (const HeadIndex& place : heads_) {
        if (place.layer == layer) whole.push_back(place);
      }
    }
    everything_ = sets_.size();
    sets_.push_back(heads_);
    if (!chosen_.empty()) sets_.push_back(chosen_);
  }

  StudyResult study() {
    encode();
    competence_ = competence();
    measure();
    filter();
    return result();
  }

 private:
  bool bos() const {
    const SpecialTokens& special = session_.model().tokenizer->special();
    if (options_.bos == "yes" && !special.bos) throw Error({"--bos yes", "a BOS token in the tokenizer", "none", ""}, Fault::usage);
    return options_.bos == "yes" || (options_.bos == "auto" && special.adds_bos && special.bos);
  }

  std::vector<TokenId> ids(const std::string& text, bool with_bos) const {
    std::vector<TokenId> ids = ids_of(session_.model().tokenizer->encode(text, {.add_special = false, .parse_special = false}));
    if (with_bos) ids.insert(ids.begin(), *session_.model().tokenizer->special().bos);
    return ids;
  }

  void encode() {
    std::vector<std::string> clusters;
    for (const MediationItem& item : set_.items) {
      Measured measured{.item = &item, .cluster = 0, .texts = {ids(item.base, bos()), ids(item.alternative, bos()), ids(" " + item.candidate1, false), ids(" " + item.candidate2, false)}, .runs = {}, .effects = {}};
      if (measured.texts.base.size() != measured.texts.alternative.size() || measured.texts.base == measured.texts.alternative) {
        ++unaligned_;
        continue;
      }
      const auto place = std::ranges::find(clusters, item.cluster);
      measured.cluster = static_cast<std::size_t>(place - clusters.begin());
      if (place == clusters.end()) clusters.push_back(item.cluster);
      items_.push_back(std::move(measured));
    }
    if (items_.size() < 2) throw Error({"--data", "two items whose texts have as many tokens each", std::to_string(items_.size()), ""});
  }

  /// Share of candidates that are likelier behind their own text than behind another item's: a model that does not read the text has no effect
  /// of its words.
  Estimate competence() {
    std::vector<std::vector<TokenId>> sequences;
    std::vector<std::size_t> lengths;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const Measured &own = items_[i], &other = items_[(i + items_.size() / 2) % items_.size()];
      if (own.texts.candidate1 == other.texts.candidate1 || own.texts.base == other.texts.base) continue;
      for (const std::vector<TokenId>* text : {&own.texts.base, &other.texts.base}) {
        sequences.push_back(*text);
        sequences.back().insert(sequences.back().end(), own.texts.candidate1.begin(), own.texts.candidate1.end());
        lengths.push_back(own.texts.candidate1.size());
      }
    }
    const auto scores = token_log_probabilities(session_, sequences, "competence");
    const auto sum = [&](std::size_t s) {
      double total = 0.0;
      for (std::size_t k = scores[s].size() - lengths[s]; k < scores[s].size(); ++k) total += scores[s][k].value_or(0.0);
      return total;
    };
    std::size_t better = 0;
    for (std::size_t s = 0; s + 1 < sequences.size(); s += 2) better += sum(s) > sum(s + 1) ? 1 : 0;
    Estimate estimate = binomial_share("competence: a candidate is likelier behind its own text than behind another item's", better, sequences.size() / 2);
    estimate.resampled_unit = "item";
    judge(estimate, 0.5, {});
    return estimate;
  }

  void measure() {
    const ModelRunner runner = session_.runner();
    for (std::size_t i = 0; i < items_.size(); ++i) {
      items_[i].runs = run_mediation(runner, items_[i].texts, sets_);
      items_[i].effects = effects_of(options_.scale(), items_[i].runs, items_[i].lengths());
      session_.run().step("items", i + 1, items_.size());
    }
  }

  /// Of the published form: it keeps items by what they turned out to be.
  void filter() {
    if (!options_.published_form() || (set_.published && set_.published->filtered)) return;
    std::vector<double> totals;
    for (const Measured& item : items_) totals.push_back(item.effects.total);
    filter_ = published_filter(totals);
    std::vector<Measured> kept;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (filter_->kept[i]) kept.push_back(std::move(items_[i]));
    }
    items_ = std::move(kept);
    if (items_.size() < 2) throw Error({"--protocol vig-2020", "two items with a total effect above 0 behind the filter", std::to_string(items_.size()), "use --protocol log-odds"});
  }

  using Pick = std::function<double(const Measured&)>;

  Estimate mean_of(const std::string& name, const Pick& pick, const char* tier) const {
    std::vector<double> values;
    std::vector<std::size_t> clusters;
    for (const Measured& item : items_) {
      values.push_back(pick(item));
      clusters.push_back(item.cluster);
    }
    Estimate estimate = clustered_mean(name, values, clusters);
    return finished(std::move(estimate), tier);
  }

  Estimate finished(Estimate estimate, const char* tier) const {
    estimate.unit = options_.unit();
    estimate.resampled_unit = set_.cluster_unit;
    estimate.tier = tier;
    estimate.family = estimate.tier == "primary" ? "total effect" : "";
    if (estimate.tier != "primary") estimate.p.reset();
    judge(estimate, 0.0, options_.margin);
    return estimate;
  }

  std::vector<Estimate> estimates() {
    const std::size_t all = everything_;
    std::vector<Estimate> made{mean_of("total effect", [](const Measured& m) { return m.effects.total; }, "primary"),
                               mean_of("natural indirect effect through the attention of all heads", [all](const Measured& m) { return m.effects.indirect[all]; }, "exploratory"),
                               mean_of("natural direct effect, attention of all heads kept", [all](const Measured& m) { return m.effects.direct[all]; }, "exploratory"),
                               mean_of("interaction remainder, all heads", [all](const Measured& m) { return m.effects.remainder[all]; }, "exploratory")};
    if (!chosen_.empty()) {
      made.push_back(mean_of("natural indirect effect, joint set " + options_.heads, [all](const Measured& m) { return m.effects.indirect[all + 1]; }, "exploratory"));
    }
    if (auto joint = strongest_jointly()) made.insert(made.end(), joint->begin(), joint->end());
    return made;
  }

  /// The heads with the largest indirect effects on one half of the clusters, run jointly on the other half.
  std::optional<std::vector<Estimate>> strongest_jointly() {
    std::vector<std::pair<double, std::size_t>> sizes(heads_.size());
    std::vector<const Measured*> other;
    for (std::size_t h = 0; h < heads_.size(); ++h) sizes[h].second = h;
    for (const Measured& item : items_) {
      if (item.cluster % 2 != 0) {
        other.push_back(&item);
        continue;
      }
      for (std::size_t h = 0; h < heads_.size(); ++h) sizes[h].first -= item.effects.indirect[h];
    }
    const std::size_t count = std::min(options_.joint, heads_.size());
    if (count == 0 || other.size() < 2) return std::nullopt;
    std::ranges::sort(sizes);
    HeadSet set;
    for (std::size_t k = 0; k < count; ++k) {
      set.push_back(heads_[sizes[k].second]);
      strongest_ += (k > 0 ? ", " : "") + head_label(set.back().layer, set.back().head);
    }
    const ModelRunner runner = session_.runner();
    std::vector<double> together, alone;
    std::vector<std::size_t> clusters;
    for (const Measured* item : other) {
      const MediationEffects effects = effects_of(options_.scale(), run_mediation(runner, item->texts, {&set, 1}), item->lengths());
      together.push_back(effects.indirect.front());
      alone.push_back(0.0);
      for (std::size_t k = 0; k < count; ++k) alone.back() += item->effects.indirect[sizes[k].second];
      clusters.push_back(item->cluster);
      session_.run().step("joint set", together.size(), other.size());
    }
    const std::string title = std::to_string(count) + " heads, chosen on the other half of the clusters: indirect effect ";
    return std::vector{finished(clustered_mean(title + "together", together, clusters), "exploratory"),
                       finished(clustered_mean(title + "one by one, summed", alone, clusters), "exploratory")};
  }

  /// Sets [first, first + count) of the study.
  struct Family {
    std::string title;
    std::size_t first, count;
    std::function<std::string(std::size_t)> name;
  };

  std::vector<std::size_t> clusters_of_items() const {
    std::vector<std::size_t> clusters;
    for (const Measured& item : items_) clusters.push_back(item.cluster);
    return clusters;
  }

  /// Indirect effects of a family.  [items, sets]
  std::vector<double> indirect_of(const Family& family) const {
    std::vector<double> values;
    for (const Measured& item : items_) {
      const auto begin = item.effects.indirect.begin() + static_cast<std::ptrdiff_t>(family.first);
      values.insert(values.end(), begin, begin + static_cast<std::ptrdiff_t>(family.count));
    }
    return values;
  }

  /// Means over items, the largest indirect effect first, each with the interval of that set alone.
  StudyTable means_of(const Family& family) const {
    StudyTable table{family.title, {"set", "indirect", "low", "high", "direct", "remainder"}, {}};
    std::vector<std::pair<double, std::vector<std::string>>> rows;
    for (std::size_t s = family.first; s < family.first + family.count; ++s) {
      std::vector<double> indirect;
      double direct = 0.0, remainder = 0.0;
      for (const Measured& item : items_) {
        indirect.push_back(item.effects.indirect[s]);
        direct += item.effects.direct[s] / static_cast<double>(items_.size());
        remainder += item.effects.remainder[s] / static_cast<double>(items_.size());
      }
      const Estimate mean = clustered_mean("", indirect, clusters_of_items());
      rows.push_back({-std::abs(mean.value), {family.name(s - family.first), format("%.6g", mean.value), format("%.6g", mean.low), format("%.6g", mean.high), format("%.6g", direct), format("%.6g", remainder)}});
    }
    std::ranges::stable_sort(rows, {}, [](const auto& row) { return row.first; });
    for (auto& row : rows) table.rows.push_back(std::move(row.second));
    return table;
  }

  /// Step-down max-T of a family's indirect effects, the smallest p first.
  StudyTable tests_of(const Family& family) const {
    const std::vector<double> values = indirect_of(family);
    const std::vector<std::size_t> clusters = clusters_of_items();
    const StepDown tests = step_down_max_t({{values.data(), {items_.size(), family.count}}, clusters}, options_.flips, options_.common.seed);
    StudyTable table{"Step-down max-T, family of " + std::to_string(family.count) + ": " + (tests.all_flips ? "all " : "") + std::to_string(tests.flips) + " sign flips of clusters",
                     {"set", "statistic", "adjusted p"}, {}};
    std::vector<std::size_t> order(family.count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t s) { return -tests.statistic[s]; });
    for (const std::size_t s : order) table.rows.push_back({family.name(s), format("%.4g", tests.statistic[s]), format("%.4g", tests.p[s])});
    return table;
  }

  StudyTable reliability(const Family& family) const {
    const std::vector<double> values = indirect_of(family);
    const std::vector<std::size_t> clusters = clusters_of_items();
    const SplitHalf halves = split_half({{values.data(), {items_.size(), family.count}}, clusters}, 200, options_.common.seed);
    return {"Split-half reliability of the heads' indirect effects (random halves of the clusters)",
            {"correlation of halves", "of the whole set (Spearman-Brown)", "splits"},
            {{format("%.4f", halves.correlation), format("%.4f", halves.corrected), std::to_string(halves.splits)}}};
  }

  /// Ours beside what the file's authors printed for their model.
  std::optional<StudyTable> beside_published() const {
    if (!set_.published || !options_.published_form()) return std::nullopt;
    const PublishedSummary& published = *set_.published;
    StudyTable table{"Beside the published means of " + published.model, {"quantity", "ours", "published"}, {}};
    const auto mean = [&](const Pick& pick) {
      double sum = 0.0;
      for (const Measured& item : items_) sum += pick(item);
      return format("%.8g", sum / static_cast<double>(items_.size()));
    };
    const std::size_t all = everything_;
    table.rows = {{"items", std::to_string(items_.size()), std::to_string(published.analyzed)},
                  {"mean total effect", mean([](const Measured& m) { return m.effects.total; }), format("%.8g", published.total)},
                  {"mean indirect effect, model", mean([all](const Measured& m) { return m.effects.indirect[all]; }), format("%.8g", published.indirect)},
                  {"mean direct effect, model", mean([all](const Measured& m) { return m.effects.direct[all]; }), format("%.8g", published.direct)}};
    return table;
  }

  StudyTable items() const {
    StudyTable table{"", {"item", "cluster", "logprob_1_base", "logprob_2_base", "logprob_1_alternative", "logprob_2_alternative", "tokens_1", "tokens_2", "total", "indirect_all", "direct_all", "remainder_all"}, {}};
    for (const Measured& m : items_) {
      std::vector<std::string> row{m.item->id, m.item->cluster};
      for (const double value : {m.runs.base.first, m.runs.base.second, m.runs.alternative.first, m.runs.alternative.second}) row.push_back(format("%.9g", value));
      row.push_back(std::to_string(m.texts.candidate1.size()));
      row.push_back(std::to_string(m.texts.candidate2.size()));
      for (const double value : {m.effects.total, m.effects.indirect[everything_], m.effects.direct[everything_], m.effects.remainder[everything_]}) row.push_back(format("%.9g", value));
      table.rows.push_back(std::move(row));
    }
    return table;
  }

  Json signature() const {
    Json signature = session_.signature();
    signature.set("data", set_.name).set("data_sha256", hash_).set("items", static_cast<std::uint64_t>(items_.size()));
    signature.set("protocol", options_.protocol).set("bos", bos() ? "yes" : "no").set("margin", options_.margin);
    signature.set("primary", "total effect").set("sign_flips_at_most", static_cast<std::uint64_t>(options_.flips));
    return signature.set("candidates", options_.published_form() ? "exp of the mean log-probability of a token" : "sum of log-probabilities");
  }

  std::vector<std::string> notes() const {
    std::vector<std::string> notes{"Total: the two texts, each with its own attention. Indirect: the first text with the second's attention patterns in the set of heads. "
                                   "Direct: the second text with the first's patterns in the set. Remainder: total - direct - indirect.",
                                   "Patterns are exchanged over the text, not over the candidates. A positive effect raises candidate 2.",
                                   "An effect of one head is what its pattern alone changes; heads that stand in for each other show less alone than together.",
                                   "Exploratory rows and intervals of single sets carry no p; the tables of tests are adjusted over their family."};
    if (!strongest_.empty()) notes.push_back("Heads chosen on one half: " + strongest_ + ".");
    if (unaligned_ > 0) notes.push_back(std::to_string(unaligned_) + " items left out: their two texts do not have as many tokens each.");
    if (filter_) {
      notes.push_back("Published filter: of " + std::to_string(filter_->kept.size()) + " items " + std::to_string(filter_->positive) + " have a total effect above 0; " + std::to_string(items_.size()) +
                      " have an odds ratio above their 25% quantile, " + format("%.10g", filter_->threshold) + ". The filter selects on the outcome: effects of what is left are above 0 for a model with random weights too.");
    }
    return notes;
  }

  StudyResult result() {
    StudyResult result;
    result.study = "mediation";
    result.title = "Mediation by attention: " + session_.model().path.filename().string() + " on " + set_.name;
    result.question = "How much of what the exchanged word does to the odds of two continuations goes through attention patterns, and through which heads'?";
    result.estimates = estimates();
    const ModelSpec& spec = session_.model().spec;
    if (competence_.low > 0.5) {
      if (auto table = beside_published()) result.tables.push_back(std::move(*table));
      const Family layers{"By layer, all its heads: intervals of each layer alone", heads_.size(), spec.blocks.size(), [](std::size_t s) { return "layer " + std::to_string(s); }};
      const Family heads{"By head: intervals of each head alone", 0, heads_.size(), [this](std::size_t s) { return head_label(heads_[s].layer, heads_[s].head); }};
      for (const Family* family : {&layers, &heads}) {
        result.tables.push_back(means_of(*family));
        result.tables.push_back(tests_of(*family));
      }
      result.tables.push_back(reliability(heads));
      result.items = items();
    } else {
      for (Estimate& estimate : result.estimates) {
        estimate = not_measurable(estimate.name, estimate.unit, "the model does not prefer candidates behind their own texts (" + std::to_string(competence_.n) + " items)");
      }
      result.items = {"", {"item"}, {}};
    }
    result.estimates.push_back(competence_);
    result.notes = notes();
    result.signature = signature();
    result.licenses = set_.license;
    return result;
  }

  const Options& options_;
  Session& session_;
  MediationSet set_;
  std::string hash_;
  std::vector<HeadIndex> heads_;
  HeadSet chosen_;
  std::vector<HeadSet> sets_;  // every head, every layer, everything, the chosen
  std::size_t everything_ = 0, unaligned_ = 0;
  std::vector<Measured> items_;
  std::optional<PublishedFilter> filter_;
  Estimate competence_;
  std::string strongest_;
};

MediationSet load(const Options& options, std::string& hash) {
  MediationSet set;
  if (options.data == "templates") {
    set = template_mediation_items();
    std::string all;
    for (const MediationItem& item : set.items) all += item.base + "\n" + item.alternative + "\n" + item.candidate1 + "\n" + item.candidate2 + "\n";
    hash = sha256(all);
  } else {
    const std::string text = read_file("--data", options.data, "a readable file, or templates");
    set = read_mediation_items(text, options.data);
    set.name = std::filesystem::path(options.data).filename().string();
    hash = sha256(text);
  }
  if (options.limit > 0 && options.limit < set.items.size()) {  // evenly spread
    std::vector<MediationItem> kept;
    for (std::size_t i = 0; i < options.limit; ++i) kept.push_back(std::move(set.items[i * set.items.size() / options.limit]));
    set.items = std::move(kept);
    set.published.reset();
  }
  return set;
}

void print(const StudyResult& result) {
  for (const Estimate& e : result.estimates) {
    std::printf("%-84s %9.4f  [%8.4f, %8.4f] %-16s %s\n", e.name.c_str(), e.value, e.low, e.high, e.unit.c_str(), std::string(verdict_name(e.verdict)).c_str());
  }
  for (const StudyTable& table : result.tables) {
    std::printf("\n%s\n", table.title.c_str());
    for (std::size_t c = 0; c < table.header.size(); ++c) std::printf("%s%s", c > 0 ? "  " : "", table.header[c].c_str());
    std::puts("");
    for (std::size_t r = 0; r < std::min<std::size_t>(table.rows.size(), 10); ++r) {
      for (const std::string& cell : table.rows[r]) std::printf("%-14s", cell.c_str());
      std::puts("");
    }
    if (table.rows.size() > 10) std::printf("(%zu more in the report)\n", table.rows.size() - 10);
  }
  std::puts("");
}

void run(Options options) {
  if (options.protocol != "log-odds" && !options.published_form()) throw Error({"--protocol", "log-odds or vig-2020", quoted(options.protocol), ""}, Fault::usage);
  if (options.bos.empty()) options.bos = options.published_form() ? "no" : "auto";
  if (options.bos != "auto" && options.bos != "yes" && options.bos != "no") throw Error({"--bos", "auto, yes or no", quoted(options.bos), ""}, Fault::usage);
  check_study_folder(options.output);
  std::string hash;
  MediationSet set = load(options, hash);
  Session session(options.common);
  require_next_token_model(session.model());
  if (!session.model().tokenizer) throw Error({options.common.model, "a tokenizer", "none", ""});
  const StudyResult result = Mediation(options, session, std::move(set), std::move(hash)).study();
  deliver_study(result, options.output, options.common, print);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_exact_common(app, options->common);
  declare_shortcuts(app, options->common);
  app.add_option("--data", options->data, "WinoBias sentences, the published JSON, or CSV with base, alternative, candidate1, candidate2[, cluster]; or templates (the project's own)");
  app.add_option("--protocol", options->protocol, "log-odds (default: no filter) or vig-2020 (odds, filtered as published)");
  app.add_option("--heads", options->heads, "a joint set besides: L5H8,L5H10");
  app.add_option("--joint", options->joint, "so many of the strongest heads run together, chosen on half of the clusters; 0: none");
  app.add_option("--flips", options->flips, "sign flips of the max-T test, all there are where they are fewer")->check(whole_number(99, 10'000'000));
  app.add_option("--bos", options->bos, "auto (what the tokenizer declares), yes or no; default auto, of vig-2020 no");
  app.add_option("--limit", options->limit, "only so many items, evenly spread")->check(whole_number(2));
  app.add_option("--margin", options->margin, "what counts as the same, in the effect's unit (declared before the run)")->check(positive_number());
  app.add_option("-o,--output", options->output, "folder of the study")->required();
  return [options] { run(*options); };
}

}  // namespace

const Study& study_mediation() {
  static const Study study{"mediation", "through which heads' attention an exchanged word acts on what comes next",
                           "vitrine study mediation model.gguf --data pro_stereotyped_type1.txt.dev -o out", declare};
  return study;
}

}  // namespace vitrine
