#include "data/pack.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/packed_header.h"
#include "data/resumable_file.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/sha256.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kChunkBytes = 1U << 20U;     // bytes of pixels written at once
constexpr std::uint64_t kCheckpoint = 64U << 20U;  // bytes of pixels between two entries of the journal
constexpr std::size_t kMaxNoteBytes = 200;

std::int64_t total_images(const std::vector<SourcePart>& parts) {
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0},
                         [](std::int64_t sum, const SourcePart& part) { return sum + part.images; });
}

PackedHeader header_of(const SourceInfo& info, const PackOptions& options) {
  PackedHeader header{.name = info.name,
                      .location = info.location,
                      .fingerprint = options.fingerprint,
                      .label_order = options.label_order,
                      .shape = info.shape,
                      .class_names = info.class_names,
                      .parts = {},
                      .normalisation = info.normalisation,
                      .mean = {},
                      .notes = {}};
  for (const SourcePart& part : info.parts) header.parts.push_back({.name = part.name, .images = part.images});
  const std::size_t values = info.normalisation.subtract.size();
  if (values == info.shape.count() && values != static_cast<std::size_t>(info.shape.channels)) {
    header.mean.emplace();
    header.normalisation.subtract.clear();
  }
  return header;
}

/// "12 grey images" and "3 grey images" of two runs are "15 grey images".
void add_notes(std::vector<std::string>& notes, const std::vector<std::string>& more) {
  const auto split = [](const std::string& note) {
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(note.data(), note.data() + note.size(), count);
    return std::pair(error == std::errc{} ? std::optional(count) : std::nullopt, std::string(end, note.data() + note.size()));
  };
  for (const std::string& note : more) {
    const auto [count, text] = split(note);
    const auto same =
        std::find_if(notes.begin(), notes.end(), [&, &kind = text](const auto& old) { return split(old).second == kind; });
    if (same == notes.end()) {
      if (notes.size() < kMaxNotes) notes.push_back(note.substr(0, kMaxNoteBytes));
    } else if (const auto before = split(*same).first; before && count) {
      *same = fmt::format("{}{}", *before + *count, text);
    }
  }
}

/// What is on disk already, after every part's name: FILE.partial.journal.
struct Journal {
  std::string identity;            // hash of everything that is known before the first image
  std::vector<std::int64_t> done;  // images, by part
  std::vector<std::string> notes;

  static std::optional<Journal> read(const fs::path& path) {
    std::ifstream in(path);
    const auto json = Json::parse(in, nullptr, /*allow_exceptions=*/false);
    Journal journal;
    try {
      journal.identity = json.at("identity").get<std::string>();
      journal.done = json.at("done").get<std::vector<std::int64_t>>();
      journal.notes = json.at("notes").get<std::vector<std::string>>();
    } catch (const Json::exception&) {
      return {};  // missing or damaged: start from scratch
    }
    return journal;
  }

  void write(const fs::path& path) const {
    const Json json{{"identity", identity}, {"done", done}, {"notes", notes}};
    write_file(path, json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
  }
};

class Packer {
 public:
  Packer(Source& source, ResumableFile& file, const fs::path& path, const PackOptions& options)
      : source_(source),
        file_(file),
        journal_path_(file.partial()),
        options_(options),
        header_(header_of(source.info(), options)) {
    journal_path_ += ".journal";
    header_bytes_ = header_space(header_);
    file_bytes_ = lay_out(header_, header_bytes_);
    journal_.identity = identity();
    journal_.done.assign(header_.parts.size(), 0);
    progress_ = {.name = header_.name, .file = path, .done = 0, .total = total_images(source.info().parts)};
    resume();
    check_space();
  }

  void run() {
    try {
      for (std::size_t part = 0; part < header_.parts.size(); ++part) pack_part(part);
    } catch (...) {
      keep();
      throw;
    }
    finish();
  }

 private:
  std::string identity() const {
    Sha256 hash;
    hash.add(encode(header_, header_bytes_));
    hash.add(std::as_bytes(std::span(source_.info().normalisation.subtract)));
    return hash.hex();
  }

  void resume() {
    auto before = Journal::read(journal_path_);
    const auto& parts = header_.parts;
    bool usable = before && before->identity == journal_.identity && before->done.size() == parts.size();
    bool complete = true;  // of the parts so far
    std::uint64_t needed = 0;
    for (std::size_t i = 0; usable && i < parts.size(); ++i) {
      const std::int64_t done = before->done[i];
      usable = done >= 0 && done <= parts[i].images && (complete || done == 0);
      complete = complete && done == parts[i].images;
      if (usable && done > 0) needed = parts[i].pixels.offset + static_cast<std::uint64_t>(done) * header_.shape.count();
    }
    if (usable && file_.size() >= needed) {
      journal_ = std::move(*before);
    } else {
      file_.resize(0);
    }
  }

  void check_space() const {
    std::error_code error;
    const fs::path folder = file_.partial().parent_path();
    const auto space = fs::space(folder.empty() ? fs::path(".") : folder, error);
    const std::uint64_t present = file_.size();
    const std::uint64_t needed = file_bytes_ > present ? file_bytes_ - present : 0;
    require<InputError>(error || space.available >= needed, "pack: {} needs {} more bytes, the disk has {} left",
                        progress_.file.string(), needed, space.available);
  }

  /// Hashes what an earlier run has written of a part.
  void read_back(std::size_t part) {
    const PackedPart& place = header_.parts[part];
    const auto done = static_cast<std::uint64_t>(journal_.done[part]);
    std::vector<std::byte> chunk(kChunkBytes);
    const auto hash_range = [&](Sha256& hash, std::uint64_t offset, std::uint64_t bytes) {
      for (const std::uint64_t end = offset + bytes; offset < end;) {
        const auto piece = std::span(chunk).first(std::min<std::uint64_t>(kChunkBytes, end - offset));
        file_.read(offset, piece);
        hash.add(piece);
        offset += piece.size();
      }
    };
    hash_range(labels_hash_, place.labels.offset, done * sizeof(std::int32_t));
    hash_range(pixels_hash_, place.pixels.offset, done * header_.shape.count());
    report(journal_.done[part]);
  }

  void pack_part(std::size_t index) {
    PackedPart& part = header_.parts[index];
    labels_hash_ = Sha256();
    pixels_hash_ = Sha256();
    current_ = index;
    written_ = journal_.done[index];
    read_back(index);
    std::int64_t at = written_;
    if (at < part.images) {
      source_.read(index, at, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
        add(part, at++, pixels, label);
        if (pixels_.size() >= kChunkBytes) write_chunk();
      });
      write_chunk();
    }
    require<InputError>(at == part.images, "pack: {}: part {} has {} images, expected {}", header_.name, part.name, at,
                        part.images);
    part.labels.sha256 = labels_hash_.hex();
    part.pixels.sha256 = pixels_hash_.hex();
  }

  void add(const PackedPart& part, std::int64_t at, std::span<const std::uint8_t> pixels, std::int32_t label) {
    const auto classes = static_cast<std::int32_t>(header_.class_names.size());
    require<InputError>(at < part.images, "pack: {}: part {} has more than {} images", header_.name, part.name, part.images);
    require<InputError>(label >= 0 && label < classes, "pack: {}: image {} of {} has label {}, expected 0 to {}", header_.name,
                        at, part.name, label, classes - 1);
    require<InputError>(pixels.size() == header_.shape.count(), "pack: {}: image {} of {} has {} values, expected {}",
                        header_.name, at, part.name, pixels.size(), header_.shape.count());
    pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
    labels_.push_back(label);
  }

  void write_chunk() {
    const PackedPart& part = header_.parts[current_];
    const auto written = static_cast<std::uint64_t>(written_);
    const auto labels = std::as_bytes(std::span(labels_)), pixels = std::as_bytes(std::span(pixels_));
    file_.write(part.labels.offset + written * sizeof(std::int32_t), labels);
    file_.write(part.pixels.offset + written * header_.shape.count(), pixels);
    labels_hash_.add(labels);
    pixels_hash_.add(pixels);
    written_ += static_cast<std::int64_t>(labels_.size());
    since_checkpoint_ += pixels_.size();
    const auto images = static_cast<std::int64_t>(labels_.size());
    labels_.clear();
    pixels_.clear();
    if (since_checkpoint_ >= kCheckpoint) checkpoint();
    report(images);
  }

  void checkpoint() {
    file_.flush();
    Journal journal = journal_;
    journal.done[current_] = written_;
    for (std::size_t i = 0; i < current_; ++i) journal.done[i] = header_.parts[i].images;
    add_notes(journal.notes, source_.notes());
    journal.write(journal_path_);
    since_checkpoint_ = 0;
  }

  /// After an error: that error is the one to report.
  void keep() {
    try {
      checkpoint();
    } catch (const Error&) {  // then an older entry of the journal counts
    }
  }

  void finish() {
    if (header_.mean) {
      const auto mean = std::as_bytes(std::span(source_.info().normalisation.subtract));
      file_.write(header_.mean->offset, mean);
      Sha256 hash;
      hash.add(mean);
      header_.mean->sha256 = hash.hex();
    }
    header_.notes = journal_.notes;
    add_notes(header_.notes, source_.notes());
    const std::string start = encode(header_, header_bytes_);
    file_.write(0, std::as_bytes(std::span(start)));
    file_.resize(file_bytes_);
    file_.commit();
    std::error_code ignored;  // it is not used without FILE.partial
    fs::remove(journal_path_, ignored);
  }

  void report(std::int64_t images) {
    progress_.done += images;
    if (options_.progress) options_.progress(progress_);
  }

  Source& source_;
  ResumableFile& file_;
  fs::path journal_path_;
  const PackOptions& options_;
  PackedHeader header_;
  std::uint64_t header_bytes_ = 0, file_bytes_ = 0;
  Journal journal_;  // as found by resume()
  PackProgress progress_;

  std::size_t current_ = 0;   // part
  std::int64_t written_ = 0;  // images of this part that are in the file
  std::uint64_t since_checkpoint_ = 0;
  std::vector<std::int32_t> labels_;  // not yet written
  std::vector<std::uint8_t> pixels_;  // (N, H, W, C), not yet written
  Sha256 labels_hash_, pixels_hash_;  // of this part, as far as written
};

}  // namespace

void pack(Source& source, const fs::path& file, const PackOptions& options) {
  const PackProgress waiting{
      .name = source.info().name, .file = file, .done = 0, .total = total_images(source.info().parts), .waiting = true};
  ResumableFile partial(file, [&] {
    if (options.progress) options.progress(waiting);
  });
  if (options.is_done && options.is_done()) {
    partial.discard();
    return;
  }
  Packer(source, partial, file, options).run();
}

}  // namespace apam::data
