#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/model/model.h"

namespace vitrine {

/// What an adapter adds to one matrix: scale * up * down.
struct LowRankChange {
  WeightKey key;
  Weight down;                ///< [rank, cols] f32, PEFT's lora_A
  Weight up;                  ///< [rows, rank] f32, PEFT's lora_B
  double scale = 1.0;
  std::optional<Weight> magnitude{};  ///< [1, rows] f32 of DoRA: what the norm of each row of the sum becomes
};

/// A bias that an adapter puts in the place of the model's.
struct BiasChange {
  WeightKey key;
  Weight bias;  ///< [1, rows] f32
};

/// A PEFT adapter of a model: its matrices by role.
struct Adapter {
  std::vector<LowRankChange> changes;
  std::vector<BiasChange> biases;
  std::size_t bytes = 0;       ///< of up and down, in f32
  std::string base;            ///< the model that it says it was made for, or empty
};

/// Reads adapter_config.json and adapter_model.safetensors (or .bin) of a folder, and finds the model's matrices by the names that its
/// architecture's rules give them in Hugging Face's files, whatever file the model came from.
/// @throws Error where the adapter is of another kind, model or shape, or lacks tensors
Adapter read_adapter(const std::filesystem::path& folder, const Model& model);

/// Of the file that holds the adapter's numbers. @throws Error where there is none
std::string adapter_sha256(const std::filesystem::path& folder);

/// The numbers of a matrix with the change. @param numbers  [rows, cols] f32 @param strength  times the change
Tensor merged(Tensor numbers, const LowRankChange& change, double strength);

}  // namespace vitrine
