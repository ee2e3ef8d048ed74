#pragma once

#include <optional>
#include <string>

#include "core/model/export.h"
#include "core/shortcuts/shortcut.h"
#include "experiments/session.h"
#include "experiments/variant_spec.h"

// What commands that change a model and write it (prune, merge) share.

namespace vitrine {

/// Of a text in windows, half of each overlapping the one before.
struct Perplexity {
  double value = 0.0;
  std::size_t tokens = 0, window = 0, stride = 0;
};

struct SurgeryOptions {
  CommonOptions common;
  std::string output, type = "keep", evaluation;
  std::size_t evaluation_tokens = 4096;
  bool plan = false, force = false;
};
/// MODEL, -o, --type, --evaluation, --plan, --force and what is common.
void declare_surgery(CLI::App& app, SurgeryOptions& options);

/// What was done, for people and as JSON.
struct SurgeryResult {
  std::string operation;           ///< "prune"
  std::string word;                ///< the shortcuts, spelled
  ShortcutReport report;
  std::optional<Perplexity> before{}, after{};
  ExportPlan plan;
  bool written = false;
};

/// Opens the model, measures it, applies the shortcuts, measures it again and writes it, unless --plan says otherwise.
/// @throws Error; then nothing was written
SurgeryResult operate(const SurgeryOptions& options, std::string operation, std::span<const ShortcutCall> calls);
void print(const SurgeryResult& result, const SurgeryOptions& options);

}  // namespace vitrine
