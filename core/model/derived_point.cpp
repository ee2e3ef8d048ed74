#include "core/model/derived_point.h"

namespace vitrine {

bool is_derived(Site site) {
  switch (site) {
    case Site::ln1_scale: case Site::ln2_scale: case Site::ln1_post_scale: case Site::ln2_post_scale: case Site::q_norm_scale:
    case Site::k_norm_scale: case Site::final_scale: case Site::normalizer: case Site::row_stats: case Site::expert_indices: return true;
    default: return false;
  }
}

}  // namespace vitrine
