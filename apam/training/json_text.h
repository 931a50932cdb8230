// JSON, and text from outside (file names, arguments, host names) on its way into it. JSON is UTF-8; on Linux such text is any
// sequence of bytes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace apam::training {

/// Keys keep the order in which they were added, so files read like a report.
using Json = nlohmann::ordered_json;

/// UTF-8 text stays as it is. Other text becomes "bytes:" followed by the text, with each '%' and each byte that is not part of
/// UTF-8 as %XX; so does text that begins with "bytes:", so the encoding is reversible. In Python:
///   urllib.parse.unquote_to_bytes(text[6:]) if text.startswith("bytes:") else text.encode()
std::string json_text(std::string_view bytes);

}  // namespace apam::training
