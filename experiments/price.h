#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/model_runner.h"
#include "experiments/calibration_text.h"
#include "probes/statistics/estimate.h"

namespace CLI {
class App;
}

namespace vitrine {

class Session;

/// Texts on which a changed model is compared with what it was.
struct PriceTexts {
  std::vector<ModelText> texts;
  Json protocol;  ///< where they are from, windows, what is scored
};

struct PriceOptions {
  bool none = false;          ///< --no-price
  std::string file;           ///< --eval
  std::size_t tokens = 2048;  ///< at most
  std::size_t window = 512;
};
/// --eval, --eval-tokens, --eval-window, --no-price
void declare_price(CLI::App& app, PriceOptions& options);

/// Texts of the user's file; else the last fifth of the calibration windows, which are taken away from there; else sentences of the project's own
/// templates. Empty for a model without a tokenizer or predictions, and beside an encoder.
PriceTexts price_texts(const Session& session, const PriceOptions& options, std::vector<ModelText>& calibration);

/// A number of both models on all texts.
struct PriceColumn {
  std::string name, unit;
  double before = 0.0, after = 0.0;  ///< before: 0 of a distance
  bool is_distance = false;
  Estimate estimate;  ///< over the windows: of the change, or of the distance, which has an interval alone
  const char* format = "%.4g";
};

/// Every metric of predictions (probes/metrics), both models run exactly. Windows are what is resampled.
/// @param after  as changed, with what its shortcuts put over the arithmetic
std::vector<PriceColumn> measure_price(Session& session, const Model& before, const Model& after, std::span<const ModelText> texts);

/// One token's product with each matrix of the blocks, in the arithmetic of fast precision, before and after; slowest first.
struct ProductTime {
  std::string name;
  double before_microseconds = 0.0, after_microseconds = 0.0;
};
std::vector<ProductTime> time_products(Session& session, const Model& before, const Model& after);

Json to_json(std::span<const PriceColumn> columns);
/// For people, with what it was measured on; a line that says so where nothing was.
void print_price(const PriceTexts& texts, std::span<const PriceColumn> columns);

}  // namespace vitrine
