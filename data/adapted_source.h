// Sources made from something else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/source.h"

namespace apam::data {

/// The images of a dataset, with the parts "train", "valid" (if it has any) and "test".
std::unique_ptr<Source> source_of(std::shared_ptr<const Dataset> dataset);

/// Identity of a data set whose files are in the form of another one.
struct Identity {
  std::string name;
  std::vector<std::string> class_names;
  Normalisation normalisation;
};

/// The images of `source` under another identity. read() throws InputError for a label that has no class.
std::unique_ptr<Source> renamed(std::unique_ptr<Source> source, Identity identity);

}  // namespace apam::data
