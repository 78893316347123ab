#include "envs/sql_words.h"

#include <doctest/doctest.h>

namespace gauntlet {

TEST_CASE("words are found outside of quotes and comments, in upper case") {
  CHECK(sql_words("Select a /* OR FAIL */, 'it''s OR FAIL' -- OR FAIL\n from [OR FAIL]") ==
        std::vector<std::string>{"SELECT", "A", "", "", "FROM", ""});
  CHECK(sql_words("'unclosed OR FAIL") == std::vector<std::string>{""});
  CHECK(sql_words("/* unclosed").empty());
  CHECK(sql_words("").empty());
}

TEST_CASE("a conflict clause is told from an expression") {
  const auto clause = [](const char* sql) { return conflict_clause(sql_words(sql)); };
  CHECK(clause("INSERT or/**/rollback INTO t VALUES (1)") == "ROLLBACK");
  CHECK(clause("WITH x AS (SELECT 1) UPDATE OR FAIL t SET a = 1") == "FAIL");
  CHECK(clause("replace INTO t VALUES (1)") == "REPLACE");
  CHECK(clause("INSERT OR REPLACE INTO t VALUES (1)") == "REPLACE");
  CHECK(clause("SELECT a OR replace(b, 'x', 'y') FROM t") == "");
  CHECK(clause("SELECT \"update\" OR fail FROM t") == "");
  CHECK(clause("UPDATE t SET a = 'x' WHERE b OR fail") == "");
}

TEST_CASE("an order in a comment or a text is none") {
  CHECK(has_order(sql_words("SELECT a FROM t order\n by a")));
  CHECK_FALSE(has_order(sql_words("SELECT a FROM t -- ORDER BY a")));
  CHECK_FALSE(has_order(sql_words("SELECT 'ORDER BY' FROM t")));
}

}  // namespace gauntlet
