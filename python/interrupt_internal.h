#pragma once

#include "core/base/run.h"

namespace vitrine {

/// While it lives, Ctrl-C cancels `run`, besides what Python does with it. Of the main thread alone, whose signal it is; the
/// innermost counts where a hook runs another model.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(Run& run);
  ~CancelOnInterrupt();
  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;

 private:
  bool on_main_thread_;
  Run* outer_ = nullptr;
};

}  // namespace vitrine
