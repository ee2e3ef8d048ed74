#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/model/spec.h"
#include "core/model/weights.h"
#include "core/text/tokenizer.h"

namespace vitrine {

/// A loaded model: description, weights (mapped), tokenizer.
struct Model {
  ModelSpec spec;
  WeightStore weights;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< null where the checkpoint has none (use ids)
  std::filesystem::path path;
  std::string format;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::size_t parameters = 0;       ///< numbers of the file's tensors that weights are made of
  std::vector<std::string> unused;  ///< tensors of the file that are no part of this model, such as heads of another task
};

/// The description that a weight belongs to: the encoder's beside a decoder, or the model's.
const ModelSpec& spec_of(const Model& model, const WeightKey& key);

/// Opens, recognises, describes and checks every tensor's shape. @throws Error with one clear line
Model load_model(const std::filesystem::path& path);

}  // namespace vitrine
