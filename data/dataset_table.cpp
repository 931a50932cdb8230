// The data sets: their names, the forms in which their files come, and how each form is recognised and opened.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/adapted_source.h"
#include "data/bundled_sample.h"
#include "data/cifar10.h"
#include "data/dataset.h"
#include "data/folders.h"
#include "data/idx.h"
#include "data/image_tree.h"
#include "data/imagenet32_npz.h"
#include "data/label_order.h"
#include "data/pack_cache.h"
#include "data/packed_file.h"
#include "data/synthetic.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

using DatasetPointer = std::shared_ptr<const Dataset>;
using SourcePointer = std::unique_ptr<Source>;

/// A form of files in a folder.
struct Form {
  bool (*recognise)(const fs::path& folder);
  SourcePointer (*open)(const fs::path& folder, const DatasetOptions& options);
  std::string_view label_order{};  // unless DatasetOptions has another; empty: there is only one
};

struct Row {
  std::string_view name;
  std::vector<Form> forms;               // the first one recognised is opened; the last one reports what is missing
  std::vector<OfficialPart> official{};  // of the full set
  const char* default_root = nullptr;
  const char* advice = nullptr;  // on getting the files, if there is no root
};

/// Whether one of the folders `below` (or `folder` itself, for "") has an entry of this name.
bool has(const fs::path& folder, std::initializer_list<const char*> below, const char* entry) {
  return std::any_of(below.begin(), below.end(), [&](const char* name) { return is_present(folder / name / entry); });
}

Identity cifar10_identity() { return {"cifar10", cifar10_classes(), cifar10_normalisation()}; }

bool has_cinic10_tree(const fs::path& folder) { return has(folder, {"", "cinic10", "CINIC-10"}, "train"); }

bool has_imagenet32_tree(const fs::path& folder) { return has(folder, {"", "imagenet32"}, "train"); }

bool has_npz(const fs::path& folder) {
  return has(folder, {"", "imagenet32", "Imagenet32_train_npz"}, "train_data_batch_1.npz") ||
         has(folder, {"", "imagenet32", "Imagenet32_train"}, "train_data_batch_1");
}

bool always(const fs::path& /*folder*/) { return true; }

SourcePointer open_binary(const fs::path& folder, const DatasetOptions& /*options*/) { return source_of(open_cifar10(folder)); }

SourcePointer open_npz(const fs::path& folder, const DatasetOptions& options) {
  const bool given = !options.label_order.empty();
  return open_imagenet32_npz(folder, given ? parse_label_order(options.label_order) : LabelOrder::devkit);
}

SourcePointer open_tree(const fs::path& folder, const DatasetOptions& options) {
  require<InputError>(options.label_order != to_string(LabelOrder::devkit),
                      "imagenet32: {} has a folder per class, whose labels are in the order wnid, not devkit", folder.string());
  return open_imagenet32_tree(folder);
}

const std::vector<Row>& rows() {
  static const std::vector<Row> table{
      {.name = "cifar10",
       .forms = {{has_cifar10_files, open_binary},
                 {has_cinic10_tree,
                  [](const fs::path& folder, const DatasetOptions&) {
                    return renamed(open_cinic10_tree(folder), cifar10_identity());
                  }},
                 {has_npz,
                  [](const fs::path& folder, const DatasetOptions&) {
                    return renamed(open_imagenet32_npz(folder, LabelOrder::devkit), cifar10_identity());
                  }},
                 {always, open_binary}},
       .official = {{"train", 50'000, 5'000}, {"test", 10'000, 1'000}}},
      {.name = "cinic10",
       .forms = {{always, [](const fs::path& folder, const DatasetOptions&) { return open_cinic10_tree(folder); }}},
       .official = {{"train", 90'000, 9'000}, {"valid", 90'000, 9'000}, {"test", 90'000, 9'000}},
       .advice = "scripts/get_data.sh cinic10 DIR downloads it"},
      {.name = "imagenet32",
       .forms = {{has_npz, open_npz, "devkit"}, {has_imagenet32_tree, open_tree, "wnid"}, {always, open_npz, "devkit"}},
       .official = {{"train", 1'281'167, 0}, {"test", 50'000, 50}},
       .advice = "scripts/get_data.sh imagenet32 DIR downloads it"},
      {.name = "fashion-mnist",
       .forms = {{always, [](const fs::path& folder, const DatasetOptions&) { return open_fashion_mnist(folder); }}},
       .official = {{"train", 60'000, 6'000}, {"test", 10'000, 1'000}},
       .default_root = kFashionMnistFolder,
       .advice = "Debian's package dataset-fashion-mnist has the files"},
      {.name = "synthetic", .forms = {}},
  };
  return table;
}

const Row& row_of(const std::string& name) {
  const auto found = std::find_if(rows().begin(), rows().end(), [&](const Row& row) { return row.name == name; });
  require<InputError>(found != rows().end(), "data: unknown dataset '{}', expected one of {}", name,
                      fmt::join(dataset_names(), ", "));
  return *found;
}

void check_options(const Row& row, const DatasetOptions& options) {
  if (!options.label_order.empty()) {
    const bool has_orders = !row.forms.empty() && !row.forms.front().label_order.empty();
    require<InputError>(has_orders, "data: {} has no label order, got {}", row.name, options.label_order);
    parse_label_order(options.label_order);
  }
  require<InputError>(options.train_split == "train" || options.train_split == "train+valid",
                      "data: training split '{}', expected train or train+valid", options.train_split);
}

/// Where the files are. Empty: the bundled sample of cifar10.
fs::path root_of(const Row& row, const DatasetOptions& options) {
  fs::path root = options.root;
  if (root.empty() && row.default_root != nullptr) root = row.default_root;
  if (row.advice != nullptr) {
    require<InputError>(!root.empty(), "{}: a folder or packed file is needed as data root; {}", row.name, row.advice);
    require<InputError>(is_present(root), "{}: {} does not exist; {}", row.name, root.string(), row.advice);
  }
  return root;
}

bool is_packed(const fs::path& root) {
  std::error_code ignored;
  return !root.empty() && fs::is_regular_file(root, ignored);
}

std::shared_ptr<const PackedFile> open_packed(const Row& row, const fs::path& root, const DatasetOptions& options) {
  auto file = std::make_shared<const PackedFile>(root);
  const PackedHeader& header = file->header();
  require<InputError>(header.name == row.name, "{}: {} is a packed file of {}", row.name, root.string(), header.name);
  require<InputError>(options.label_order.empty() || options.label_order == header.label_order,
                      "{}: {} was packed in the label order {}, got {}", row.name, root.string(), header.label_order,
                      options.label_order);
  return file;
}

const Form& form_of(const Row& row, const fs::path& folder) {
  return *std::find_if(row.forms.begin(), row.forms.end() - 1, [&](const Form& form) { return form.recognise(folder); });
}

/// Whether images can be read at random from the files as they are.
bool reads_directly(const Row& row, const fs::path& root) {
  return row.forms.empty() || root.empty() || form_of(row, root).open == open_binary;
}

DatasetPointer open_directly(const Row& row, const fs::path& root, const DatasetOptions& options) {
  const bool computed = row.name == "synthetic";
  require<InputError>(!computed || root.empty(), "data: synthetic has no data root, got {}", root.string());
  return computed ? make_synthetic(options.synthetic) : open_cifar10(root);
}

/// Of the files in a folder; recorded when they are packed.
std::string label_order_of(const Form& form, const DatasetOptions& options) {
  return options.label_order.empty() ? std::string(form.label_order) : options.label_order;
}

}  // namespace

std::span<const std::string_view> dataset_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> list;
    for (const Row& row : rows()) list.push_back(row.name);
    return list;
  }();
  return names;
}

std::span<const OfficialPart> official_parts(std::string_view name) { return row_of(std::string(name)).official; }

DatasetPointer open_dataset(const DatasetOptions& options) {
  const Row& row = row_of(options.name);
  check_options(row, options);
  const fs::path root = root_of(row, options);
  const bool joined = options.train_split == "train+valid";
  std::shared_ptr<const PackedFile> file;
  if (is_packed(root)) {
    file = open_packed(row, root, options);
  } else if (reads_directly(row, root)) {
    require<InputError>(!joined, "data: {} has no part valid for the training split train+valid", row.name);
    return open_directly(row, root, options);
  } else {
    const std::string order = label_order_of(form_of(row, root), options);
    file = open_cached({.name = std::string(row.name),
                        .folder = root,
                        .cache = options.cache,
                        .in_folder = !options.root.empty(),  // a default folder belongs to the system
                        .label_order = order,
                        .open_source = [&] { return form_of(row, root).open(root, options); },
                        .progress = options.progress});
  }
  const std::vector<std::string> parts =
      joined ? std::vector<std::string>{"train", "valid"} : std::vector<std::string>{"train"};
  return packed_dataset(std::move(file), parts);
}

OpenedSource open_source(const DatasetOptions& options) {
  const Row& row = row_of(options.name);
  check_options(row, options);
  const fs::path root = root_of(row, options);
  if (is_packed(root)) {
    auto file = open_packed(row, root, options);
    const PackedHeader& header = file->header();
    return {
        .source = packed_source(file), .label_order = header.label_order, .fingerprint = header.fingerprint, .packed = file};
  }
  if (reads_directly(row, root)) {
    const bool computed = row.forms.empty();
    return {.source = source_of(open_directly(row, root, options)),
            .fingerprint = computed ? "" : fingerprint_of(root.empty() ? bundled_sample() : root)};
  }
  return {.source = form_of(row, root).open(root, options),
          .label_order = label_order_of(form_of(row, root), options),
          .fingerprint = fingerprint_of(root)};
}

}  // namespace apam::data
