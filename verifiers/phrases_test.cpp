#include "verifiers/phrases.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "verifiers/render.h"

namespace gauntlet {

TEST_CASE("English phrases are there, and a language without phrases is a usage error that names those with some") {
  CHECK(render_languages() == std::vector<std::string>{"en"});
  try {
    Phrases("tlh");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Usage);
    CHECK(std::string(error.what()) == "there are no phrases for the language \"tlh\"; accepted: en");
  }
}

TEST_CASE("placeholders are filled once, and values are never searched for placeholders") {
  const Phrases phrases("en");
  CHECK(phrases("slot_in_group", {{"noun", "hotel"}, {"group", "day 1"}}) == "the hotel on day 1");
  CHECK(phrases("slot_in_group", {{"noun", "{group}"}, {"group", "{noun}"}}) == "the {group} on {noun}");
  CHECK(phrases("slot_in_group", {{"noun", "}{"}, {"group", "{"}}) == "the }{ on {");
  CHECK(phrases("slot_in_group") == "the  on ");
}

TEST_CASE("a phrase that the table lacks is named with its language") {
  CHECK_THROWS_WITH_AS(Phrases("en")("no_such_phrase"), "the phrase \"no_such_phrase\" is missing from the table of language \"en\"", Error);
}

TEST_CASE("lists read as people write them") {
  const Phrases phrases("en");
  CHECK(phrases.list({}) == "");
  CHECK(phrases.list({"a"}) == "a");
  CHECK(phrases.list({"a", "b"}) == "a and b");
  CHECK(phrases.list({"a", "b", "c"}) == "a, b and c");
  CHECK(phrases.list({"a", "b", "c"}, "or") == "a, b or c");
}

}  // namespace gauntlet
