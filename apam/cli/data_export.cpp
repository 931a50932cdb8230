#include <iostream>

#include "apam/cli/commands.h"
#include "apam/cli/run_control.h"
#include "apam/training/factories.h"
#include "data/export.h"

namespace apam::cli {

int data_export(const training::DataExportOptions& options) {
  const Interruption interruption;
  try {
    training::DataOptions from = options.data;
    from.train_images = options.train_images;  // synthetic
    from.test_images = options.test_images;
    const data::OpenedSource opened = data::open_source(dataset_options(from));
    const auto remarks = data::export_images(*opened.source, options.out,
                                             {.format = options.format,
                                              .train_images = options.train_images,
                                              .test_images = options.test_images,
                                              .progress = [&](std::int64_t) { check_interruption(interruption); }});
    for (const std::string& remark : remarks) std::cerr << "apam: warning: " << remark << std::endl;
    std::cout << fmt::format("exported to {}", options.out) << std::endl;
    return 0;
  } catch (const Interrupted& interrupted) {
    std::cerr << fmt::format("apam: data: interrupted by signal {}; nothing was exported", interrupted.signal()) << std::endl;
    return 128 + interrupted.signal();
  }
}

}  // namespace apam::cli
