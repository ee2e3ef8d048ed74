#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/model.h"

namespace vitrine {

/// A type for each matrix of a model, as a file's name says it: "Q8_0", or a mix such as "Q4_K_M".
struct TypePlan {
  std::string name;
  std::uint32_t gguf_file_type = 0;  ///< general.file_type
  std::map<WeightKey, DType> types;  ///< matrices of the blocks, table of tokens and head; what is not here stays as it is
  std::vector<std::string> notes;    ///< widths that a type does not divide
};

enum class Calibrated { no, yes };
enum class PlannedPart { all, outside_blocks };  ///< outside: the table of tokens and the head

/// The types of llama.cpp's files of this name, tensor by tensor: which get more bits depends on what they do and how deep they stand, and
/// in some mixes on whether an importance matrix is there. A width that blocks do not divide gets the type that llama.cpp falls back to.
/// @throws Error (usage) where there is no such name
TypePlan plan_types(const Model& model, std::string_view name, Calibrated calibrated, PlannedPart part = PlannedPart::all);

/// Names that plan_types() knows.
std::vector<std::string_view> type_plan_names();

/// The planned matrices, one that several weights share (a head that is the table, ALBERT's blocks) once.
std::vector<WeightKey> distinct_matrices(const Model& model, const TypePlan& plan);

/// Bytes of the matrices before and after.
std::size_t bytes_now(const Model& model, const TypePlan& plan);
std::size_t bytes_planned(const Model& model, const TypePlan& plan);

/// The type that most numbers of the blocks' matrices have, and its name: what a model was quantised to already.
DType most_frequent_type(const Model& model);

}  // namespace vitrine
