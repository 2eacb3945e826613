/* SPDX-License-Identifier: Apache-2.0
 * The plan as it lies in memory: checked once by plan_open, then walked in place. Nothing is copied. */
#ifndef RKT_PLAN_H
#define RKT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "opcodes.h"

#define PLAN_MAX_APPS 1024u

/* u, q: n. String: s (NUL-terminated), n bytes. Strings: s is where plan_string starts, n of them. Numbers: s
 * is n little-endian 32-bit values. Bytes: s is n bytes. */
struct field {
  const char *s;
  uint64_t n;
};

struct op {
  uint32_t index;
  uint32_t code;
  struct field f[OP_FIELDS];
};

struct plan {
  const uint8_t *data;
  size_t size;
  uint32_t count;
};

/* A position between two operations. Copy it to come back to it. */
struct cursor {
  const struct plan *plan;
  size_t at;
  uint32_t index;
};

/* Checks `size` bytes. On failure returns what is wrong, else NULL. `data` must stay. */
const char *plan_open(struct plan *plan, const void *data, size_t size);

struct cursor plan_start(const struct plan *plan);

/* The next operation; false at the end. */
bool plan_next(struct cursor *cursor, struct op *op);

/* Moves behind the next operation of this kind; false (and at the end) when there is none. */
bool plan_find(struct cursor *cursor, uint32_t code, struct op *op);

/* Walks a field of strings: set *at to field.s, call field.n times. */
const char *plan_string(const char **at);

uint32_t plan_number(const struct field *field, size_t i);

#endif
