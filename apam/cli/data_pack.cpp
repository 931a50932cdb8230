#include <unistd.h>

#include <iostream>

#include "apam/cli/commands.h"
#include "apam/cli/pack_progress.h"
#include "apam/cli/run_control.h"
#include "apam/cli/terminal_progress.h"
#include "apam/training/factories.h"
#include "data/packed_file.h"

namespace apam::cli {

int data_pack(const training::DataPackOptions& options) {
  const Interruption interruption;
  try {
    const data::OpenedSource opened = training::open_whole_source(options.data);
    {
      PackProgressLine line(std::cerr, terminal_columns(STDERR_FILENO));
      data::pack(*opened.source, options.out,
                 {.label_order = opened.label_order, .fingerprint = opened.fingerprint, .progress = [&](const auto& progress) {
                    check_interruption(interruption);
                    line.show(progress);
                  }});
    }
    const auto file = std::make_shared<const data::PackedFile>(options.out);
    for (const std::string& note : file->header().notes) std::cout << note << '\n';
    std::cout << fmt::format("content SHA-256 {}\n", content_sha256(file->header()));
    std::cout << fmt::format("packed into {}", options.out) << std::endl;
    return 0;
  } catch (const Interrupted& interrupted) {
    std::cerr << fmt::format("apam: data: interrupted by signal {}; the same command continues", interrupted.signal())
              << std::endl;
    return 128 + interrupted.signal();
  }
}

}  // namespace apam::cli
