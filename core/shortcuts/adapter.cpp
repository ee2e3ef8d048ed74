#include "core/shortcuts/adapter.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/base/linear_algebra.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/architecture.h"
#include "core/model/export.h"
#include "core/model/tensor_rule.h"
#include "core/text/regular_expression.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_rank = 65536, most_config_bytes = 16 << 20;

std::string shape_text(const Weight& weight) { return "[" + std::to_string(weight.rows) + ", " + std::to_string(weight.cols) + "]"; }

/// adapter_config.json, as far as it decides what is computed.
class AdapterConfig {
 public:
  explicit AdapterConfig(const fs::path& file) : where_(file.string()) {
    const MappedFile mapped(file);
    if (mapped.bytes().size() > most_config_bytes) refuse("size", "at most 16 MB", std::to_string(mapped.bytes().size()) + " bytes");
    json_ = parse_json({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()}, where_);
    if (!json_["peft_type"].is_string() || json_["peft_type"].string() != "LORA") refuse("peft_type", "LORA", json_["peft_type"].dump());
    if (const Json& saved = json_["modules_to_save"]; !saved.is_null() && !(saved.is_array() && saved.items().empty())) {
      refuse("modules_to_save", "none: whole modules belong into the model", saved.dump());
    }
    // What changes the computation in ways of its own.
    for (const char* unknown : {"megatron_config", "eva_config", "corda_config", "alora_invocation_tokens", "target_parameters", "arrow_config", "kasa_config", "velora_config",
                                "monteclora_config", "layer_replication", "use_bdlora", "use_qalora", "trainable_token_indices", "lora_bias"}) {
      const Json& value = json_[unknown];
      const bool absent = value.is_null() || (value.is_bool() && !value.boolean()) || (value.is_array() && value.items().empty()) || (value.is_object() && value.members().empty());
      if (!absent) refuse(unknown, "none: plain LoRA, rank-stabilised, or DoRA", value.dump());
    }
  }

  bool flag(const char* key) const {
    const Json& value = json_[key];
    if (value.is_null()) return false;
    if (!value.is_bool()) refuse(key, "true or false", value.dump());
    return value.boolean();
  }
  std::string base() const { return json_["base_model_name_or_path"].is_string() ? json_["base_model_name_or_path"].string() : ""; }

  /// @param module  its name in the model, "model.layers.0.self_attn.q_proj"
  std::size_t rank(const std::string& module) const {
    const Json& value = of_module("rank_pattern", "r", module);
    if (!value.is_integer() || value.integer() < 1 || value.integer() > static_cast<std::int64_t>(most_rank)) refuse("r", "a rank from 1 to 65536", value.dump());
    return static_cast<std::size_t>(value.integer());
  }
  double scale(const std::string& module, std::size_t rank) const {
    const Json& value = of_module("alpha_pattern", "lora_alpha", module);
    if (!value.is_number() || !std::isfinite(value.number())) refuse("lora_alpha", "a number", value.dump());
    const auto size = static_cast<double>(rank);
    return value.number() / (flag("use_rslora") ? std::sqrt(size) : size);
  }
  [[noreturn]] void refuse(const std::string& key, const std::string& expected, const std::string& found) const {
    throw Error({where_ + ": " + key, expected, found.size() > 80 ? found.substr(0, 80) + "..." : found, ""});
  }

 private:
  /// The value of the first pattern that ends the module's name, or the common one.
  const Json& of_module(const char* patterns, const char* common, const std::string& module) const {
    if (json_[patterns].is_object()) {
      for (const auto& [pattern, value] : json_[patterns].members()) {
        bool matches = false;
        RegularExpression("\\A(?:.*\\.)?(?:" + pattern + ")\\z", where_ + ": " + patterns).each_match(module, [&](TextRange) { matches = true; });
        if (matches) return value;
      }
    }
    return json_[common];
  }

  std::string where_;
  Json json_;
};

/// The tensors of one module.
struct Module {
  std::string a_name;  // of the file, for complaints
  const Weight *down = nullptr, *up = nullptr, *magnitude = nullptr;
  const Weight* bias = nullptr;
};

struct SplitName {
  std::string module, part;
};

/// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight" -> the module's name, "lora_A".
SplitName split(std::string name) {
  for (const std::string_view prefix : {"base_model.model.", "base_model."}) {
    if (name.starts_with(prefix)) {
      name.erase(0, prefix.size());
      break;
    }
  }
  for (const std::string_view part : {"lora_A", "lora_B", "lora_magnitude_vector"}) {
    const std::size_t at = name.find("." + std::string(part));
    if (at == std::string::npos) continue;
    const std::string rest = name.substr(at + 1 + part.size());
    if (rest.empty() || rest == ".weight" || rest == ".default" || rest == ".default.weight") return {name.substr(0, at), std::string(part)};
  }
  for (const std::string_view ending : {".base_layer.bias", ".bias"}) {
    if (name.ends_with(ending) && name.find(".lora_") == std::string::npos) return {name.substr(0, name.size() - ending.size()), "bias"};
  }
  return {};
}

std::map<std::string, Module> modules_of(const Checkpoint& file) {
  std::map<std::string, Module> modules;
  for (const NamedTensor& tensor : file.tensors) {
    const SplitName name = split(tensor.name);
    const std::string where = file.path.string() + ": tensor " + quoted(tensor.name);
    if (name.module.empty()) throw Error({where, "lora_A, lora_B, a magnitude or a bias of a linear layer", "another kind of tensor", ""});
    if (dtype_info(tensor.weight.type).expand == nullptr) throw Error({where, "numbers", std::string(dtype_info(tensor.weight.type).name), ""});
    Module& module = modules[name.module];
    const Weight*& place = name.part == "lora_A" ? module.down : name.part == "lora_B" ? module.up : name.part == "bias" ? module.bias : module.magnitude;
    if (place) {  // older files name an adapter twice
      const Tensor a = expand(*place), b = expand(tensor.weight);
      if (!std::ranges::equal(a.floats(), b.floats())) throw Error({where, "one tensor of its kind for its module", "two that differ", ""});
    }
    place = &tensor.weight;
    if (name.part == "lora_A") module.a_name = tensor.name;
  }
  return modules;
}

/// What Hugging Face's file of the model calls its tensors.
class Names {
 public:
  explicit Names(const Model& model) {
    const Checkpoint folder = names_in_folder(model);
    const Architecture& architecture = architecture_of(folder);
    for (const auto& [key, weight] : model.weights.all()) {
      TensorRule rule = architecture.tensor(folder, spec_of(model, key), key);
      if (!rule.name.empty()) rules_.emplace_back(key, std::move(rule));
    }
  }

  struct Place {
    WeightKey key;
    TensorRule rule;
  };
  /// All weights that are parts of a module's tensor, "weight" or "bias". Files leave out or add what the class of a model is called.
  std::vector<Place> find(const std::string& module, const std::string& tensor) const {
    std::vector<Place> places;
    const std::string name = module + "." + tensor;
    for (const auto& [key, rule] : rules_) {
      const bool same_name = rule.name == name || rule.name.ends_with("." + name) || name.ends_with("." + rule.name);
      const auto same_part = [&](const Place& place) { return place.rule.first_row == rule.first_row && place.rule.rows == rule.rows; };  // blocks share it
      if (same_name && std::ranges::none_of(places, same_part)) places.push_back({key, rule});
    }
    return places;
  }

 private:
  std::vector<std::pair<WeightKey, TensorRule>> rules_;
};

Weight floats_of(const Weight& weight) { return make_weight(expand(weight)); }

fs::path weights_file(const fs::path& folder) {
  const fs::path safetensors = folder / "adapter_model.safetensors", pickled = folder / "adapter_model.bin";
  if (fs::exists(safetensors)) return safetensors;
  if (fs::exists(pickled)) return pickled;
  throw Error({folder.string(), "adapter_model.safetensors beside adapter_config.json", "none", "give the folder that PEFT's save_pretrained made"});
}

class AdapterReader {
 public:
  AdapterReader(const fs::path& folder, const Model& model)
      : model_(model), config_(folder / "adapter_config.json"), names_(model), file_(open_checkpoint(weights_file(folder))) {}

  Adapter read() {
    Adapter adapter{.changes = {}, .biases = {}, .bytes = 0, .base = config_.base()};
    for (const auto& [name, module] : modules_of(file_)) {
      if (module.bias) add_bias(adapter, name, *module.bias);
      if (module.down || module.up || module.magnitude) add(adapter, name, module);
    }
    if (adapter.changes.empty()) throw Error({file_.path.string(), "pairs of lora_A and lora_B", "none", ""});
    for (const LowRankChange& change : adapter.changes) adapter.bytes += change.down.bytes() + change.up.bytes();
    return adapter;
  }

 private:
  std::vector<Names::Place> places_of(const std::string& module, const std::string& tensor) const {
    std::vector<Names::Place> places = names_.find(module, tensor);
    if (places.empty()) {
      throw Error({file_.path.string() + ": " + quoted(module), "a linear layer of " + model_.path.string(), "none of that name",
                   config_.base().empty() ? "the adapter is of another model" : "the adapter was made for " + quoted(config_.base())});
    }
    return places;
  }

  void add(Adapter& adapter, const std::string& name, const Module& module) const {
    const std::string where = file_.path.string() + ": " + quoted(name);
    if (!module.down || !module.up) throw Error({where, "lora_A and lora_B", module.down ? "no lora_B" : "no lora_A", "the file is no complete adapter"});
    if (config_.flag("use_dora") != (module.magnitude != nullptr)) {
      throw Error({where, config_.flag("use_dora") ? "a magnitude, as use_dora says" : "no magnitude, as use_dora is not set", module.magnitude ? "one" : "none", ""});
    }
    const std::size_t rank = config_.rank(name);
    if (module.down->rows != rank || module.up->cols != rank) {
      throw Error({where, "rank " + std::to_string(rank) + " as adapter_config.json says", "lora_A " + shape_text(*module.down) + " and lora_B " + shape_text(*module.up), ""});
    }
    const std::vector<Names::Place> places = places_of(name, "weight");
    const Weight down = floats_of(*module.down), up = floats_of(*module.up);
    std::size_t rows = 0;
    for (const Names::Place& place : places) {
      const Weight& weight = model_.weights.at(place.key);
      rows += weight.rows;
      const std::size_t last = row_in_file(place.rule, weight.rows - 1, weight.rows) + 1;
      if (down.cols != weight.cols || up.rows < last) {
        throw Error({where, "an adapter of a matrix [" + std::to_string(std::max(last, rows)) + ", " + std::to_string(weight.cols) + "]",
                     "one of [" + std::to_string(up.rows) + ", " + std::to_string(down.cols) + "]", "the adapter is of a model of another size"});
      }
      LowRankChange change{place.key, down, places.size() == 1 ? up : part_of(place.rule, up, false), config_.scale(name, rank), {}};
      if (module.magnitude) change.magnitude = magnitude_of(where, *module.magnitude, up.rows, place.rule, places.size() == 1);
      adapter.changes.push_back(std::move(change));
    }
    if (up.rows != rows) throw Error({where, "lora_B of " + std::to_string(rows) + " rows", std::to_string(up.rows), "the adapter is of a model of another size"});
  }

  static Weight magnitude_of(const std::string& where, const Weight& magnitude, std::size_t rows, const TensorRule& rule, bool whole) {
    if (magnitude.rows * magnitude.cols != rows) throw Error({where, "a magnitude of " + std::to_string(rows) + " numbers", shape_text(magnitude), ""});
    Weight flat = floats_of(magnitude);
    flat.rows = 1;
    flat.cols = rows;
    return whole ? flat : part_of(rule, flat, true);
  }

  void add_bias(Adapter& adapter, const std::string& name, const Weight& bias) const {
    const std::string where = file_.path.string() + ": bias of " + quoted(name);
    std::size_t rows = 0;
    const std::vector<Names::Place> places = places_of(name, "bias");
    for (const Names::Place& place : places) rows += model_.weights.at(place.key).cols;
    if (bias.rows != 1 || bias.cols != rows) throw Error({where, std::to_string(rows) + " numbers", shape_text(bias), "the adapter is of a model of another size"});
    const Weight whole = floats_of(bias);
    for (const Names::Place& place : places) adapter.biases.push_back({place.key, places.size() == 1 ? whole : part_of(place.rule, whole, true)});
  }

  const Model& model_;
  AdapterConfig config_;
  Names names_;
  Checkpoint file_;
};

Matrix matrix_of(const Weight& weight) {
  Matrix matrix(weight.rows, weight.cols);
  std::ranges::copy(expand(weight).floats(), matrix.numbers.begin());
  return matrix;
}

}  // namespace

std::string adapter_sha256(const std::filesystem::path& folder) { return checkpoint_sha256(open_checkpoint(weights_file(folder))); }

Adapter read_adapter(const std::filesystem::path& folder, const Model& model) { return AdapterReader(folder, model).read(); }

Tensor merged(Tensor numbers, const LowRankChange& change, double strength) {
  const std::size_t rows = numbers.shape()[0], cols = numbers.shape()[1];
  const Matrix added = product(matrix_of(change.up), matrix_of(change.down));
  for (std::size_t r = 0; r < rows; ++r) {
    float* row = numbers.floats().data() + r * cols;
    double square = 0.0;
    std::vector<double> sums(cols);
    for (std::size_t c = 0; c < cols; ++c) {
      sums[c] = row[c] + strength * change.scale * added(r, c);
      square += sums[c] * sums[c];
    }
    const double factor = change.magnitude ? reinterpret_cast<const float*>(change.magnitude->data)[r] / std::sqrt(square) : 1.0;
    for (std::size_t c = 0; c < cols; ++c) row[c] = static_cast<float>(factor * sums[c]);
  }
  return numbers;
}

}  // namespace vitrine
