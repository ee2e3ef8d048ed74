#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "probes/patching/sweep.h"

// What sweeps have in common: one run of the text as it is, and cells that run again what they change.

namespace vitrine {

/// The point of a sweep in a block; other sites of the same block are of the same stack.
ProbePoint point_of(const SweepPoint& point, std::size_t block, Site site);
std::vector<ProbePoint> in_every_block(const ModelSpec& stack, const SweepPoint& point, Site site);

/// What one run changes.
struct Cell {
  std::size_t block = 0;
  std::optional<std::size_t> position, head;  // none: all
};

/// Values of another run in the places of the cells; cell i is sequence i.
class PatchedCells : public Observer {
 public:
  PatchedCells(const SweepPoint& point, const PointValues& source, std::span<const Cell> cells) : point_(point), source_(source), cells_(cells) {}
  Access access(const ProbePoint& point) const override;
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;

 private:
  const SweepPoint& point_;
  const PointValues& source_;
  std::span<const Cell> cells_;
};

/// A number of a run: the sum of what the logits of some rows give.
struct Outcome {
  std::size_t first = 0, last = 0;  ///< positions of these rows
  std::function<double(std::size_t position, std::span<const float> logits)> value;
};
/// The logit difference that is asked.
Outcome difference_of(const PatchQuestion& question);
/// Into the place of each sequence. @param numbers  [sequences], overwritten for those that have such rows
ForwardSinks sinks_of(const Outcome& outcome, std::vector<double>& numbers);

/// @throws Error where the model has no logits, or no such position or token
void check_question(const ModelSpec& spec, const PatchQuestion& question);

/// The text as it is: what enters every block, and its keys and values.
class BaseRun {
 public:
  /// @param also  looks on
  BaseRun(const ModelRunner& runner, const ModelText& text, Outcome outcome, const SweepPoint& point, Observer* also = nullptr);

  double number() const { return number_; }  ///< of the text as it is

  /// Changes the cells of a batch, of which cell i is sequence i.
  using MakeObserver = std::function<std::unique_ptr<Observer>(std::span<const Cell> batch)>;

  /// Numbers of cells, those of earlier blocks first. @param first_changed  rows before it are the same in all
  std::vector<double> run(std::span<const Cell> cells, std::size_t first_changed, const MakeObserver& make);

 private:
  bool has_source() const { return !runner_.model.spec.encoder.empty(); }
  Segment whole(std::uint32_t sequence, KvCache* cache, KvCache* memory) const;
  std::size_t first_row(const Cell& cell, std::size_t first_changed) const;
  KvCache& empty_cache(std::size_t index);
  void run_cells(std::span<const Cell> cells, std::size_t first_changed, Observer& changes, std::vector<double>& numbers);
  void run_encoder_cells(std::span<const Cell> cells, Observer& changes, std::vector<double>& numbers);

  const ModelRunner& runner_;
  const ModelText& text_;
  Outcome outcome_;
  const SweepPoint& point_;
  const ModelSpec& stack_;
  PointValues stream_;
  KvCache cache_, memory_;
  std::deque<KvCache> caches_;  // whose places in memory stay
  double number_ = 0.0;
};

}  // namespace vitrine
