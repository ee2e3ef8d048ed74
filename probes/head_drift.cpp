#include "probes/head_drift.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/error.h"
#include "probes/statistics/attention_drift.h"

namespace vitrine {
namespace {

constexpr std::size_t rows_of_a_stretch = 32;

using Module = Recording::Module;
using HeadPointer = std::shared_ptr<const Recording::Head>;

/// The same module of another recording with the same heads; null where there is none.
const Module* twin_of(const Module& module, const Recording& other) {
  for (const Module& each : other.modules()) {
    if (each.name == module.name && each.heads == module.heads && each.queries == module.queries && each.keys == module.keys) return &each;
  }
  return nullptr;
}

/// Divergences of rows of one head, and which text or stretch each belongs to.
struct Rows {
  std::vector<double> bits;
  std::vector<std::size_t> sequence, stretch;
};

std::vector<double> weights_of(const Recording::Head& head, std::size_t row) {
  std::vector<float> weights(head.factors.k.extent(0));
  pattern_tile(head.factors, row, 0, {weights.data(), {1, weights.size()}});
  return {weights.begin(), weights.end()};
}

std::size_t visible_keys(const Recording::Head& head, std::size_t row) {
  const std::size_t keys = head.factors.k.extent(0);
  return head.factors.score.mask == Mask::causal ? std::min(keys, head.factors.q_start + row + 1) : keys;
}

void add_text(const Recording::Head& reference, const Recording::Head& variant, std::size_t sequence, std::size_t most_rows, Rows& rows) {
  const std::size_t count = reference.factors.q.extent(0), step = std::max<std::size_t>(1, (count + most_rows - 1) / most_rows);
  std::size_t looked_at = 0;
  for (std::size_t row = step - 1; row < count; row += step) {
    if (visible_keys(reference, row) < fewest_visible_keys) continue;
    rows.bits.push_back(jensen_shannon(weights_of(reference, row), weights_of(variant, row)));
    rows.sequence.push_back(sequence);
    rows.stretch.push_back(looked_at++ / rows_of_a_stretch);
  }
}

Estimate estimate_of(const std::string& name, const Rows& rows, std::size_t sequences) {
  if (rows.bits.empty()) return not_measurable(name, "bits", "no row sees 8 keys");
  return sequences > 1 ? described_mean({name, "bits", "text"}, rows.bits, rows.sequence) : described_mean({name, "bits", "stretch of 32 rows"}, rows.bits, rows.stretch);
}

}  // namespace

std::string why_not_comparable(const Recording& reference, const Recording& variant) {
  if (reference.sequences() != variant.sequences()) return std::to_string(reference.sequences()) + " and " + std::to_string(variant.sequences()) + " texts";
  for (std::size_t s = 0; s < variant.sequences(); ++s) {
    const bool readable = reference.may_read(DataClass::text) && variant.may_read(DataClass::text);
    if (reference.rows_of(s).count != variant.rows_of(s).count || (readable && reference.token_ids(s) != variant.token_ids(s))) return "other tokens in text " + std::to_string(s);
  }
  for (const Module& module : variant.modules()) {
    if (twin_of(module, reference) != nullptr) return "";
  }
  return "no attention of the same shape in both";
}

std::vector<HeadDrift> head_drift(const Recording& reference, const Recording& variant, ThreadPool& pool, Run& run, std::size_t most_rows) {
  if (const std::string why = why_not_comparable(reference, variant); !why.empty()) {
    throw Error({variant.path().string(), "a recording of the same texts as " + reference.path().string(), why, "record both models on one file"});
  }
  std::vector<HeadDrift> drifts;
  const auto modules = variant.modules();
  for (std::size_t m = 0; m < modules.size(); ++m) {
    const Module& module = modules[m];
    const Module* twin = twin_of(module, reference);
    if (twin == nullptr) continue;
    std::vector<Rows> rows(module.heads);
    for (std::size_t s = 0; s < variant.sequences(); ++s) {
      std::vector<std::pair<HeadPointer, HeadPointer>> heads;  // read by one thread, worked on by all
      for (std::size_t h = 0; h < module.heads; ++h) heads.emplace_back(reference.head(*twin, h, s), variant.head(module, h, s));
      pool.run(module.heads, [&](std::size_t h, std::size_t) { add_text(*heads[h].first, *heads[h].second, s, most_rows, rows[h]); });
    }
    for (std::size_t h = 0; h < module.heads; ++h) {
      drifts.push_back({module.name, m, module.block, h, estimate_of(module.name + " head " + std::to_string(h), rows[h], variant.sequences())});
    }
    run.step("heads", m + 1, modules.size());
  }
  return drifts;
}

}  // namespace vitrine
