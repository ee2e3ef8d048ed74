#pragma once

#include <cstddef>
#include <string_view>

#include "core/model/metadata.h"
#include "core/model/spec.h"

namespace vitrine {

/// What a family has where its metadata says nothing.
struct RopeDefaults {
  double theta = 10000.0;
  double partial = 1.0;          ///< part of a head that rotates
  std::string_view layer_type{}; ///< "sliding_attention", ...: whose parameters, where they are kept by layer type
  bool old_longrope = false;     ///< "yarn" and "su" mean longrope (Phi 3)
};

/// Where the parameters stand in a config.json, found: rope_parameters (transformers 5) or rope_scaling (4), nested by layer
/// type or not, with what stands beside them.
struct RopeSource {
  Json parameters = Json::object();
  double theta = 10000.0;
  double partial = 1.0;
  double original_context = 0.0;  ///< tokens of the texts that the unscaled angles were made for
};
RopeSource rope_source(const MetadataReader& read, const RopeDefaults& defaults);

/// Fills in everything of the rope but its kind, whose size of a head must be there: kinds default, linear, dynamic (within the
/// model's context, where it changes nothing), yarn, longrope, llama3.
/// @throws Error naming the key that is missing, makes no sense or asks for what is not known
void describe_rope(const MetadataReader& read, const RopeSource& source, AttentionSpec& attention);

/// The same from a GGUF, whose factors are tensors.
void describe_gguf_rope(const MetadataReader& read, const RopeDefaults& defaults, AttentionSpec& attention);

/// Whichever the checkpoint is.
void describe_rope(const MetadataReader& read, const RopeDefaults& defaults, AttentionSpec& attention);

}  // namespace vitrine
