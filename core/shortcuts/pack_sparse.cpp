#include "core/shortcuts/pack_sparse.h"

#include <algorithm>
#include <cstdio>

#include "core/tensor/sparse_rows.h"

namespace vitrine {

double worth_packing(DType type) {
  // Where one row's product was measured a tenth faster and more (docs/pruning.md).
  return type == DType::q8_0 ? 0.4 : 0.3;
}

void pack_sparse(Model& model, ThreadPool& pool, std::optional<double> least, ShortcutReport& report) {
  constexpr std::size_t glance = 4;  // rows that are looked at first
  struct Packed {
    WeightKey key;
    double zeros = 0.0;
    Weight weight{};
  };
  std::vector<Packed> packed;
  for (const WeightKey& key : block_matrices(model)) {
    if (const Weight& weight = model.weights.at(key); can_be_sparse(weight.type) && !sparse_rows(weight)) packed.push_back({key, 0.0, {}});
  }
  pool.run(packed.size(), [&](std::size_t i, std::size_t) {
    const Weight& dense = model.weights.at(packed[i].key);
    const double wanted = least.value_or(worth_packing(dense.type));
    if (share_of_zeros(dense, glance) < 0.8 * wanted) return;
    packed[i].zeros = share_of_zeros(dense, dense.rows);
    if (packed[i].zeros >= wanted && packed[i].zeros > 0.0) packed[i].weight = make_sparse(dense);
  });
  for (Packed& matrix : packed) {
    if (!matrix.weight.owner) continue;
    const Weight dense = model.weights.at(matrix.key);
    const std::vector<WeightKey> sharing = sharing_matrix(model, matrix.key);
    for (const WeightKey& key : sharing) model.weights.put(key, matrix.weight);
    char made[64];
    std::snprintf(made, sizeof made, "%.1f%% zeros packed", 100.0 * matrix.zeros);
    report.matrices.push_back({matrix_name(matrix.key), made, dense.bytes(), stored_bytes(matrix.weight), 0.0, {}});
    if (dense.owner) dense.owner->give_back({dense.data, dense.bytes()});
  }
}

}  // namespace vitrine
