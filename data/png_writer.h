// Writes an image as a PNG file, by stb_image_write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "data/image.h"

namespace apam::data {

/// `pixels`: (H, W, C), C = 1 (grey), 3 (RGB) or 4 (with alpha). Not flushed to disk. Throws InputError if the file cannot be
/// written.
void write_png(const std::filesystem::path& path, std::span<const std::uint8_t> pixels, ImageShape shape);

}  // namespace apam::data
