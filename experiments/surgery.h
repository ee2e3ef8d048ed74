#pragma once

#include <string>
#include <vector>

#include "core/model/export.h"
#include "core/shortcuts/shortcut.h"
#include "experiments/calibration_text.h"
#include "experiments/price.h"
#include "experiments/session.h"

// What commands that change a model and write it (prune, merge) share.

namespace vitrine {

struct SurgeryOptions {
  CommonOptions common;
  CalibrationOptions calibration;
  PriceOptions price;
  std::string output, type = "keep";
  bool plan = false, force = false;
};
/// MODEL, -o, --type, --calibration, --eval, --no-price, --plan, --force and what is common.
void declare_surgery(CLI::App& app, SurgeryOptions& options);

/// What was done, for people and as JSON.
struct SurgeryResult {
  std::string operation;           ///< "prune"
  std::string word;                ///< the shortcuts, spelled
  ShortcutReport report;
  PriceTexts texts{};
  std::vector<PriceColumn> price{};
  ExportPlan plan;
  bool written = false;
};

/// What is to be done.
struct Surgery {
  std::string operation;  ///< "prune"
  std::vector<ShortcutCall> calls;
  Json record = Json::object();  ///< what the file's history says of it, besides the calibration text, seed and version
};

/// Opens the model, applies the shortcuts, writes it and compares both, unless --plan says otherwise.
/// @throws Error; then nothing was written
SurgeryResult operate(const SurgeryOptions& options, const Surgery& surgery);
void print(const SurgeryResult& result, const SurgeryOptions& options);

}  // namespace vitrine
