#pragma once

#include <filesystem>
#include <string_view>

namespace vitrine {

/// The snapshot folder of `name` ("gpt2", "org/model", "org/model@revision") in the local Hugging Face cache. The cache is
/// $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub; a revision is a branch or tag that the cache knows, or the
/// beginning of a commit; without one, `main`, or the only snapshot there is. Nothing is downloaded.
/// @throws Error naming the models or revisions that are there
std::filesystem::path cached_model(std::string_view name);

}  // namespace vitrine
