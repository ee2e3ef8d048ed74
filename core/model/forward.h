#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/base/run.h"
#include "core/model/attention.h"
#include "core/model/kv_cache.h"
#include "core/model/model.h"
#include "core/model/observer.h"
#include "core/model/ops.h"
#include "core/tensor/workspace.h"

namespace vitrine {

/// New rows of one sequence. A causal sequence continues its cache; a bidirectional one is complete and has none.
struct Segment {
  std::uint32_t sequence = 0;            ///< name of the sequence in RowRef
  std::span<const TokenId> ids;          ///< the new tokens
  std::span<const std::int32_t> types{}; ///< token types (segments A and B), or empty = 0
  KvCache* cache = nullptr;              ///< null for a bidirectional model
  /// The first `shared` positions of the (still empty) cache are those of another sequence that begins alike: of an
  /// earlier segment of the same call, or of one that is complete.
  const KvCache* shared_from = nullptr;
  std::size_t shared = 0;
  /// Keys and values of the source under cross attention: encode() fills it, forward() reads it.
  KvCache* memory = nullptr;
  /// [rows, rows] Of a model with a query stream: whose tokens come before a position's in the order in which tokens are said, and
  /// may be seen there; the content stream sees its own besides. Empty: all.
  BitView allowed{};
  std::span<const std::uint32_t> targets{};  ///< positions whose tokens the query stream predicts; logits are then theirs
  std::span<const TokenId> source{};  ///< the ids it was made of, where ReadoutRows::last_end asks for them
  /// Where the rows enter: at the embedding, or with a residual stream of their own at a later block, no earlier than the segments before
  /// it. The cache then holds nothing of the blocks before it.
  std::size_t first_block = 0;
  TensorView<const float, 2> residual{};  ///< [ids, width] what enters first_block; empty: the embedding of the ids enters block 0
};

/// What a model's readout says of one sequence.
struct Readout {
  std::uint32_t sequence = 0;
  std::uint32_t position = 0;         ///< of the row it was read off; 0 for a mean
  std::span<const float> pooled;      ///< [width]
  std::span<const float> labels;      ///< [labels], as they come out of the last product; empty of a pooler alone
};

enum class LogitRows { none, last, all, wanted };  ///< of each segment; those for which ForwardSinks::wants_logits says so

/// What is taken out of a run besides the observers. Called on the working thread.
struct ForwardSinks {
  LogitRows logit_rows = LogitRows::none;
  std::function<bool(const RowRef& row)> wants_logits{};
  /// [rows, vocabulary], in pieces; logits of a whole text never exist at once
  std::function<void(std::span<const RowRef> rows, TensorView<float, 2> logits)> logits{};
  /// [rows, width] after the final norm
  std::function<void(std::span<const RowRef> rows, TensorView<const float, 2> hidden)> hidden{};
  /// Once a sequence, or once a row (ReadoutRows::every)
  std::function<void(const Readout& readout)> readout{};
};

/// Everything that a forward pass works with; one per thread of work.
struct ForwardContext {
  const Model& model;
  Ops& ops;
  const KernelChoice& kernel;
  Workspace& workspace;
  Run& run;
  const TapPlan& taps;
};

constexpr std::size_t max_rows = 512;  ///< rows a causal pass handles at once; longer texts go in chunks

/// The first item behind `begin` that does not share its pass; one alone may have more rows than a pass.
/// @param rows_of  rows of item i, of `count`
template <typename RowsOf>
std::size_t pass_end(std::size_t begin, std::size_t count, const RowsOf& rows_of) {
  std::size_t end = begin;
  for (std::size_t rows = 0; end < count && (end == begin || rows + rows_of(end) <= max_rows); ++end) rows += rows_of(end);
  return end;
}

/// The one forward pass: prefill is n tokens, decode is 1, an encoder is bidirectional; rows of several sequences at
/// once, ragged, without padding. @throws Error where a token or position is outside the model
void forward(const ForwardContext& context, std::span<const Segment> segments, const ForwardSinks& sinks);

/// The same over the encoder of an encoder-decoder, whose segments are whole source texts. Where a segment has a memory (empty
/// before), the decoder's cross keys and values of the text are put there; it then serves any number of passes.
void encode(const ForwardContext& context, std::span<const Segment> segments, const ForwardSinks& sinks);

}  // namespace vitrine
