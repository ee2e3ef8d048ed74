#include "core/model/rope_metadata.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// What the angle of pair i is for each position, as published: frequency[i] = theta^(-2i/dim) and what a scaling makes of it.
struct Angles {
  double theta = 10000.0;
  std::size_t dim = 0;  ///< may be odd: its last pair then reaches one number further
  std::vector<double> frequency;

  Angles(double base, std::size_t numbers) : theta(base), dim(numbers), frequency((numbers + 1) / 2) {
    for (std::size_t i = 0; i < frequency.size(); ++i) frequency[i] = of(i, dim);
  }
  double of(std::size_t pair, std::size_t numbers) const {
    return std::pow(theta, -2.0 * static_cast<double>(pair) / static_cast<double>(numbers));
  }
  /// As divisors of theta^(-2i/rope_dim), in which rope_dim is even; empty where all are one.
  std::vector<float> factors() const {
    std::vector<float> divisors;
    for (std::size_t i = 0; i < frequency.size(); ++i) divisors.push_back(static_cast<float>(of(i, 2 * frequency.size()) / frequency[i]));
    if (std::ranges::all_of(divisors, [](float divisor) { return divisor == 1.0f; })) divisors.clear();
    return divisors;
  }
  void divide(std::span<const float> divisors) {
    for (std::size_t i = 0; i < frequency.size(); ++i) frequency[i] /= static_cast<double>(divisors[i]);
  }
};

/// Reads one of the parameters; every mistake names rope_parameters.
class Parameters {
 public:
  Parameters(const MetadataReader& read, const Json& object) : read_(read), object_(object) {}

  double positive(std::string_view key) const { return checked(key, object_[key]); }
  double positive_or(std::string_view key, double fallback) const { return object_.has(key) ? positive(key) : fallback; }
  bool has(std::string_view key) const { return object_.has(key); }
  std::vector<float> factors(std::string_view key, std::size_t count) const {
    const Json& list = object_[key];
    if (!list.is_array() || list.items().size() != count) {
      read_.refuse(name(key), "a list of " + std::to_string(count) + " numbers", list.is_array() ? std::to_string(list.items().size()) : quoted(list.dump()));
    }
    std::vector<float> numbers;
    for (const Json& item : list.items()) numbers.push_back(static_cast<float>(checked(key, item)));
    return numbers;
  }
  [[noreturn]] void refuse(std::string_view key, std::string_view expected, std::string_view found) const {
    read_.refuse(name(key), expected, found);
  }

 private:
  static std::string name(std::string_view key) { return "rope_parameters." + std::string(key); }
  double checked(std::string_view key, const Json& value) const {
    const bool fits = value.is_number() && value.number() >= 1e-6 && value.number() <= 1e12;
    if (!fits) read_.refuse(name(key), "a number from 1e-6 to 1e12", value.is_null() ? "nothing" : quoted(value.dump()));
    return value.number();
  }
  const MetadataReader& read_;
  const Json& object_;
};

struct Yarn {
  double factor, original_context, beta_fast = 32.0, beta_slow = 1.0;
  bool whole_bounds = true;
};

/// Peng et al. 2023, arXiv:2309.00071, section 3.2: pairs that turn often stay as they are, slow ones are interpolated.
void scale_yarn(const Yarn& yarn, Angles& angles) {
  const auto dim = static_cast<double>(angles.dim);
  const auto bound = [&](double turns) {
    return dim * std::log(yarn.original_context / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(angles.theta));
  };
  double low = bound(yarn.beta_fast), high = bound(yarn.beta_slow);
  if (yarn.whole_bounds) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < angles.frequency.size(); ++i) {
    const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    angles.frequency[i] *= slow / yarn.factor + (1.0 - slow);
  }
}

double yarn_magnitude(double factor, double mscale = 1.0) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

/// Llama 3.1: long waves are stretched by the factor, short ones not, those between in part.
void scale_llama3(const Parameters& parameters, double original_context, Angles& angles) {
  const double factor = parameters.positive("factor"), low = parameters.positive("low_freq_factor"), high = parameters.positive("high_freq_factor");
  if (high <= low) parameters.refuse("high_freq_factor", "more than low_freq_factor", std::to_string(high));
  for (double& frequency : angles.frequency) {
    const double turns = original_context * frequency / (2.0 * std::numbers::pi);
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    frequency *= (1.0 - kept) / factor + kept;
  }
}

void set_dim(const MetadataReader& read, std::size_t dim, AttentionSpec& attention) {
  attention.rope_dim = (dim + 1) / 2 * 2;
  if (attention.rope_dim == 0 || attention.rope_dim > attention.head_dim) {
    read.refuse("rope dimensions", "an even number up to the head size " + std::to_string(attention.head_dim), std::to_string(dim));
  }
}

void set_theta(const MetadataReader& read, double theta, AttentionSpec& attention) {
  if (!(theta > 1.0 && theta <= 1e12)) read.refuse("rope_theta", "a number above 1, up to 1e12", std::to_string(theta));
  attention.rope_theta = static_cast<float>(theta);
}

void describe_yarn(const MetadataReader& read, const RopeSource& source, Angles& angles, AttentionSpec& attention) {
  const Parameters parameters(read, source.parameters);
  const double factor = parameters.positive_or("factor", read.number_or({"max_position_embeddings"}, 0.0) / source.original_context);
  const Json& whole = source.parameters["truncate"];
  scale_yarn({factor, source.original_context, parameters.positive_or("beta_fast", 32.0), parameters.positive_or("beta_slow", 1.0),
              !whole.is_bool() || whole.boolean()}, angles);
  double magnitude = yarn_magnitude(factor);
  if (parameters.has("mscale") && parameters.has("mscale_all_dim")) {
    magnitude = yarn_magnitude(factor, parameters.positive("mscale")) / yarn_magnitude(factor, parameters.positive("mscale_all_dim"));
  }
  attention.rope_magnitude = static_cast<float>(parameters.positive_or("attention_factor", magnitude));
}

/// Ding et al. 2024, arXiv:2402.13753.
void describe_longrope(const MetadataReader& read, const RopeSource& source, const Angles& angles, AttentionSpec& attention) {
  const Parameters parameters(read, source.parameters);
  Angles near = angles, far = angles;
  near.divide(parameters.factors("short_factor", angles.frequency.size()));
  far.divide(parameters.factors("long_factor", angles.frequency.size()));
  attention.rope_factors = near.factors();
  attention.rope_far_factors = far.factors();
  if (attention.rope_far_factors.empty()) attention.rope_far_factors.assign(angles.frequency.size(), 1.0f);
  attention.rope_near = static_cast<std::size_t>(source.original_context);
  const double context = static_cast<double>(read.count({"max_position_embeddings"}));
  const double factor = parameters.positive_or("factor", context / source.original_context);
  const double magnitude = factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(source.original_context));
  attention.rope_magnitude = static_cast<float>(parameters.positive_or("attention_factor", magnitude));
}

/// One factor for each pair, as a tensor; empty where the file has none.
std::vector<float> factor_tensor(const MetadataReader& read, std::string_view name, std::size_t pairs) {
  const NamedTensor* tensor = read.checkpoint().find(name);
  if (!tensor) return {};
  const Weight& weight = tensor->weight;
  if (weight.type != DType::f32 || weight.rows * weight.cols != pairs) {
    read.refuse("tensor " + std::string(name), std::to_string(pairs) + " numbers in F32",
                std::to_string(weight.rows * weight.cols) + " in " + std::string(dtype_info(weight.type).name));
  }
  const Tensor numbers = expand(weight);
  std::vector<float> factors(numbers.floats().begin(), numbers.floats().end());
  for (const float factor : factors) {
    if (!(factor >= 1e-6f && factor <= 1e12f)) read.refuse("tensor " + std::string(name), "numbers from 1e-6 to 1e12", std::to_string(factor));
  }
  return factors;
}

}  // namespace

RopeSource rope_source(const MetadataReader& read, const RopeDefaults& defaults) {
  RopeSource source;
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json& found = read.value(key);
    if (found.is_null()) continue;
    if (!found.is_object()) read.refuse(key, "an object", quoted(found.dump()));
    if (found.members().empty()) continue;
    for (const std::string_view layers : {"full_attention", "sliding_attention"}) {
      if (defaults.layer_type.empty() && found.has(layers)) read.refuse(std::string(key) + "." + std::string(layers), "parameters of all layers", "those of some");
    }
    const Json& nested = found[defaults.layer_type];
    source.parameters = nested.is_object() ? nested : found;
    break;
  }
  if (const Json& type = source.parameters[source.parameters.has("rope_type") ? "rope_type" : "type"]; defaults.old_longrope && type.is_string()) {
    if (type.string() == "yarn" || type.string() == "su") source.parameters.set("rope_type", "longrope");
  }
  const Parameters parameters(read, source.parameters);
  source.theta = parameters.positive_or("rope_theta", read.number_or({"rope_theta", "rotary_emb_base"}, defaults.theta));
  source.partial = parameters.positive_or("partial_rotary_factor", read.number_or({"partial_rotary_factor", "rotary_pct"}, defaults.partial));
  source.original_context = parameters.positive_or("original_max_position_embeddings", read.number_or({"max_position_embeddings"}, 0.0));
  source.original_context = read.number_or({"original_max_position_embeddings"}, source.original_context);
  return source;
}

void describe_rope(const MetadataReader& read, const RopeSource& source, AttentionSpec& attention) {
  const Parameters parameters(read, source.parameters);
  if (!(source.partial > 0.0 && source.partial <= 1.0)) read.refuse("partial_rotary_factor", "a number up to 1", std::to_string(source.partial));
  const auto dim = static_cast<std::size_t>(static_cast<double>(attention.head_dim) * source.partial);
  set_dim(read, dim, attention);
  set_theta(read, source.theta, attention);
  if (source.parameters.has("mrope_section")) parameters.refuse("mrope_section", "positions along one axis", "several");
  const Json& said = source.parameters[source.parameters.has("rope_type") ? "rope_type" : "type"];
  const std::string type = said.is_null() ? "default" : said.is_string() ? said.string() : said.dump();
  const bool scaled = type != "default" && type != "dynamic" && type != "linear";
  if (scaled && source.original_context < 1.0) read.refuse("original_max_position_embeddings", "a number of tokens", "none");
  Angles angles(source.theta, dim);
  if (type == "linear") {
    for (double& frequency : angles.frequency) frequency /= parameters.positive("factor");
  } else if (type == "yarn") {
    describe_yarn(read, source, angles, attention);
  } else if (type == "llama3") {
    scale_llama3(parameters, source.original_context, angles);
  } else if (type == "longrope" || type == "su") {
    return describe_longrope(read, source, angles, attention);
  } else if (type != "default" && type != "dynamic") {
    parameters.refuse("rope_type", "default, linear, dynamic, yarn, longrope or llama3", quoted(type));
  }
  attention.rope_factors = angles.factors();
}

void describe_gguf_rope(const MetadataReader& read, const RopeDefaults& defaults, AttentionSpec& attention) {
  const std::size_t dim = read.count_or({"%.rope.dimension_count"}, static_cast<std::size_t>(static_cast<double>(attention.head_dim) * defaults.partial));
  set_dim(read, dim, attention);
  set_theta(read, read.number_or({"%.rope.freq_base"}, defaults.theta), attention);
  Angles angles(static_cast<double>(attention.rope_theta), dim);
  const std::string type = read.text_or({"%.rope.scaling.type"}, read.has({"%.rope.scale_linear"}) ? "linear" : "none");
  const double factor = read.number_or({"%.rope.scaling.factor", "%.rope.scale_linear"}, 1.0), magnitude = read.number_or({"%.rope.scaling.attn_factor"}, 1.0);
  const double original = read.number_or({"%.rope.scaling.original_context_length"}, static_cast<double>(read.count({"%.context_length"})));
  if (!(factor >= 1e-6 && factor <= 1e12)) read.refuse("%.rope.scaling.factor", "a number from 1e-6 to 1e12", std::to_string(factor));
  if (!(original >= 1.0 && original <= 1e12)) read.refuse("%.rope.scaling.original_context_length", "a number of tokens", std::to_string(original));
  if (!(magnitude >= 1e-6 && magnitude <= 1e6)) read.refuse("%.rope.scaling.attn_factor", "a number from 1e-6 to 1e6", std::to_string(magnitude));
  if (type == "linear") {
    for (double& frequency : angles.frequency) frequency /= factor;
  } else if (type == "yarn") {
    for (const std::string_view key : {"%.rope.scaling.yarn_log_multiplier", "%.rope.scaling.yarn_ext_factor", "%.rope.scaling.yarn_attn_factor"}) {
      const double neutral = key.ends_with("multiplier") ? 0.0 : 1.0;
      if (read.number_or({key}, neutral) != neutral) read.refuse(key, std::to_string(neutral), quoted(read.value(key).dump()));
    }
    const double fast = read.number_or({"%.rope.scaling.yarn_beta_fast"}, 32.0), slow = read.number_or({"%.rope.scaling.yarn_beta_slow"}, 1.0);
    if (!(fast > 0.0 && slow > 0.0)) read.refuse("%.rope.scaling.yarn_beta_fast", "numbers above 0", std::to_string(std::min(fast, slow)));
    scale_yarn({factor, original, fast, slow}, angles);
    attention.rope_magnitude = static_cast<float>(magnitude * yarn_magnitude(factor));
  } else if (type != "none" && type != "longrope") {
    read.refuse("%.rope.scaling.type", "none, linear, yarn or longrope", quoted(type));
  }
  if (type == "none" || type == "longrope") attention.rope_magnitude = static_cast<float>(magnitude);
  if (const std::vector<float> divisors = factor_tensor(read, "rope_freqs.weight", angles.frequency.size()); !divisors.empty()) angles.divide(divisors);
  const std::vector<float> near = factor_tensor(read, "rope_factors_short.weight", angles.frequency.size()),
                           far = factor_tensor(read, "rope_factors_long.weight", angles.frequency.size());
  if (near.empty() != far.empty()) read.refuse("tensor rope_factors_short.weight", "long and short factors", "one of them");
  if (!far.empty()) {
    Angles long_angles = angles;
    long_angles.divide(far);
    angles.divide(near);
    attention.rope_far_factors = long_angles.factors();
    if (attention.rope_far_factors.empty()) attention.rope_far_factors.assign(angles.frequency.size(), 1.0f);
    attention.rope_near = static_cast<std::size_t>(original);
  }
  attention.rope_factors = angles.factors();
}

void describe_rope(const MetadataReader& read, const RopeDefaults& defaults, AttentionSpec& attention) {
  if (read.is_gguf()) return describe_gguf_rope(read, defaults, attention);
  describe_rope(read, rope_source(read, defaults), attention);
}

}  // namespace vitrine
