#include "core/shortcuts/sequential.h"

#include <algorithm>
#include <deque>
#include <optional>

namespace vitrine {
namespace {

bool reads_source(const WeightKey& key) { return key.role == Role::cross_k || key.role == Role::cross_v; }

/// The model up to a block of a stack; it puts out the residual stream.
Model up_to(const Model& model, Stack stack, std::size_t block) {
  Model part = model;
  ModelSpec& spec = stack == Stack::encoder ? part.spec.encoder.front() : part.spec;
  spec.blocks.resize(block + 1);
  spec.final_norm = spec.has_head = false;
  return part;
}

class BlockByBlock {
 public:
  BlockByBlock(Model& model, const ShortcutBench& bench, Statistics statistics, const ChangeMatrices& change)
      : model_(model), bench_(bench), statistics_(statistics), change_(change), keys_(block_matrices(model)) {}

  void run() {
    if (!model_.spec.encoder.empty()) {
      run_stack(model_.spec.encoder.front());
      change_readers_of_source();
    }
    run_stack(model_.spec);
  }

 private:
  template <class Wanted>
  std::vector<WeightKey> keys_where(const Wanted& wanted) const {
    std::vector<WeightKey> keys;
    std::ranges::copy_if(keys_, std::back_inserter(keys), wanted);
    return keys;
  }

  void run_stack(const ModelSpec& stack) {
    const std::size_t blocks = stack.blocks.size();
    streams_.assign(bench_.calibration.size(), {});
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::vector<WeightKey> keys = keys_where([&](const WeightKey& key) {
        return key.stack == stack.stack && key.block == static_cast<int>(block) && !reads_source(key);
      });
      if (!keys.empty()) {
        const Model part = up_to(model_, stack.stack, block);
        WatchingOps watching(bench_.ops, part, {keys.begin(), keys.end()}, statistics_);
        run_block(part, watching, stack.stack);
        change_(keys, watching.take());
      }
      if (block + 1 < blocks) streams_ = run_block(up_to(model_, stack.stack, block), bench_.ops, stack.stack);
      bench_.run.step(stack.stack == Stack::encoder ? "encoder blocks" : "blocks", block + 1, blocks);
    }
  }

  /// Cross keys and values of every block read the encoder's rows: these go first, and then all decoder blocks find their memories ready.
  void change_readers_of_source() {
    const std::vector<WeightKey> keys = keys_where(reads_source);
    {
      WatchingOps watching(bench_.ops, model_, {keys.begin(), keys.end()}, statistics_);
      fill_memories(watching);
      change_(keys, watching.take());
    }
    fill_memories(bench_.ops);
  }

  void fill_memories(Ops& ops) {
    memories_.clear();
    const TapPlan none;
    for (const ModelText& text : bench_.calibration) {
      KvCache& memory = memories_.emplace_back(model_.spec, KvFormat(DType::f32), AttentionRole::cross);
      const Segment segment{.ids = text.source, .memory = &memory};
      encode({model_, ops, bench_.kernel, bench_.workspace, bench_.run, none}, {&segment, 1}, {});
    }
  }

  /// Runs the last block of a part over all texts. @returns [texts][rows, width] what comes out of it
  std::vector<FloatMatrix> run_block(const Model& part, Ops& ops, Stack stack) {
    std::vector<FloatMatrix> out;
    for (std::size_t i = 0; i < bench_.calibration.size(); ++i) out.push_back(run_text(part, ops, stack, i));
    return out;
  }

  FloatMatrix run_text(const Model& part, Ops& ops, Stack stack, std::size_t index) {
    const bool encoder = stack == Stack::encoder;
    const ModelText& text = bench_.calibration[index];
    const ModelSpec& spec = encoder ? part.spec.encoder.front() : part.spec;
    const std::vector<TokenId>& ids = encoder ? text.source : text.ids;
    FloatMatrix out(ids.size(), spec.width);
    if (ids.empty()) return out;
    Segment segment{.ids = ids};
    if (!encoder) segment.types = text.types;
    std::optional<KvCache> cache;
    if (spec.causal()) segment.cache = &cache.emplace(spec, KvFormat(DType::f32));
    if (!encoder && !memories_.empty()) {
      segment.memory = &memories_[index];
      segment.source = text.source;
    }
    if (FloatMatrix& stream = streams_[index]; stream.rows > 0) {
      segment.first_block = spec.blocks.size() - 1;
      segment.residual = {stream.numbers.data(), {stream.rows, stream.columns}};
    }
    std::size_t next = 0;
    ForwardSinks sinks;  // which also keeps the last block from dropping rows that nobody asks for
    sinks.hidden = [&](std::span<const RowRef> rows, TensorView<const float, 2> hidden) {
      for (std::size_t r = 0; r < rows.size(); ++r, ++next) std::copy_n(&hidden(r, 0), spec.width, &out(next, 0));
    };
    const TapPlan none;
    const ForwardContext context{part, ops, bench_.kernel, bench_.workspace, bench_.run, none};
    encoder ? encode(context, {&segment, 1}, sinks) : forward(context, {&segment, 1}, sinks);
    return out;
  }

  Model& model_;
  const ShortcutBench& bench_;
  Statistics statistics_;
  const ChangeMatrices& change_;
  std::vector<WeightKey> keys_;
  std::vector<FloatMatrix> streams_;  // [texts][rows, width] what enters the next block; of no rows before the first
  std::deque<KvCache> memories_;      // [texts] of an encoder-decoder
};

}  // namespace

void change_matrices(Model& model, const ShortcutBench& bench, const std::string& made, const ChangeNumbers& change, ShortcutReport& report) {
  const auto change_one = [&](const WeightKey& key, const SharedStatistics& statistics) {
    const Tensor before = expand(model.weights.at(key));
    require_finite(before, matrix_name(key));
    Tensor numbers = copy_of(before);
    change(key, numbers, statistics);
    put_numbers(model, key, numbers, {made, before, statistics ? &statistics->gram : nullptr}, report);
  };
  if (bench.calibration.empty()) {
    const std::vector<WeightKey> keys = block_matrices(model);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      change_one(keys[i], nullptr);
      bench.run.step("matrices", i + 1, keys.size());
    }
    return;
  }
  change_block_by_block(model, bench, Statistics::gram, [&](std::span<const WeightKey> keys, const StatisticsOf& found) {
    for (const WeightKey& key : keys) {
      if (const auto of_key = found.find(key); of_key != found.end()) {
        change_one(key, of_key->second);
      } else {
        report.notes.push_back(matrix_name(key) + " stays as it was: no row of the calibration text was multiplied by it");
      }
    }
  });
}

void change_block_by_block(Model& model, const ShortcutBench& bench, Statistics statistics, const ChangeMatrices& change) {
  BlockByBlock(model, bench, statistics, change).run();
}

}  // namespace vitrine
