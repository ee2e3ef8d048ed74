#include "kernels/ops/library_product.h"

#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

namespace vitrine {

using Memory = dnnl::memory;

struct LibraryProduct::State {
  struct Shape {
    dnnl_dim_t rows, inner, columns, a_stride, b_inner_stride, b_column_stride, out_stride;
    auto operator<=>(const Shape&) const = default;
  };
  struct Multiplier {
    dnnl::matmul primitive;
    Memory a, b, out, scratch;
  };
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, Multiplier> multipliers;
  std::vector<std::byte> scratch;

  Multiplier& multiplier(const Shape& shape) {
    const auto found = multipliers.find(shape);
    if (found != multipliers.end()) return found->second;
    if (multipliers.size() > 256) multipliers.clear();  // texts of many lengths
    const Memory::desc a({shape.rows, shape.inner}, Memory::data_type::f32, Memory::dims{shape.a_stride, 1});
    const Memory::desc b({shape.inner, shape.columns}, Memory::data_type::f32, Memory::dims{shape.b_inner_stride, shape.b_column_stride});
    const Memory::desc out({shape.rows, shape.columns}, Memory::data_type::f32, Memory::dims{shape.out_stride, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, out), attributes, engine);
    const auto look = [&](const Memory::desc& of) { return Memory(of, engine, DNNL_MEMORY_NONE); };
    const std::size_t needed = description.scratchpad_desc().get_size() + 64;
    if (scratch.size() < needed) scratch.resize(needed);
    return multipliers.emplace(shape, Multiplier{dnnl::matmul(description), look(a), look(b), look(out), look(description.scratchpad_desc())}).first->second;
  }

  void run(const Shape& shape, const float* a, const float* b, float* out) {
    Multiplier& multiply = multiplier(shape);
    multiply.a.set_data_handle(const_cast<float*>(a));
    multiply.b.set_data_handle(const_cast<float*>(b));
    multiply.out.set_data_handle(out);
    const auto aligned = (reinterpret_cast<std::uintptr_t>(scratch.data()) + 63) / 64 * 64;
    multiply.scratch.set_data_handle(reinterpret_cast<void*>(aligned));
    multiply.primitive.execute(stream, {{DNNL_ARG_SRC, multiply.a}, {DNNL_ARG_WEIGHTS, multiply.b}, {DNNL_ARG_DST, multiply.out}, {DNNL_ARG_SCRATCHPAD, multiply.scratch}});
    stream.wait();
  }
};

LibraryProduct::LibraryProduct() : state_(std::make_unique<State>()) {}
LibraryProduct::~LibraryProduct() = default;

namespace {

dnnl_dim_t dim(std::size_t n) { return static_cast<dnnl_dim_t>(n); }

}  // namespace

void LibraryProduct::rows_by_rows(const DenseRows<const float>& a, const DenseRows<const float>& b, std::size_t inner, const DenseRows<float>& out) {
  state_->run({dim(a.count), dim(inner), dim(b.count), dim(a.stride), 1, dim(b.stride), dim(out.stride)}, a.data, b.data, out.data);
}

void LibraryProduct::rows_by_columns(const DenseRows<const float>& a, const DenseRows<const float>& b, std::size_t columns, const DenseRows<float>& out) {
  state_->run({dim(a.count), dim(b.count), dim(columns), dim(a.stride), dim(b.stride), 1, dim(out.stride)}, a.data, b.data, out.data);
}

}  // namespace vitrine
