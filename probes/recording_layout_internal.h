#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "probes/hdf5_internal.h"
#include "probes/recorder.h"

// Names and attributes of a recording (FORMAT.md), shared by its writer and its reader.

namespace vitrine {

constexpr std::uint64_t recording_version = 1;
constexpr std::string_view recording_format = "vitrine-recording";
/// Columns of hook_row_stats, names of datasets under /attention/<module> and of /summary.
constexpr std::array<std::string_view, 3> row_statistics{"entropy", "distance", "first_key"};

/// "/attention/blocks.3.attn"
std::string attention_group(int block);
/// "/activations/<hook name>", "/logits"
std::string activation_path(const ProbePoint& point);
/// The dataset below /attention that holds the same numbers; empty where there is none.
std::string factor_path(const ProbePoint& point);

/// Where resid_post of a block and resid_pre of the next are the same numbers.
struct ResidualLink {
  std::string name, existing;
};
std::vector<ResidualLink> residual_links(const ModelSpec& spec);

void write_root_attributes(hid_t file, const RecorderSource& source, const Json& provenance);
void write_attention_attributes(hid_t file, const std::string& group, const AttentionSpec& spec, const PatternRule& rule);
/// DIMENSION_LABELS, as h5py shows them in `dataset.dims[0].label`.
void write_axis_labels(hid_t dataset, const std::vector<const char*>& labels, std::string_view where);
/// The names of the axes of a dataset of rows; none for borders and bytes, which are no rows of tokens.
std::vector<const char*> axis_labels(std::string_view name, std::size_t rank);

}  // namespace vitrine
