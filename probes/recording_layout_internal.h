#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "probes/hdf5_internal.h"
#include "probes/recorder.h"

// Names and attributes of a recording (FORMAT.md), shared by its writer and its reader.

namespace vitrine {

constexpr std::uint64_t plain_recording_version = 1;  ///< of files whose scores are products alone, which older readers know
constexpr std::uint64_t terms_recording_version = 2;  ///< of files whose scores hold more
constexpr std::uint64_t codes_recording_version = 3;  ///< of files with codes of 8 bits
constexpr std::uint64_t protected_recording_version = 4;
constexpr std::uint64_t recording_version = protected_recording_version;  ///< the newest that is read
constexpr std::string_view recording_format = "vitrine-recording";
/// Columns of hook_row_stats, names of datasets under /attention/<module> and of /summary.
constexpr std::array<std::string_view, 3> row_statistics{"entropy", "distance", "first_key"};

/// An attention of a model.
struct AttentionPlace {
  Stack stack = Stack::only;
  AttentionRole role = AttentionRole::self;
  int block = 0;
  ProbePoint point(Site site) const { return {.stack = stack, .role = role, .block = block, .site = site}; }
  auto operator<=>(const AttentionPlace&) const = default;
};
inline AttentionPlace place_of(const ProbePoint& point) { return {point.stack, point.role, point.block}; }
/// All of them, in the order of the forward pass: an encoder's first, a block's cross attention after its self attention.
std::vector<AttentionPlace> attention_places(const ModelSpec& spec);
const AttentionSpec& attention_at(const ModelSpec& spec, const AttentionPlace& place);
/// "blocks.3.attn", "encoder.blocks.3.attn", "decoder.blocks.3.cross_attn"
std::string attention_name(const AttentionPlace& place);
/// "/attention/" and that.
std::string attention_group(const AttentionPlace& place);

/// Whether a point's rows are those of the encoder's text, not of the decoder's (or only) one.
bool has_encoder_rows(const ProbePoint& point);
/// Where the rows of a text are described: "" or "/encoder", before "/tokens" and "/sequences".
constexpr std::string_view encoder_prefix = "/encoder";
/// "/activations/<hook name>", "/logits"
std::string activation_path(const ProbePoint& point);
/// The dataset below /attention that holds the same numbers; empty where there is none.
std::string factor_path(const ProbePoint& point);

/// Where resid_post of a block and resid_pre of the next are the same numbers.
struct ResidualLink {
  std::string name, existing;
};
std::vector<ResidualLink> residual_links(const ModelSpec& spec);

void write_root_attributes(hid_t file, const RecorderSource& source, const Json& provenance, std::uint64_t version);
void write_attention_attributes(hid_t file, const AttentionPlace& place, const AttentionSpec& spec, const PatternRule& rule);
/// What a score holds besides the product (FORMAT.md).
void write_distance_bias(hid_t file, const std::string& group, const DistanceBias& bias, std::string_view where);
/// Datasets of positions that the query meets, up to `reach` on both sides; their numbers are written when they are known.
struct PositionsShape {
  std::size_t reach = 0, heads = 0, head_dim = 0;
};
void create_positions(hid_t file, const std::string& group, const PositionsShape& shape, std::string_view where);
/// @param content  whose distances lie inside the reach
void write_positions(hid_t file, const std::string& group, const PositionsShape& shape, const ContentByDistance& content, std::string_view where);
/// The segment of tokens of a text that has none.
constexpr std::int32_t no_segment = -1;
/// DIMENSION_LABELS, as h5py shows them in `dataset.dims[0].label`.
void write_axis_labels(hid_t dataset, const std::vector<const char*>& labels, std::string_view where);
/// The names of the axes of a dataset of rows; none for borders and bytes, which are no rows of tokens.
std::vector<const char*> axis_labels(std::string_view name, std::size_t rank);

}  // namespace vitrine
