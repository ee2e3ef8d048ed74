#include "probes/sparse_autoencoder.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numeric>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/safetensors_writer.h"

namespace vitrine {
namespace {

Json read_config(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error({path.string(), "the settings of a sparse autoencoder (SAELens)", "no such file", ""});
  Json config = parse_json(std::string(std::istreambuf_iterator<char>(file), {}), path.string());
  if (!config.is_object()) throw Error({path.string(), "a JSON object", "something else", ""});
  return config;
}

std::string text_or(const Json& json, std::string_view key, const std::string& otherwise) {
  return json[key].is_string() ? json[key].string() : otherwise;
}

/// Kinds of SAELens: "standard" with relu or topk named apart (older), "topk", "jumprelu".
void read_kind(const std::string& where, const Json& config, SparseAutoencoder& into) {
  const std::string architecture = text_or(config, "architecture", "standard"),
                    function = text_or(config, "activation_fn", text_or(config, "activation_fn_str", "relu"));
  const bool top = architecture == "topk" || function == "topk";
  if ((architecture != "standard" && architecture != "topk" && architecture != "jumprelu") ||
      (!top && function != "relu" && architecture != "jumprelu")) {
    throw Error({where, "architecture standard, topk or jumprelu, with relu or topk", architecture + " with " + quoted(function), ""});
  }
  if (text_or(config, "normalize_activations", "none") != "none" ||
      (config["rescale_acts_by_decoder_norm"].is_bool() && config["rescale_acts_by_decoder_norm"].boolean())) {
    throw Error({where, "normalize_activations none, without rescale_acts_by_decoder_norm", "others", "fold them into the weights first"});
  }
  into.activation = architecture == "jumprelu" ? SparseAutoencoder::Activation::jump_relu
                    : top                      ? SparseAutoencoder::Activation::top_k
                                               : SparseAutoencoder::Activation::relu;
  into.subtracts_decoder_bias = !config["apply_b_dec_to_input"].is_bool() || config["apply_b_dec_to_input"].boolean();
  into.hook = text_or(config, "hook_name", text_or(config["metadata"], "hook_name", ""));
  if (into.activation != SparseAutoencoder::Activation::top_k) return;
  const Json& k = config["k"].is_integer() ? config["k"] : config["activation_fn_kwargs"]["k"];
  if (!k.is_integer() || k.integer() < 1) throw Error({where, "k of at least 1", quoted(k.dump()), ""});
  into.k = static_cast<std::size_t>(k.integer());
}

std::vector<float> numbers_of(const std::string& where, const Checkpoint& file, std::string_view name, std::vector<std::size_t> shape) {
  const NamedTensor* tensor = file.find(name);
  if (!tensor) throw Error({where, "a tensor " + std::string(name), "none", ""});
  if ((!shape.empty() && tensor->shape != shape) || dtype_info(tensor->weight.type).expand == nullptr) {
    throw Error({where + ": " + std::string(name), "numbers that fit the other tensors", "another shape or type", ""});
  }
  const Tensor expanded = expand(tensor->weight);
  return {expanded.floats().begin(), expanded.floats().end()};
}

void keep_largest(std::span<float> row, std::size_t k) {
  if (k >= row.size()) return;
  std::vector<float> sorted(row.begin(), row.end());
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k - 1), sorted.end(), std::greater());
  const float least = sorted[k - 1];
  std::size_t left = k;
  for (const float number : row) left -= number > least ? 1 : 0;
  for (float& number : row) {
    if (number > least) continue;
    if (number < least || left == 0)
      number = 0.0f;
    else
      --left;
  }
}

}  // namespace

FloatMatrix SparseAutoencoder::encode(const FloatMatrix& x) const {
  VITRINE_CHECK(x.columns == width());
  FloatMatrix input = x;
  for (std::size_t r = 0; r < x.rows && subtracts_decoder_bias; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) input(r, c) -= decoder_bias[c];
  }
  FloatMatrix out = product(input, encoder);
  for (std::size_t r = 0; r < out.rows; ++r) {
    for (std::size_t f = 0; f < out.columns; ++f) {
      const float pre = out(r, f) + encoder_bias[f];
      out(r, f) = activation == Activation::jump_relu ? (pre > threshold[f] ? pre : 0.0f) : std::max(pre, 0.0f);
    }
    if (activation == Activation::top_k) keep_largest({&out(r, 0), out.columns}, k);
  }
  return out;
}

FloatMatrix SparseAutoencoder::decode(const FloatMatrix& activations) const {
  FloatMatrix out = product(activations, decoder);
  for (std::size_t r = 0; r < out.rows; ++r) {
    for (std::size_t c = 0; c < out.columns; ++c) out(r, c) += decoder_bias[c];
  }
  return out;
}

SparseAutoencoder read_sparse_autoencoder(const std::filesystem::path& folder) {
  SparseAutoencoder result;
  const std::filesystem::path weights = folder / "sae_weights.safetensors";
  read_kind((folder / "cfg.json").string(), read_config(folder / "cfg.json"), result);
  const Checkpoint file = open_checkpoint(weights);
  const std::string where = weights.string();
  const NamedTensor* encoder = file.find("W_enc");
  if (!encoder || encoder->shape.size() != 2) throw Error({where, "W_enc [width, features]", "none", ""});
  result.encoder = FloatMatrix(encoder->shape[0], encoder->shape[1]);
  result.decoder = FloatMatrix(encoder->shape[1], encoder->shape[0]);
  result.encoder.numbers = numbers_of(where, file, "W_enc", {});
  result.decoder.numbers = numbers_of(where, file, "W_dec", {result.features(), result.width()});
  result.encoder_bias = numbers_of(where, file, "b_enc", {result.features()});
  result.decoder_bias = numbers_of(where, file, "b_dec", {result.width()});
  if (result.activation == SparseAutoencoder::Activation::jump_relu) result.threshold = numbers_of(where, file, "threshold", {result.features()});
  return result;
}

void write_sparse_autoencoder(const SparseAutoencoder& autoencoder, const std::filesystem::path& folder) {
  using Activation = SparseAutoencoder::Activation;
  std::error_code failed;
  std::filesystem::create_directory(folder, failed);
  const std::size_t width = autoencoder.width(), features = autoencoder.features();
  std::map<std::string, NamedFloats> tensors{{"W_enc", {{width, features}, autoencoder.encoder.numbers}},
                                             {"W_dec", {{features, width}, autoencoder.decoder.numbers}},
                                             {"b_enc", {{features}, autoencoder.encoder_bias}},
                                             {"b_dec", {{width}, autoencoder.decoder_bias}}};
  if (autoencoder.activation == Activation::jump_relu) tensors["threshold"] = {{features}, autoencoder.threshold};
  write_safetensors(folder / "sae_weights.safetensors", tensors);
  Json config;
  config.set("architecture", autoencoder.activation == Activation::jump_relu ? "jumprelu"
                             : autoencoder.activation == Activation::top_k   ? "topk"
                                                                             : "standard");
  config.set("d_in", static_cast<std::uint64_t>(width)).set("d_sae", static_cast<std::uint64_t>(features)).set("dtype", "float32");
  config.set("apply_b_dec_to_input", autoencoder.subtracts_decoder_bias).set("normalize_activations", "none").set("hook_name", autoencoder.hook);
  config.set("activation_fn", autoencoder.activation == Activation::top_k ? "topk" : "relu");
  if (autoencoder.activation == Activation::top_k)
    config.set("k", static_cast<std::uint64_t>(autoencoder.k)).set("rescale_acts_by_decoder_norm", false);
  std::ofstream file(folder / "cfg.json");
  file << config.dump(2) << "\n";
  if (!file.flush()) throw Error({(folder / "cfg.json").string(), "a file that can be written", "none", ""});
}

}  // namespace vitrine
