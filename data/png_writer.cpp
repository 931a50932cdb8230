// CMake defines which parts of stb_image_write are compiled here.
#include "data/png_writer.h"

#include <fcntl.h>
#include <stb/stb_image_write.h>

#include <cerrno>
#include <string>

#include "kernels/runtime/descriptor.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/write_all.h"

namespace apam::data {

void write_png(const std::filesystem::path& path, std::span<const std::uint8_t> pixels, ImageShape shape) {
  const int channels = shape.channels;
  require<InputError>(channels == 1 || channels == 3 || channels == 4, "png: {}: images of {}, expected 1, 3 or 4 channels",
                      path.string(), to_string(shape));
  std::string bytes;
  const auto append = [](void* context, void* data, int size) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
  };
  const int encoded = ::stbi_write_png_to_func(append, &bytes, shape.width, shape.height, channels, pixels.data(),
                                               static_cast<int>(shape.row()));
  require<InputError>(encoded != 0, "png: {}: an image of {} cannot be encoded", path.string(), to_string(shape));
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  const int reason = errno;
  require<InputError>(file.is_open(), "write: {} cannot be opened: {}", path.string(), reason_of(reason));
  const auto [missing, error] = write_all(file.get(), bytes);
  require<InputError>(missing == 0, "write: {}: {} bytes cannot be written: {}", path.string(), missing, reason_of(error));
}

}  // namespace apam::data
