#pragma once

#include <cstddef>
#include <span>

#include "core/model/architecture.h"
#include "core/tensor/tensor.h"

// What a TensorRule does, in both directions: from a file's tensor to a weight of the model, and back.

namespace vitrine {

/// The tensor as the rule counts its rows: in rows of rule.cols numbers, [in, out] turned to [out, in] (in f32). Cheap where there
/// is nothing to do.
Weight turned(const TensorRule& rule, const Weight& tensor);

/// The model's weight out of a turned tensor: its rows cut out and put in order, one added where files have one less. A bias
/// [1, n] is cut like the rows of its matrix.
Weight part_of(const TensorRule& rule, const Weight& turned, bool bias);

/// Where row `row` of a weight of `rows` stands in the turned tensor.
std::size_t row_in_file(const TensorRule& rule, std::size_t row, std::size_t rows);

/// A weight and the rule by which it is a part of a tensor.
struct TensorPart {
  TensorRule rule;
  Weight weight;
  bool bias = false;
};

/// The tensor of which part_of(turned()) makes these weights. Rows move as bytes where all parts have the type already and
/// nothing is turned or added.
/// @param rows  of the turned tensor; every one of them must be in a part
/// @throws Error where `type` cannot be made of numbers
Weight assemble(std::span<const TensorPart> parts, std::size_t rows, DType type);

/// Rows that the parts reach to in the turned tensor: rule.fused_rows where a rule says it.
std::size_t rows_of(std::span<const TensorPart> parts);

/// The same numbers in another type, rounded as its DTypeInfo does. @throws Error where there is no such rounding
Weight converted(const Weight& weight, DType type);

}  // namespace vitrine
