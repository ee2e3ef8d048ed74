#pragma once

#include "experiments/session.h"

namespace vitrine {

/// What a model is and what runs it here: the object that `vitrine info` prints.
Json describe(Session& session);

}  // namespace vitrine
