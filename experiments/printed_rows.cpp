#include "experiments/printed_rows.h"

#include <cstdio>

#include "experiments/output.h"

namespace vitrine {

void print(const Session& session, const PrintedRows& how, std::span<const InputText> inputs, std::vector<Json> results) {
  if (how.common.json) return print_json(session, how.text, inputs, std::move(results));
  const std::vector<Json> rows = how.rows(results);
  if (how.common.csv) std::fputs(csv_of(rows, how.columns).c_str(), stdout);
  else how.print_table(rows);
}

}  // namespace vitrine
