#include "kernels/ops/products.h"

#include <algorithm>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t panel_width = 64;  // output columns: 64 x 1536 f32 fit into the second-level cache
constexpr std::size_t row_block = 32;

using Memory = dnnl::memory;

struct Shape {
  std::size_t in, out;
  auto operator<=>(const Shape&) const = default;
};

}  // namespace

/// What one thread keeps: its own primitives and buffers, so that nothing is shared and nothing is locked.
struct Products::Worker {
  struct Multiplier {
    dnnl::matmul primitive;
    Memory input, panel, result, scratch;
  };
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, Multiplier> multipliers;
  std::vector<float> panel, input, result;

  Multiplier& multiplier(Shape shape) {
    const auto found = multipliers.find(shape);
    if (found != multipliers.end()) return found->second;
    const auto in = static_cast<dnnl_dim_t>(shape.in), out = static_cast<dnnl_dim_t>(shape.out);
    const auto rows = static_cast<dnnl_dim_t>(row_block);
    const Memory::desc input_desc({rows, in}, Memory::data_type::f32, Memory::dims{in, 1});
    const Memory::desc panel_desc({in, out}, Memory::data_type::f32, Memory::dims{1, in});  // [out, in] rows, transposed
    const Memory::desc result_desc({rows, out}, Memory::data_type::f32, Memory::dims{out, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(input_desc, panel_desc, result_desc), attributes, engine);
    Multiplier made{dnnl::matmul(description), Memory(input_desc, engine, DNNL_MEMORY_NONE),
                    Memory(panel_desc, engine, DNNL_MEMORY_NONE), Memory(result_desc, engine, DNNL_MEMORY_NONE),
                    Memory(description.scratchpad_desc(), engine)};
    return multipliers.emplace(shape, std::move(made)).first->second;
  }

  /// Expands rows [begin, begin + shape.out) of the weight and multiplies every row of x with them.
  void run_panel(TensorView<const float, 2> x, const Product& product, std::size_t begin, Shape shape) {
    const Weight& weight = *product.weight;
    panel.resize(std::max(panel.size(), shape.in * shape.out));
    input.resize(std::max(input.size(), shape.in * row_block));
    result.resize(std::max(result.size(), shape.out * row_block));
    for (std::size_t r = 0; r < shape.out; ++r) {
      dtype_info(weight.type).expand(weight.row(begin + r), panel.data() + r * shape.in, shape.in);
    }
    std::vector<float> bias(shape.out, 0.0f);
    if (product.bias) {
      const Tensor numbers = expand(*product.bias);
      std::copy_n(numbers.floats().data() + begin, shape.out, bias.data());
    }
    Multiplier& multiply = multiplier(shape);
    multiply.input.set_data_handle(input.data());
    multiply.panel.set_data_handle(panel.data());
    multiply.result.set_data_handle(result.data());
    for (std::size_t first = 0; first < x.extent(0); first += row_block) {
      const std::size_t rows = std::min(row_block, x.extent(0) - first);
      for (std::size_t r = 0; r < rows; ++r) std::copy_n(&x(first + r, 0), shape.in, input.data() + r * shape.in);
      std::fill(input.begin() + static_cast<std::ptrdiff_t>(rows * shape.in), input.end(), 0.0f);
      multiply.primitive.execute(stream, {{DNNL_ARG_SRC, multiply.input}, {DNNL_ARG_WEIGHTS, multiply.panel},
                                          {DNNL_ARG_DST, multiply.result}, {DNNL_ARG_SCRATCHPAD, multiply.scratch}});
      stream.wait();
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < shape.out; ++c) product.out(first + r, begin + c) = result[r * shape.out + c] + bias[c];
      }
    }
  }
};

Products::Products(ThreadPool& pool) : pool_(pool), workers_(std::make_unique<Worker[]>(pool.threads())) {}
Products::~Products() = default;

void Products::multiply(TensorView<const float, 2> x, std::span<const Product> products) {
  struct Panel {
    const Product* product;
    std::size_t begin;
  };
  std::vector<Panel> panels;
  for (const Product& product : products) {
    VITRINE_CHECK(product.weight->cols == x.extent(1) && product.weight->rows == product.out.extent(1));
    VITRINE_CHECK(product.out.extent(0) == x.extent(0));
    for (std::size_t begin = 0; begin < product.weight->rows; begin += panel_width) panels.push_back({&product, begin});
  }
  pool_.run(panels.size(), [&](std::size_t index, std::size_t worker) {
    const Panel& panel = panels[index];
    const std::size_t out = std::min(panel_width, panel.product->weight->rows - panel.begin);
    workers_[worker].run_panel(x, *panel.product, panel.begin, {x.extent(1), out});
  });
}

}  // namespace vitrine
