#include "kernels/runtime/standard_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "kernels/runtime/error.h"
#include "kernels/runtime/write_all.h"

namespace apam {
namespace {

/// Relies on open() taking the lowest free number.
void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    if (::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;  // no /dev
  }
}

}  // namespace

StandardOutput::StandardOutput() : before_(std::cout.rdbuf()) {
  open_standard_descriptors();
  ::signal(SIGPIPE, SIG_IGN);
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  std::cout.rdbuf(this);
}

StandardOutput::~StandardOutput() {
  StandardOutput::sync();
  std::cout.rdbuf(before_);
}

int StandardOutput::sync() {
  if (reason_ == 0) reason_ = write_all(STDOUT_FILENO, {pbase(), static_cast<std::size_t>(pptr() - pbase())}).error;
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  return reason_ == 0 ? 0 : -1;
}

StandardOutput::int_type StandardOutput::overflow(int_type letter) {
  if (sync() != 0) return traits_type::eof();
  if (!traits_type::eq_int_type(letter, traits_type::eof())) sputc(traits_type::to_char_type(letter));
  return traits_type::not_eof(letter);
}

void StandardOutput::close() {
  sync();
  require<InputError>(reason_ == 0, "standard output cannot be written: {}", reason_of(reason_));
}

}  // namespace apam
