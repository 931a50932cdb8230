// Fuzzes the PNG decoder with an input in three roles: as a file; as a file whose CRCs are made correct, so that mutations
// reach the checks behind them; and as the rows of an image of a format that the first byte selects. Only InputErrors are
// expected.
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/png_image.h"
#include "kernels/runtime/error.h"
#include "tests/data/png_picture.h"

namespace {

using apam::data::Bytes;

void decode(const Bytes& file) {
  static apam::data::PngDecoder decoder("fuzz", {32, 32, 3});
  static Bytes pixels(std::size_t{32} * 32 * 3);
  try {
    decoder.decode("input", file, pixels);
  } catch (const apam::InputError&) {
  }
}

/// `file` with the correct CRC in each chunk within it.
Bytes with_crcs(Bytes file) {
  for (std::size_t at = 8; at + 12 <= file.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | file[at + i];
    if (length > file.size() - at - 12) break;
    const auto crc = static_cast<std::uint32_t>(::crc32(0, file.data() + at + 4, static_cast<uInt>(4 + length)));
    const Bytes stored = apam::data::big_endian(crc);
    std::copy(stored.begin(), stored.end(), file.begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    at += 12 + length;
  }
  return file;
}

/// The chunks of each fixture, and the size of its rows.
struct Format {
  apam::data::PngChunkList chunks;
  std::size_t rows;
};

std::vector<Format> formats() {
  std::vector<Format> all;
  for (const auto& fixture : apam::data::png_fixtures()) {
    all.push_back({apam::data::png_chunks(fixture.picture), fixture.picture.rows().size()});
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, data + size);
  decode(input);
  decode(with_crcs(input));
  static const std::vector<Format> all = formats();
  if (size > 0) {
    const Format& format = all[data[0] % all.size()];
    Bytes rows(input.begin() + 1, input.end());
    rows.resize(format.rows);
    apam::data::PngChunkList chunks = format.chunks;
    chunks.end()[-2].second = apam::data::compress(rows);
    decode(apam::data::png_file(chunks));
  }
  return 0;
}
