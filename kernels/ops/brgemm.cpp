#include "kernels/ops/brgemm.h"

#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "kernels/kernels.h"

namespace vitrine {

bool has_bf16_products() {
  return __builtin_cpu_supports("avx512bf16") && dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16;
}

using Memory = dnnl::memory;

struct Bf16Multiplier::State {
  struct Shape {
    dnnl_dim_t rows, x_stride, inner, weight_stride, columns, out_stride;
    bool bias;
    auto operator<=>(const Shape&) const = default;
  };
  struct Multiplier {
    dnnl::matmul primitive;
    Memory x, weights, bias, out, scratch;
  };
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, Multiplier> multipliers;
  std::vector<std::byte> scratch;

  Multiplier& multiplier(const Shape& shape) {
    const auto found = multipliers.find(shape);
    if (found != multipliers.end()) return found->second;
    if (multipliers.size() > 256) multipliers.clear();  // prompts of many lengths
    const Memory::desc x({shape.rows, shape.inner}, Memory::data_type::bf16, Memory::dims{shape.x_stride, 1});
    const Memory::desc weights({shape.inner, shape.columns}, Memory::data_type::bf16,
                               Memory::dims{1, shape.weight_stride});
    const Memory::desc bias({1, shape.columns}, Memory::data_type::f32, Memory::dims{shape.columns, 1});
    const Memory::desc out({shape.rows, shape.columns}, Memory::data_type::f32, Memory::dims{shape.out_stride, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto desc = shape.bias ? dnnl::matmul::desc(x, weights, bias, out) : dnnl::matmul::desc(x, weights, out);
    const dnnl::matmul::primitive_desc description(desc, attributes, engine);
    const auto look = [&](const Memory::desc& of) { return Memory(of, engine, DNNL_MEMORY_NONE); };
    Multiplier made{dnnl::matmul(description),          look(x), look(weights), look(bias), look(out),
                    look(description.scratchpad_desc())};
    if (scratch.size() < description.scratchpad_desc().get_size() + 64) {
      scratch.resize(description.scratchpad_desc().get_size() + 64);
    }
    return multipliers.emplace(shape, std::move(made)).first->second;
  }
};

Bf16Multiplier::Bf16Multiplier() : state_(std::make_unique<State>()) {}
Bf16Multiplier::~Bf16Multiplier() = default;

void Bf16Multiplier::run(const DenseRows<const std::uint16_t>& x, const DenseRows<const std::uint16_t>& weights,
                         const float* bias, const DenseRows<float>& out) {
  const auto dim = [](std::size_t n) { return static_cast<dnnl_dim_t>(n); };
  State::Multiplier& multiply = state_->multiplier({dim(x.count), dim(x.stride), dim(x.stride), dim(weights.stride),
                                                    dim(weights.count), dim(out.stride), bias != nullptr});
  multiply.x.set_data_handle(const_cast<std::uint16_t*>(x.data));
  multiply.weights.set_data_handle(const_cast<std::uint16_t*>(weights.data));
  multiply.bias.set_data_handle(const_cast<float*>(bias));
  multiply.out.set_data_handle(out.data);
  const auto aligned = (reinterpret_cast<std::uintptr_t>(state_->scratch.data()) + 63) / 64 * 64;
  multiply.scratch.set_data_handle(reinterpret_cast<void*>(aligned));
  std::unordered_map<int, Memory> arguments{{DNNL_ARG_SRC, multiply.x},
                                            {DNNL_ARG_WEIGHTS, multiply.weights},
                                            {DNNL_ARG_DST, multiply.out},
                                            {DNNL_ARG_SCRATCHPAD, multiply.scratch}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, multiply.bias);
  multiply.primitive.execute(state_->stream, arguments);
  state_->stream.wait();
}

}  // namespace vitrine
