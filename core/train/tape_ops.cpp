#include "core/train/tape_ops.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/train/differences.h"

// Every operation beside what it hands back. A step keeps copies of the inputs that its multipliers need; those of the other run stand
// at the same place of its tape.

namespace vitrine {
namespace {

/// The heads of a row side by side.
template <typename T>
TensorView<T, 2> flat(TensorView<T, 3> x) {
  VITRINE_CHECK(x.extent(1) == 1 || x.stride(1) == x.extent(2));
  return {x.data(), {x.extent(0), x.extent(1) * x.extent(2)}, {x.stride(0), 1}};
}

Numbers zeros(std::size_t rows, std::size_t cols) { return {rows, cols, std::vector<float>(rows * cols, 0.0f)}; }

/// Row by row on the pool's threads.
template <class Row>
void each_row(Ops& ops, std::size_t rows, const Row& row) {
  ops.pool().run(rows, [&](std::size_t r, std::size_t) { row(r); });
}

std::span<const float> row_of(const Numbers& numbers, std::size_t row) { return {numbers.data.data() + row * numbers.cols, numbers.cols}; }
std::span<float> row_of(Numbers& numbers, std::size_t row) { return {numbers.data.data() + row * numbers.cols, numbers.cols}; }

/// numbers *= gain, column by column
void apply_gain(const Weight* gain, Numbers& numbers) {
  if (!gain) return;
  const Tensor by = expand(*gain);
  for (std::size_t i = 0; i < numbers.data.size(); ++i) numbers.data[i] *= by.floats()[i % numbers.cols];
}

}  // namespace

TapeOps::TapeOps(Ops& base, Tape& tape) : base_(base), tape_(tape) { VITRINE_CHECK(base.precision() == Precision::exact); }

void TapeOps::seed(TensorView<const float, 2> at, Numbers flow) {
  tape_.push({.pull = [at, flow = std::move(flow)](const Step&, const Step&, AdjointMemory& memory) { memory.add(at, flow.view()); }});
}

void TapeOps::read(TensorView<const float, 2> at, std::function<void(TensorView<const float, 2>)> give) {
  tape_.push({.pull = [at, give = std::move(give)](const Step&, const Step&, AdjointMemory& memory) {
    Numbers flow = memory.look(at);
    flow.data.resize(flow.rows * flow.cols);
    give(flow.view());
  }});
}

void TapeOps::written(TensorView<const float, 2> at, const Numbers& before) {
  std::vector<TensorView<const float, 2>> changed;  // runs of numbers
  for (std::size_t r = 0; r < before.rows; ++r) {
    const float *now = at.data() + r * at.stride(0), *was = before.data.data() + r * before.cols;
    const auto differs = [&](std::size_t c) { return !(now[c] == was[c]); };
    for (std::size_t c = 0; c < before.cols;) {
      std::size_t end = c;
      while (end < before.cols && differs(end)) ++end;
      if (end > c) changed.push_back({now + c, {1, end - c}});
      c = end + 1;
    }
  }
  tape_.push({.pull = [changed = std::move(changed)](const Step&, const Step&, AdjointMemory& memory) {
    for (const TensorView<const float, 2>& numbers : changed) memory.clear(numbers);
  }});
}

void TapeOps::multiply(TensorView<const float, 2> x, std::span<const Product> products) {
  base_.multiply(x, products);
  tape_.push({.pull = [this, x, all = std::vector<Product>(products.begin(), products.end())](const Step&, const Step&, AdjointMemory& memory) {
    std::vector<Numbers> flows;
    for (const Product& product : all) flows.push_back(memory.take(product.out));
    Numbers back = zeros(x.extent(0), x.extent(1));
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (flows[i].data.empty()) continue;
      base_.multiply_transposed(flows[i].view(), *all[i].weight, back.view());
      memory.add(x, back.view());
    }
  }});
}

void TapeOps::normalize(const Norm& norm, TensorView<const float, 2> x, TensorView<float, 2> out, TensorView<float, 2> scale) {
  Numbers kept = copy_of(x);
  base_.normalize(norm, x, out, scale);
  Step step{.pull = [this, norm, x, out](const Step& own, const Step& other, AdjointMemory& memory) {
    Numbers flow = memory.take(out), back = zeros(flow.rows, flow.cols);
    if (flow.data.empty()) return;
    apply_gain(norm.weight, flow);
    each_row(base_, flow.rows, [&](std::size_t r) {
      const std::span<const float> into = row_of(std::as_const(flow), r);
      pull_norm({norm.kind, norm.epsilon, row_of(own.kept[0], r), row_of(other.kept[0], r)}, std::vector<double>(into.begin(), into.end()), row_of(back, r));
    });
    memory.add(x, back.view());
  }};
  step.kept.push_back(std::move(kept));
  tape_.push(std::move(step));
}

void TapeOps::scale_columns(const Weight* gain, TensorView<const float, 2> x, TensorView<float, 2> out) {
  base_.scale_columns(gain, x, out);
  tape_.push({.pull = [gain, x, out](const Step&, const Step&, AdjointMemory& memory) {
    Numbers flow = memory.take(out);
    if (flow.data.empty()) return;
    apply_gain(gain, flow);
    memory.add(x, flow.view());
  }});
}

void TapeOps::rotate(const AttentionSpec& spec, RopeReach reach, std::span<const std::uint32_t> positions, TensorView<const float, 3> x,
                     TensorView<float, 3> out) {
  base_.rotate(spec, reach, positions, x, out);
  const std::vector<std::uint32_t> at(positions.begin(), positions.end());
  tape_.push({.pull = [this, spec = &spec, reach, at, x, out](const Step&, const Step&, AdjointMemory& memory) {
    Numbers flow = memory.take(flat(out));
    if (flow.data.empty()) return;
    const TensorView<float, 3> heads{flow.data.data(), out.shape()};
    // A turn backwards is one forwards between mirrors: the second number of each pair changes its sign before and after.
    const auto mirror = [&] {
      for (std::size_t r = 0; r < heads.extent(0); ++r) {
        for (std::size_t h = 0; h < heads.extent(1); ++h) {
          for (std::size_t pair = 0; pair < spec->rope_dim / 2; ++pair) {
            float& second = heads(r, h, spec->rope == RopeKind::half ? spec->rope_dim / 2 + pair : 2 * pair + 1);
            second = -second;
          }
        }
      }
    };
    mirror();
    base_.rotate(*spec, reach, at, heads, heads);
    mirror();
    memory.add(flat(x), flow.view());
  }});
}

void TapeOps::activate(Activation activation, TensorView<const float, 2> pre, TensorView<const float, 2> linear, TensorView<float, 2> out) {
  Step step;
  step.kept.push_back(copy_of(pre));
  if (!linear.empty()) step.kept.push_back(copy_of(linear));
  base_.activate(activation, pre, linear, out);
  step.pull = [this, activation, pre, linear, out](const Step& own, const Step& other, AdjointMemory& memory) {
    Numbers flow = memory.take(out);
    if (flow.data.empty()) return;
    Numbers into_linear = linear.empty() ? Numbers{} : zeros(flow.rows, flow.cols);
    each_row(base_, flow.rows, [&](std::size_t r) {
      for (std::size_t i = r * flow.cols; i < (r + 1) * flow.cols; ++i) {
        const double a = own.kept[0].data[i], b = other.kept[0].data[i], g = flow.data[i], slope = activation_slope(activation, a, b);
        if (linear.empty()) {
          flow.data[i] = static_cast<float>(g * slope);
          continue;
        }
        const double gate = (activation_value(activation, a) + activation_value(activation, b)) / 2;
        into_linear.data[i] = static_cast<float>(g * gate);
        flow.data[i] = static_cast<float>(g * slope * (static_cast<double>(own.kept[1].data[i]) + other.kept[1].data[i]) / 2);
      }
    });
    memory.add(pre, flow.view());
    if (!linear.empty()) memory.add(linear, into_linear.view());
  };
  tape_.push(std::move(step));
}

void TapeOps::soft_cap(float cap, TensorView<float, 2> x) {
  Step step;
  step.kept.push_back(copy_of(x));
  base_.soft_cap(cap, x);
  step.pull = [cap, x](const Step& own, const Step& other, AdjointMemory& memory) {
    Numbers flow = memory.take(x);
    for (std::size_t i = 0; i < flow.data.size(); ++i) {
      flow.data[i] *= static_cast<float>(soft_cap_slope(cap, own.kept[0].data[i], other.kept[0].data[i]));
    }
    if (!flow.data.empty()) memory.add(x, flow.view());
  };
  tape_.push(std::move(step));
}

void TapeOps::scale(float factor, TensorView<float, 2> x) {
  base_.scale(factor, x);
  tape_.push({.pull = [factor, x](const Step&, const Step&, AdjointMemory& memory) {
    Numbers flow = memory.take(x);
    for (float& number : flow.data) number *= factor;
    if (!flow.data.empty()) memory.add(x, flow.view());
  }});
}

void TapeOps::add(TensorView<const float, 2> a, TensorView<const float, 2> b, TensorView<float, 2> out) {
  base_.add(a, b, out);
  tape_.push({.pull = [a, b, out](const Step&, const Step&, AdjointMemory& memory) {
    const Numbers flow = memory.take(out);
    if (flow.data.empty()) return;
    memory.add(a, flow.view());
    memory.add(b, flow.view());
  }});
}

void TapeOps::gather(const Weight& table, std::span<const std::int32_t> ids, float scale, TensorView<float, 2> out) {
  base_.gather(table, ids, scale, out);
  wrote(out);
}

void TapeOps::select(TensorView<const float, 2> x, std::span<const std::size_t> rows, TensorView<float, 2> out) {
  base_.select(x, rows, out);
  tape_.push({.pull = [x, out, from = std::vector<std::size_t>(rows.begin(), rows.end())](const Step&, const Step&, AdjointMemory& memory) {
    const Numbers flow = memory.take(out.slice(0, from.size()));
    for (std::size_t i = 0; i < from.size() && !flow.data.empty(); ++i) memory.add(x.slice(from[i], 1), flow.view().slice(i, 1));
  }});
}

void TapeOps::mean(TensorView<const float, 2> x, TensorView<float, 2> out) {
  base_.mean(x, out);
  tape_.push({.pull = [x, out](const Step&, const Step&, AdjointMemory& memory) {
    Numbers flow = memory.take(out);
    for (float& number : flow.data) number /= static_cast<float>(x.extent(0));
    for (std::size_t r = 0; r < x.extent(0) && !flow.data.empty(); ++r) memory.add(x.slice(r, 1), flow.view());
  }});
}

void TapeOps::softmax(TensorView<const float, 2> x, TensorView<float, 2> out) {
  Step step;
  step.kept.push_back(copy_of(x));
  base_.softmax(x, out);
  step.pull = [x, out](const Step& own, const Step& other, AdjointMemory& memory) {
    const Numbers flow = memory.take(out);
    if (flow.data.empty()) return;
    Numbers back = zeros(flow.rows, flow.cols);
    for (std::size_t r = 0; r < flow.rows; ++r) pull_softmax(row_of(own.kept[0], r), row_of(other.kept[0], r), row_of(flow, r), row_of(back, r));
    memory.add(x, back.view());
  };
  tape_.push(std::move(step));
}

/// With w the chosen weights and s their sum: w / s is the product of w and 1 / s.
void TapeOps::share(TensorView<const float, 2> weights, TensorView<const float, 2> places, TensorView<float, 2> shares) {
  Step step;
  step.kept.push_back(copy_of(weights));
  step.kept.push_back(copy_of(places));
  base_.share(weights, places, shares);
  step.pull = [weights, shares](const Step& own, const Step& other, AdjointMemory& memory) {
    if (own.kept[1].data != other.kept[1].data) {
      throw Error({"difference of two texts", "rows that go through the same experts", "other ones", "use a method of gradients"}, Fault::usage);
    }
    const Numbers flow = memory.take(shares);
    if (flow.data.empty()) return;
    Numbers back = zeros(weights.extent(0), weights.extent(1));
    for (std::size_t r = 0; r < flow.rows; ++r) {
      double sum = 0.0, other_sum = 0.0, along = 0.0;
      const auto place = [&](std::size_t k) { return static_cast<std::size_t>(own.kept[1].data[r * flow.cols + k]); };
      for (std::size_t k = 0; k < flow.cols; ++k) {
        const double a = own.kept[0].view()(r, place(k)), b = other.kept[0].view()(r, place(k));
        sum += a;
        other_sum += b;
        along += flow.view()(r, k) * (a + b) / 2;
      }
      for (std::size_t k = 0; k < flow.cols; ++k) {
        back.view()(r, place(k)) = static_cast<float>(flow.view()(r, k) * (1 / sum + 1 / other_sum) / 2 - along / (sum * other_sum));
      }
    }
    memory.add(weights, back.view());
  };
  tape_.push(std::move(step));
}

void TapeOps::mix(TensorView<const float, 2> x, std::span<const TakenRow> taken, TensorView<const float, 2> shares, TensorView<float, 2> out) {
  Step step;
  step.kept.push_back(copy_of(x.slice(0, taken.size())));
  step.kept.push_back(copy_of(shares));
  base_.mix(x, taken, shares, out);
  step.pull = [x, shares, out, all = std::vector<TakenRow>(taken.begin(), taken.end())](const Step& own, const Step& other, AdjointMemory& memory) {
    const Numbers flow = memory.take(out);
    if (flow.data.empty()) return;
    Numbers into_x = zeros(all.size(), flow.cols), into_shares = zeros(shares.extent(0), shares.extent(1));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float share = (own.kept[1].view()(all[i].row, all[i].place) + other.kept[1].view()(all[i].row, all[i].place)) / 2;
      double sum = 0.0;
      for (std::size_t c = 0; c < flow.cols; ++c) {
        const float g = flow.view()(all[i].row, c);
        into_x.view()(i, c) = share * g;
        sum += static_cast<double>(g) * (own.kept[0].view()(i, c) + other.kept[0].view()(i, c)) / 2;
      }
      into_shares.view()(all[i].row, all[i].place) = static_cast<float>(sum);
    }
    memory.add(x.slice(0, all.size()), into_x.view());
    memory.add(shares, into_shares.view());
  };
  tape_.push(std::move(step));
}

void TapeOps::wrote(TensorView<const float, 2> numbers) {
  tape_.push({.pull = [numbers](const Step&, const Step&, AdjointMemory& memory) { memory.clear(numbers); }});
}

void TapeOps::hadamard(TensorView<const float, 3> x, TensorView<float, 3> out) {
  base_.hadamard(x, out);
  tape_.push({.pull = [this, x, out](const Step&, const Step&, AdjointMemory& memory) {  // a symmetric matrix
    Numbers flow = memory.take(flat(out));
    if (flow.data.empty()) return;
    const TensorView<float, 3> heads{flow.data.data(), out.shape()};
    base_.hadamard(heads, heads);
    memory.add(flat(x), flow.view());
  }});
}

bool TapeOps::store(TensorView<const float, 2> rows, DType type, std::byte* target, std::size_t target_row_bytes) {
  if (type != DType::f32) throw Error({"gradient", "a cache of f32 keys and values", dtype_info(type).name.data(), "leave out --kv"}, Fault::usage);
  const bool fits = base_.store(rows, type, target, target_row_bytes);
  stored_.insert(target);
  const TensorView<const float, 2> out{reinterpret_cast<const float*>(target), rows.shape(), {target_row_bytes / sizeof(float), 1}};
  tape_.push({.pull = [rows, out](const Step&, const Step&, AdjointMemory& memory) {
    const Numbers flow = memory.take(out);
    if (!flow.data.empty()) memory.add(rows, flow.view());
  }});
  return fits;
}

}  // namespace vitrine
