#include <csignal>
#include <unistd.h>

#include "python/interrupt_internal.h"

namespace vitrine {
namespace {

Run* innermost = nullptr;
struct sigaction python_action = {};

void on_interrupt(int signal) {
  if (innermost) innermost->cancel();
  if (python_action.sa_handler != SIG_DFL && python_action.sa_handler != SIG_IGN) python_action.sa_handler(signal);
}

}  // namespace

CancelOnInterrupt::CancelOnInterrupt(Run& run) : on_main_thread_(gettid() == getpid()) {
  if (!on_main_thread_) return;
  outer_ = innermost;
  innermost = &run;
  if (outer_) return;
  sigaction(SIGINT, nullptr, &python_action);
  if (python_action.sa_flags & SA_SIGINFO) return;  // whoever this is, it is not Python's
  struct sigaction own = python_action;
  own.sa_handler = on_interrupt;
  sigaction(SIGINT, &own, nullptr);
}

CancelOnInterrupt::~CancelOnInterrupt() {
  if (!on_main_thread_) return;
  if (!outer_) sigaction(SIGINT, &python_action, nullptr);
  innermost = outer_;
}

}  // namespace vitrine
