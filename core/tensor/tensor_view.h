#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#ifdef __CUDACC__
#define VITRINE_HOST_DEVICE __host__ __device__
#else
#define VITRINE_HOST_DEVICE
#endif

namespace vitrine {

/// A strided look at numbers that someone else owns. Strides count elements, not bytes. Usable on a device.
template <typename T, std::size_t Rank>
class TensorView {
 public:
  using Shape = std::array<std::size_t, Rank>;

  constexpr TensorView() = default;

  /// Dense rows, last axis fastest.
  VITRINE_HOST_DEVICE constexpr TensorView(T* data, const Shape& shape) : data_(data), shape_(shape) {
    std::size_t step = 1;
    for (std::size_t axis = Rank; axis-- > 0; step *= shape[axis]) strides_[axis] = step;
  }

  VITRINE_HOST_DEVICE constexpr TensorView(T* data, const Shape& shape, const Shape& strides)
      : data_(data), shape_(shape), strides_(strides) {}

  /// Numbers that may be written may also be read.
  VITRINE_HOST_DEVICE constexpr operator TensorView<const T, Rank>() const
    requires(!std::is_const_v<T>)
  {
    return {data_, shape_, strides_};
  }

  VITRINE_HOST_DEVICE constexpr T* data() const { return data_; }
  VITRINE_HOST_DEVICE constexpr bool empty() const { return data_ == nullptr || size() == 0; }
  VITRINE_HOST_DEVICE constexpr const Shape& shape() const { return shape_; }
  VITRINE_HOST_DEVICE constexpr std::size_t extent(std::size_t axis) const { return shape_[axis]; }
  VITRINE_HOST_DEVICE constexpr std::size_t stride(std::size_t axis) const { return strides_[axis]; }
  VITRINE_HOST_DEVICE constexpr std::size_t size() const {
    std::size_t count = 1;
    for (std::size_t axis = 0; axis < Rank; ++axis) count *= shape_[axis];
    return count;
  }

  template <typename... Index>
    requires(sizeof...(Index) == Rank)
  VITRINE_HOST_DEVICE constexpr T& operator()(Index... index) const {
    const std::array<std::size_t, Rank> at{static_cast<std::size_t>(index)...};
    std::size_t offset = 0;
    for (std::size_t axis = 0; axis < Rank; ++axis) offset += at[axis] * strides_[axis];
    return data_[offset];
  }

  /// Entries [begin, begin + count) of the first axis.
  VITRINE_HOST_DEVICE constexpr TensorView slice(std::size_t begin, std::size_t count) const {
    Shape shape = shape_;
    shape[0] = count;
    return {data_ + begin * strides_[0], shape, strides_};
  }

 private:
  T* data_ = nullptr;
  Shape shape_{};
  Shape strides_{};
};

}  // namespace vitrine
