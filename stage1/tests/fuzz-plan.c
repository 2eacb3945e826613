/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer: any bytes may be refused, none may be read out of bounds; what is accepted can be walked. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk_field(char type, const struct field *f) {
  size_t sum = 0;
  const char *at = f->s;
  if (type == 's') sum += strlen(f->s);
  if (type == 'v')
    for (uint64_t i = 0; i < f->n; i++) sum += strlen(plan_string(&at));
  if (type == 'n')
    for (size_t i = 0; i < f->n; i++) sum += plan_number(f, i);
  return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct plan plan;
  uint8_t *copy = malloc(size + 1);
  volatile size_t sum = 0;
  if (copy == NULL) return 0;
  memcpy(copy, data, size);
  /* The length in the header is right, else no input would get far. */
  if (size >= 16)
    for (int i = 0; i < 4; i++) copy[8 + i] = (uint8_t)(size >> (8 * i));
  if (plan_open(&plan, copy, size) == NULL) {
    struct cursor cursor = plan_start(&plan);
    struct op op;
    while (plan_next(&cursor, &op))
      for (size_t i = 0; op_schema[op.code][i] != 0; i++) sum += walk_field(op_schema[op.code][i], &op.f[i]);
  }
  (void)sum;
  free(copy);
  return 0;
}
