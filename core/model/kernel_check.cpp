#include "core/model/kernel_check.h"

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/model/distance_bias.h"

namespace vitrine {
namespace {

/// One query over one key of an attention: what a kernel refuses depends on shapes, types and rules, not on numbers.
class SampleProblem {
 public:
  SampleProblem(const AttentionSpec& spec, DType type)
      : spec_(spec), numbers_(spec.heads * spec.head_dim), row_(spec.kv_heads * head_bytes(spec, type)) {
    const KvView keys{.type = type, .rows = row_.data(), .row_bytes = static_cast<std::ptrdiff_t>(row_.size()),
                      .head_bytes = static_cast<std::ptrdiff_t>(head_bytes(spec, type)), .kv_len = 1, .kv_heads = spec.kv_heads, .head_dim = spec.head_dim};
    const TensorView<float, 3> rows{numbers_.data(), {1, spec.heads, spec.head_dim}};
    problem_ = {.q = rows, .k = keys, .v = keys, .out = rows};
    problem_.score = {.scale = spec.scale, .soft_cap = spec.soft_cap, .mask = spec.mask, .window = spec.window};
  }

  void add(const DistanceBias& bias) { problem_.score.by_distance = bias; }
  /// A distance that meets the queries.
  void add_content() {
    const TensorView<const float, 2> by_head{numbers_.data(), {spec_.heads, spec_.head_dim}};
    ContentByDistance& content = problem_.score.content;
    content.r = {numbers_.data(), {1, spec_.heads, spec_.head_dim}};
    content.key_bias = content.distance_bias = by_head;
  }
  const AttentionProblem& problem() const { return problem_; }

 private:
  static std::size_t head_bytes(const AttentionSpec& spec, DType type) { return row_bytes(type, kv_head_numbers(type, spec.head_dim)); }

  const AttentionSpec& spec_;
  std::vector<float> numbers_;
  std::vector<std::byte> row_;
  AttentionProblem problem_{};
};

void require_stack(const KernelChoice& choice, const Model& model, const ModelSpec& stack, const KvFormat& format) {
  for (std::size_t index = 0; index < stack.blocks.size(); ++index) {
    const BlockSpec& block = stack.blocks[index];
    SampleProblem own(block.attention, stack.causal() ? format.type : DType::f32);
    own.add(distance_bias(stack, model.weights, static_cast<int>(index)));
    if (block.attention.relative) own.add_content();
    require_kernel(choice, model.spec, own.problem());
    if (block.cross) require_kernel(choice, model.spec, SampleProblem(*block.cross, format.type).problem());
  }
}

}  // namespace

void require_kernel(const KernelChoice& choice, const ModelSpec& spec, const AttentionProblem& problem) {
  const std::string reason = choice.kernel->refuses(problem, choice.options);
  if (reason.empty()) return;
  throw Error({"--kernel " + choice.spelled, reason, "a " + spec.architecture + " model with keys in " + kv_format_name(problem.k.type),
               "see `vitrine list kernels`"}, Fault::usage);
}

void require_kernel(const KernelChoice& choice, const Model& model, const KvFormat& format) {
  for (const ModelSpec& encoder : model.spec.encoder) require_stack(choice, model, encoder, format);
  require_stack(choice, model, model.spec, format);
}

}  // namespace vitrine
