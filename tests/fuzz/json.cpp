// parse_json: refuses with Error(Input), or gives a document that survives being written and read again.

#include "core/json.h"

#include "check.h"
#include "core/error.h"

namespace gauntlet {

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string clean = valid_utf8(text);
  promise(valid_utf8(clean) == clean, "cleaned text is clean");
  Json document;
  try {
    document = parse_json(text, "input");
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "a text that is no JSON is an input error");
    return 0;
  }
  const std::string written = dump_json(document);
  promise(parse_json(written, "written") == document, "a document is read back as it was written");
  const std::string canonical = canonical_json(document);
  promise(canonical_json(parse_json(canonical, "canonical")) == canonical, "the canonical form is its own canonical form");
  return 0;
}

}  // namespace gauntlet
