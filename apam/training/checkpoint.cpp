#include "apam/training/checkpoint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "apam/training/usage_error.h"
#include "nets/safetensors.h"

namespace apam::training {
namespace {

constexpr std::string_view kStates = "states", kMoments = "moments", kMetadata = "apam", kFloat = "F32";

// They do not change what is computed, or are of one run of the program.
constexpr std::array<std::string_view, 6> kFree{"commit",  "--transport", "--keep-going",
                                                "--trace", "--resume",    "--checkpoint-every"};

Json to_json(const exchange::BatchProgress& batches) {
  const exchange::LeaseCounts& counts = batches.counts;
  return {{"next", batches.next},         {"open", batches.open},      {"granted", counts.granted},
          {"applied", counts.applied},    {"refused", counts.refused}, {"cancelled", counts.cancelled},
          {"abandoned", counts.abandoned}};
}

exchange::BatchProgress batches_from(const Json& json) {
  return {.next = json.at("next"),
          .open = json.at("open").get<std::vector<std::int64_t>>(),
          .counts = {.granted = json.at("granted"),
                     .applied = json.at("applied"),
                     .refused = json.at("refused"),
                     .cancelled = json.at("cancelled"),
                     .abandoned = json.at("abandoned")}};
}

std::vector<float> floats_of(const nets::NamedTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::ranges::copy(tensor.bytes, std::as_writable_bytes(std::span(values)).begin());
  return values;
}

const nets::NamedTensor& tensor_of(const nets::Safetensors& file, std::string_view name, std::size_t rank) {
  const nets::NamedTensor* const found = file.find(name);
  require<InputError>(found != nullptr, "{}: is no checkpoint: has no tensor {}", file.path().string(), name);
  require<InputError>(found->dtype == kFloat && found->shape.size() == rank,
                      "{}: tensor {} has dtype {} and {} dimensions, expected {} and {}", file.path().string(), name,
                      found->dtype, found->shape.size(), kFloat, rank);
  return *found;
}

void copy_to(std::span<const float> from, Span<float> to, std::string_view what) {
  require<InputError>(from.size() == to.size(), "checkpoint: {} of {} floats, expected {}", what, from.size(), to.size());
  copy(ConstSpan<float>(from), to);
}

}  // namespace

Checkpoint Checkpoint::read(const std::filesystem::path& path) {
  const nets::Safetensors file = nets::Safetensors::read(path);
  const auto& states = tensor_of(file, kStates, 2);
  const auto& moments = tensor_of(file, kMoments, 1);
  const auto metadata = file.metadata().find(std::string(kMetadata));
  require<InputError>(metadata != file.metadata().end(), "{}: is no checkpoint: has no metadata '{}'", path.string(),
                      kMetadata);
  Checkpoint checkpoint;
  try {
    const Json json = Json::parse(metadata->second);
    checkpoint.update = json.at("update");
    checkpoint.initial.batches_tracked = json.at("batches_before");
    if (const Json& digest = json.at("init_sha256"); !digest.is_null()) checkpoint.initial.sha256 = digest;
    checkpoint.batches = batches_from(json.at("batches"));
    checkpoint.copied_bytes = json.at("copied_bytes");
    checkpoint.fields = json.at("fields").get<TrainingFields>();
    checkpoint.metrics = json.at("metrics");
    checkpoint.files = json.at("files").get<std::map<std::string, std::int64_t>>();
  } catch (const Json::exception& error) {
    fail<InputError>("{}: metadata '{}': {}", path.string(), kMetadata, error.what());
  }
  checkpoint.versions = states.shape[0];
  require<InputError>(checkpoint.versions >= 1 && checkpoint.versions <= checkpoint.update + 1,
                      "{}: {} states up to version {}, expected 1 to {}", path.string(), checkpoint.versions, checkpoint.update,
                      checkpoint.update + 1);
  checkpoint.states = floats_of(states);
  checkpoint.moments = floats_of(moments);
  return checkpoint;
}

void Checkpoint::write(const std::filesystem::path& path, const Arrays& arrays) const {
  const Json json{{"update", update},
                  {"batches_before", initial.batches_tracked},
                  {"init_sha256", initial.sha256 ? Json(*initial.sha256) : Json()},
                  {"batches", to_json(batches)},
                  {"copied_bytes", copied_bytes},
                  {"fields", fields},
                  {"metrics", metrics},
                  {"files", files}};
  const std::int64_t size = std::ssize(arrays.states) / arrays.versions;
  const std::vector<nets::NamedTensor> tensors{
      {std::string(kStates), std::string(kFloat), {arrays.versions, size}, std::as_bytes(arrays.states)},
      {std::string(kMoments), std::string(kFloat), {std::ssize(arrays.moments)}, std::as_bytes(arrays.moments)}};
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  nets::write_safetensors(path, tensors, {{std::string(kMetadata), text}});
}

std::span<const float> Checkpoint::state(std::int64_t index) const {
  const std::size_t size = states.size() / static_cast<std::size_t>(versions);
  return std::span(states).subspan(static_cast<std::size_t>(index) * size, size);
}

void Checkpoint::restore(const engine::ParameterArena& arena) const {
  copy_to(state(versions - 1), arena.state(), "a state");
  arena.rounded().outdate();
}

void Checkpoint::restore(engine::Updater& updater) const {
  copy_to(moments, updater.moments(), "moments");
  updater.resume(update);
}

void Checkpoint::restore(exchange::WeightHistory& history) const {
  const std::size_t size = history.layout().state();
  require<InputError>(state(0).size() == size, "checkpoint: states of {} floats, expected {}", state(0).size(), size);
  history.publish_first(state(0), update - versions + 1);
  for (std::int64_t i = 1; i < versions; ++i) {
    exchange::WritableVersion next = history.begin_next();
    copy(ConstSpan<float>(state(i)), next.state());
    history.publish(std::move(next));
  }
}

TrainingFields training_fields(const TrainOptions& options, const RunPlan& plan) {
  TrainingFields all;
  for (const Fields& fields : {program_and_options(options), data_and_model(plan)}) {
    for (const AgreedField& field : fields) {
      if (std::ranges::find(kFree, field.name) == kFree.end()) all.emplace_back(field.name, field.value);
    }
  }
  return all;
}

std::optional<Checkpoint> find_checkpoint(const TrainOptions& options, const RunPlan& plan) {
  if (!options.resume) return std::nullopt;
  const std::filesystem::path folder = options.out, path = folder / Checkpoint::kFile;
  if (!std::filesystem::exists(path)) {
    require<InputError>(!std::filesystem::exists(folder / "summary.json"),
                        "--resume: {} has a summary, but no checkpoint: the run is complete, or was made with "
                        "--checkpoint-every 0; --overwrite would replace it",
                        folder.string());
    return std::nullopt;
  }
  Checkpoint saved = Checkpoint::read(path);
  for (const auto& [name, value] : training_fields(options, plan)) {
    const auto field = std::ranges::find(saved.fields, name, &TrainingFields::value_type::first);
    const std::string before = field != saved.fields.end() ? field->second : "nothing";
    require<UsageError>(before == value, "--resume: {}: the checkpoint has {}, got {}", name, before, value);
  }
  return saved;
}

InitialWeights load_state(const TrainOptions& options, Exec& exec, const engine::ParameterArena& arena,
                          const std::optional<Checkpoint>& saved) {
  if (!saved) return load_initial_weights(options, exec, arena);
  saved->restore(arena);
  return saved->initial;
}

}  // namespace apam::training
