#pragma once

#include <array>
#include <cstddef>
#include <string_view>

// The protocol of the study of indirect objects (Wang et al. 2022) as TransformerLens' demonstrations run it on GPT-2 small, and numbers that
// they print (demos/Exploratory_Analysis_Demo.ipynb at 52c42edd, MIT; demos/Activation_Patching_in_TL_Demo.ipynb at 4cd36aae agrees within
// 3e-6): f32, BOS in front, norms folded, what writes the residual stream and the head centred.

namespace vitrine {

struct IoiTemplate {
  std::string_view text;            ///< {}: the name that is said again
  std::array<std::string_view, 2> names;
  std::array<int, 2> gpt2_ids;      ///< of the names with a space in front
};
/// Each gives two prompts: the second name is said again and the first is the answer, then the other way round.
inline constexpr std::array<IoiTemplate, 4> ioi_templates{{{"When John and Mary went to the shops,{} gave the bag to", {" Mary", " John"}, {5335, 1757}},
                                                           {"When Tom and James went to the park,{} gave the ball to", {" Tom", " James"}, {4186, 3700}},
                                                           {"When Dan and Sid went to the shops,{} gave an apple to", {" Dan", " Sid"}, {6035, 15686}},
                                                           {"After Martin and Amy went to the park,{} gave a drink to", {" Martin", " Amy"}, {5780, 14235}}}};

/// A printed number: `column` is a head, a position or none, by its matrix.
struct PublishedNumber {
  std::string_view matrix;  ///< the name of ours
  std::size_t layer, column;
  double value;
};
inline constexpr double published_mean_difference = 3.5518720150;
inline constexpr std::array published_numbers{
    PublishedNumber{"direct attribution of heads", 9, 9, 2.9854}, PublishedNumber{"direct attribution of heads", 9, 6, 1.3845},
    PublishedNumber{"direct attribution of heads", 10, 7, -1.8986}, PublishedNumber{"direct attribution of heads", 11, 10, -0.9702},
    PublishedNumber{"direct attribution of heads", 10, 0, 0.5609}, PublishedNumber{"direct attribution of heads", 10, 10, 0.4802},
    PublishedNumber{"direct attribution of heads", 11, 2, -0.3879}, PublishedNumber{"direct attribution of heads", 8, 10, 0.2896},
    PublishedNumber{"patched z", 10, 7, -0.4799}, PublishedNumber{"patched z", 5, 5, 0.3435}, PublishedNumber{"patched z", 8, 6, 0.3186},
    PublishedNumber{"patched z", 11, 10, -0.2782}, PublishedNumber{"patched z", 8, 10, 0.2779}, PublishedNumber{"patched z", 9, 9, 0.2636},
    PublishedNumber{"patched q", 10, 7, -0.5129}, PublishedNumber{"patched q", 5, 5, 0.3435}, PublishedNumber{"patched k", 10, 7, -0.1310},
    PublishedNumber{"patched v", 8, 6, 0.3172}, PublishedNumber{"patched v", 8, 10, 0.2727}, PublishedNumber{"patched v", 7, 9, 0.2084},
    PublishedNumber{"patched pattern", 10, 7, -0.5051}, PublishedNumber{"patched pattern", 5, 5, 0.3435},
    PublishedNumber{"patched resid_pre", 7, 10, 0.9228}, PublishedNumber{"patched resid_pre", 8, 10, 0.6565}, PublishedNumber{"patched resid_pre", 9, 10, 0.0273},
    PublishedNumber{"patched resid_pre", 9, 14, 0.9384}, PublishedNumber{"patched attn_out", 5, 10, 0.3521}, PublishedNumber{"patched attn_out", 8, 14, 0.5697},
    PublishedNumber{"patched mlp_out", 0, 10, 0.8508}, PublishedNumber{"previous-token score", 4, 11, 0.9921},
    PublishedNumber{"duplicate-token score", 0, 5, 0.7035}, PublishedNumber{"duplicate-token score", 3, 0, 0.6776},
    PublishedNumber{"induction score", 5, 1, 0.9306}, PublishedNumber{"induction score", 6, 9, 0.9258}, PublishedNumber{"induction score", 5, 5, 0.9256}};

}  // namespace vitrine
