#include "core/model/unused_tensors.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/base/error.h"

namespace vitrine {
namespace {

// What older programs wrote into files besides weights, by the end of its name; transformers' classes leave out the same.
constexpr std::array<std::string_view, 12> buffers{
    ".attn.bias", ".attention.bias", ".attn.attention.bias", ".masked_bias",  // the causal mask of GPT-2, GPT-NeoX, GPT-Neo, and what it is filled with
    ".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached", ".attn_rot_embd", ".position_ids", ".embeddings.token_type_ids",
    ".EncDecAttention.relative_attention_bias.weight",  // T5's first files; its cross attention knows no distances
    ".embed_positions.weights"};                        // fairseq's table of sines
constexpr std::array<std::string_view, 3> read_by_describe{"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"};

bool is_number(std::string_view word) { return !word.empty() && std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; }); }

/// "model.layers.3." of "model.layers.3.mlp.up_proj.weight"; empty where no part of the name is a number.
std::string_view block_of(std::string_view name) {
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    if (is_number(name.substr(begin, end - begin))) return name.substr(0, std::min(end + 1, name.size()));
    begin = end + 1;
  }
  return {};
}

bool is_buffer(std::string_view name) {
  return std::ranges::find(read_by_describe, name) != read_by_describe.end() ||
         std::ranges::any_of(buffers, [&](std::string_view end) { return name.ends_with(end) || name == end.substr(1); });
}

}  // namespace

std::vector<std::string> unused_tensors(const Checkpoint& checkpoint, const TensorNames& used) {
  TensorNames blocks;
  for (const std::string& name : used) blocks.emplace(block_of(name));
  blocks.erase("");
  std::vector<std::string> unused;
  for (const NamedTensor& tensor : checkpoint.tensors) {
    if (used.contains(tensor.name) || is_buffer(tensor.name)) continue;
    if (blocks.contains(block_of(tensor.name))) {
      throw Error({checkpoint.path.string() + ": tensor " + quoted(tensor.name), "only tensors that the architecture knows in a block", "one that would not be used",
                   "the file is of another variant of it, whose numbers would come out wrong"});
    }
    unused.push_back(tensor.name);
  }
  return unused;
}

}  // namespace vitrine
