#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/run.h"
#include "core/checkpoint/gguf_writer.h"
#include "core/model/model.h"

// A model to a file: the way back from weights by role to tensors by name. Names, order and places of rows are those by which the
// target's own reader would look for them (Architecture::tensor), so that an architecture says them once.

namespace vitrine {

/// What stands under the name already.
enum class Existing { refused, replaced };
/// Whether the tokenizer goes along into another format; a file of the same kind keeps what it has.
enum class TokenizerPart { kept, left_out };

struct ExportRequest {
  std::filesystem::path path;      ///< *.gguf, or a folder of Hugging Face
  /// Of matrices, in a folder of all numbers; none: as they are in the model (blocks become F32 in a folder). Vectors of a GGUF are F32.
  std::optional<DType> type{};
  /// What was done to the model since it was loaded, an object each: {"operation": "prune", ...}. They are written behind those that
  /// its own file tells of; a change of format or type adds one by itself.
  std::vector<Json> operations{};
  Existing existing = Existing::refused;
  TokenizerPart tokenizer = TokenizerPart::kept;
  /// general.file_type of a GGUF (15 = "Q4_K_M"); none: by the type that most numbers have.
  std::optional<std::uint32_t> gguf_file_type{};
};

/// A file that is to be made, before anything is written.
struct ExportPlan {
  std::string format;  ///< "gguf" or "safetensors"
  std::filesystem::path path;
  std::string family;  ///< general.architecture or model_type
  std::vector<TensorToWrite> tensors;
  GgufMetadata metadata;                          ///< of a GGUF
  std::map<std::string, std::string> files;       ///< beside the weights of a folder: name and bytes
  std::vector<Json> operations;                   ///< the whole history
  std::vector<std::string> left_out;              ///< tensors of the source that the target has no place for
  std::vector<std::string> notes;                 ///< for people: what is not the same there
};

/// What a folder of Hugging Face would call the model's tensors: config.json, names and shapes, without numbers where the model's own
/// file has other names. @throws Error where config.json cannot say this model
Checkpoint names_in_folder(const Model& model);

/// What was done to the file before, oldest first, as the metadata of files that were written here say: {"operation": "prune", ...}.
/// @throws Error where they hold something else under that name
std::vector<Json> recorded_history(const Model& model);

/// Lists and checks everything: names, shapes, types, that the target's reader would describe the same model. The weights
/// may have been replaced, and blocks removed from the description and the store.
/// @throws Error where the target format cannot say this model, a type does not divide a row, the path is taken
ExportPlan plan_export(const Model& model, const ExportRequest& request);

/// @throws Error, Cancelled; then nothing stands under the path that was not there before
void write_export(const ExportPlan& plan, Run& run);

/// Both.
ExportPlan write_model(const Model& model, const ExportRequest& request, Run& run);

}  // namespace vitrine
