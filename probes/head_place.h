#pragma once

#include "core/model/head_place.h"
#include "core/model/spec.h"

namespace vitrine {

/// A head of a model. @throws Error (usage) where the setting names no head of self attention of this model
HeadPlace head_of(const ModelSpec& spec, std::string_view setting, const std::string& text);

}  // namespace vitrine
