#pragma once

namespace vitrine::cuda {

/// The threads of a block and what each keeps in its registers. Phases are written for a team, so that a test can play the
/// threads one after the other on a machine without a device.
template <class State>
struct Team {
  State state;

  /// phase(thread, state) on every thread; what they wrote to shared memory is there for the next phase.
  template <class Phase>
  __device__ __forceinline__ void each(const Phase& phase) {
    phase(threadIdx.x, state);
    __syncthreads();
  }
};

}  // namespace vitrine::cuda
