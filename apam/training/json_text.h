// Text from outside (file names, arguments, host names) on its way into JSON, which is UTF-8. On Linux these are bytes of any
// kind.
#pragma once

#include <string>
#include <string_view>

namespace apam::training {

/// Text that is UTF-8 stays as it is. Any other becomes "bytes:" and the text with each '%' and each byte that is not part of
/// UTF-8 as %XX; so does text that begins with "bytes:", so that every text comes back from its JSON. In Python:
///   urllib.parse.unquote_to_bytes(text[6:]) if text.startswith("bytes:") else text.encode()
std::string json_text(std::string_view bytes);

}  // namespace apam::training
