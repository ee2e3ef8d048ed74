#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "core/decode/grammar/grammar.h"
#include "core/decode/search.h"
#include "core/model/architecture.h"
#include "core/model/probe_point.h"
#include "core/shortcuts/shortcut.h"
#include "core/text/tokenizer.h"
#include "experiments/command.h"
#include "experiments/program_beside.h"
#include "experiments/study.h"
#include "kernels/kernels.h"
#include "probes/analysis.h"
#include "probes/attribution/attribution.h"
#include "probes/head_score.h"
#include "probes/intervention.h"
#include "probes/metrics/metric.h"
#include "probes/recording_tools/export.h"
#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

constexpr const char* kinds = "kernels, architectures, formats, tokenizers, samplers, searches, strategies, grammars, points, analyses, head-scores, attributions, interventions, shortcuts, metrics, studies, scrubbers, panels, commands";

/// The viewer is a program of its own, with its own table.
[[noreturn]] void list_panels() {
  const std::string words[] = {"--list-panels"};
  become_program_beside("vitrine-viewer", words, "the panels are the viewer's, which is not built here: see scripts/build");
}

template <typename Members>
void print(const Members& members) {
  for (const auto* member : members) {
    std::printf("%-18.*s %.*s\n", static_cast<int>(member->name.size()), member->name.data(),
                static_cast<int>(member->summary.size()), member->summary.data());
  }
}

/// Kernels for a device that is not here are in the table all the same, with the reason.
void print_kernels() {
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    const std::string missing = kernel->device == "cuda" ? cuda_missing() : "", name(kernel->name);
    std::printf("%-18s %s%s\n", name.c_str(), std::string(kernel->summary).c_str(), missing.empty() ? "" : (" [" + missing + "]").c_str());
  }
}

/// Hook names of a block, those that every architecture has and those that some have.
void print_points() {
  ModelSpec spec;
  spec.width = spec.vocabulary = 1;
  spec.learned_positions = true;
  BlockSpec block;
  block.attention.heads = block.attention.kv_heads = block.attention.head_dim = 1;
  block.mlp = {.width = 1, .gated = true, .activation = Activation::silu};
  spec.blocks = {block};
  const std::vector<ProbePoint> usual = all_points(spec);
  for (const ProbePoint& point : usual) {
    const std::string name = point_name(point);
    std::printf("%-34s %s\n", name.c_str(), is_square(point.site) ? "[pos, head, pos], on demand" : "");
  }
  BlockSpec& with_all = spec.blocks.front();
  with_all.attention.qk_norm = true;
  with_all.placement = NormPlacement::sandwich;
  with_all.mlp.experts = with_all.mlp.experts_per_row = 1;
  for (const ProbePoint& point : all_points(spec)) {
    if (std::ranges::find(usual, point) == usual.end()) std::printf("%-34s where the architecture has it\n", point_name(point).c_str());
  }
}

/// In the order in which they are applied unless somebody says another, and the orders that projects publish.
void print_samplers() {
  print(sampler_order(""));
  for (const SamplerOrder& order : known_orders()) {
    std::printf("%-18.*s --samplers %.*s: the rules above, then %.*s\n", 0, "", static_cast<int>(order.name.size()), order.name.data(),
                static_cast<int>(order.samplers.size()), order.samplers.data());
  }
}

void print_interventions() {
  for (const Intervention* intervention : all_interventions()) {
    std::printf("%-10s %s\n%-10s   --intervene '%s'\n", std::string(intervention->name).c_str(), std::string(intervention->summary).c_str(), "", std::string(intervention->example).c_str());
  }
}

void print_shortcuts() {
  for (const Shortcut* shortcut : all_shortcuts()) {
    std::printf("%-16s %s%s\n%-16s   %s\n", std::string(shortcut->name).c_str(), std::string(shortcut->summary).c_str(),
                shortcut->source.empty() ? "" : (" (" + std::string(shortcut->source) + ")").c_str(), "", std::string(shortcut->example).c_str());
    for (const ShortcutOption& option : shortcut->options) {
      std::printf("%-16s   %-12s %s%s\n", "", std::string(option.key).c_str(), std::string(option.summary).c_str(),
                  option.fallback.empty() ? "" : (" [" + std::string(option.fallback) + "]").c_str());
    }
  }
}

void run(const std::string& kind) {
  if (kind == "kernels") return print_kernels();
  if (kind == "architectures") return print(all_architectures());
  if (kind == "formats") return print(all_checkpoint_formats());
  if (kind == "tokenizers") return print(all_tokenizer_models());
  if (kind == "shortcuts") return print_shortcuts();
  if (kind == "grammars") return print(all_named_grammars());
  if (kind == "samplers") return print_samplers();
  if (kind == "searches") return print(all_searches());
  if (kind == "strategies") {
    print(all_searches());
    return print_samplers();
  }
  if (kind == "analyses") return print(all_analyses());
  if (kind == "attributions") return print(all_attributions());
  if (kind == "head-scores") return print(all_head_scores());
  if (kind == "interventions") return print_interventions();
  if (kind == "studies") return print(all_studies());
  if (kind == "points") return print_points();
  if (kind == "metrics") return print(all_metrics());
  if (kind == "exports") return print(all_export_formats());
  if (kind == "scrubbers") return print(all_scrubbers());
  if (kind == "panels") list_panels();
  if (kind == "commands") return print(all_commands());
  throw Error({"KIND", kinds, quoted(kind), ""}, Fault::usage);
}

std::function<void()> declare(CLI::App& app) {
  auto kind = std::make_shared<std::string>();
  app.add_option("KIND", *kind, kinds)->required();
  return [kind] { run(*kind); };
}

}  // namespace

const Command& command_list() {
  static const Command command{"list", "what this program has of a kind, one line each", "vitrine list kernels", declare};
  return command;
}

}  // namespace vitrine
