/* SPDX-License-Identifier: Apache-2.0
 * Decoder of the plan. The plan comes from our own parent, yet every length, count and order is checked here,
 * so that the rest of the program may index by them. Fuzzed (tests/fuzz-plan.c). */
#include "plan.h"

#include <string.h>

#define HEADER_SIZE 16u

static uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

struct reader {
  const uint8_t *at;
  const uint8_t *end;
};

static bool read32(struct reader *r, uint32_t *value) {
  if ((size_t)(r->end - r->at) < 4) return false;
  *value = get32(r->at);
  r->at += 4;
  return true;
}

static bool read_string(struct reader *r, struct field *out) {
  uint32_t n;
  if (!read32(r, &n)) return false;
  if ((size_t)(r->end - r->at) <= n) return false;
  if (r->at[n] != 0 || memchr(r->at, 0, n) != NULL) return false;
  out->s = (const char *)r->at;
  out->n = n;
  r->at += (size_t)n + 1;
  return true;
}

static bool read_field(struct reader *r, char type, struct field *out) {
  uint32_t low, high;
  struct field ignored;
  switch (type) {
    case 'u':
      if (!read32(r, &low)) return false;
      *out = (struct field){NULL, low};
      return true;
    case 'q':
      if (!read32(r, &low) || !read32(r, &high)) return false;
      *out = (struct field){NULL, (uint64_t)high << 32 | low};
      return true;
    case 's':
      return read_string(r, out);
    case 'v':
      if (!read32(r, &low)) return false;
      *out = (struct field){(const char *)r->at, low};
      for (uint32_t i = 0; i < low; i++)
        if (!read_string(r, &ignored)) return false;
      return true;
    case 'n':
      if (!read32(r, &low)) return false;
      if ((size_t)(r->end - r->at) / 4 < low) return false;
      *out = (struct field){(const char *)r->at, low};
      r->at += (size_t)low * 4;
      return true;
    case 'b':
      if (!read32(r, &low)) return false;
      if ((size_t)(r->end - r->at) < low) return false;
      *out = (struct field){(const char *)r->at, low};
      r->at += low;
      return true;
    default:
      return false;
  }
}

static bool decode(struct reader *r, struct op *op) {
  uint32_t code, length;
  if (!read32(r, &code) || !read32(r, &length)) return false;
  if ((size_t)(r->end - r->at) < length) return false;
  if (code >= OP_LIMIT || op_schema[code] == NULL) return false;
  struct reader fields = {r->at, r->at + length};
  const char *schema = op_schema[code];
  op->code = code;
  for (size_t i = 0; schema[i] != 0; i++)
    if (!read_field(&fields, schema[i], &op->f[i])) return false;
  if (fields.at != fields.end) return false;
  r->at = fields.end;
  return true;
}

bool plan_next(struct cursor *cursor, struct op *op) {
  if (cursor->index >= cursor->plan->count) return false;
  struct reader r = {cursor->plan->data + cursor->at, cursor->plan->data + cursor->plan->size};
  op->index = cursor->index;
  if (!decode(&r, op)) return false;
  cursor->at = (size_t)(r.at - cursor->plan->data);
  cursor->index++;
  return true;
}

bool plan_find(struct cursor *cursor, uint32_t code, struct op *op) {
  while (plan_next(cursor, op))
    if (op->code == code) return true;
  return false;
}

struct cursor plan_start(const struct plan *plan) {
  return (struct cursor){plan, HEADER_SIZE, 0};
}

const char *plan_string(const char **at) {
  uint32_t n = get32((const uint8_t *)*at);
  const char *text = *at + 4;
  *at = text + n + 1;
  return text;
}

uint32_t plan_number(const struct field *field, size_t i) {
  return get32((const uint8_t *)field->s + i * 4);
}

/* An app's name becomes a file name and part of a path. */
static bool is_file_name(const struct field *f) {
  return f->n > 0 && f->n < 200 && f->s[0] != '.' && strchr(f->s, '/') == NULL;
}

enum scope { SUPERVISOR, POD, APP, ENTER };

static bool fits_scope(uint32_t code, enum scope scope) {
  switch (code) {
    case OP_OPTIONS:
    case OP_DIRECTORY:
    case OP_CGROUP:
    case OP_VOLUME:
    case OP_COPY_VOLUME:
    case OP_DEVICES:
    case OP_USER_NAMESPACE:
    case OP_POD:
    case OP_ENTER:
      return scope == SUPERVISOR;
    case OP_HOSTNAME:
    case OP_LOOPBACK:
    case OP_SYSCTL:
    case OP_RETIRE:
    case OP_SCRATCH:
    case OP_APP:
      return scope == POD;
    case OP_MOUNT:
      return scope == POD || scope == APP;
    case OP_ENVIRONMENT:
    case OP_BOUNDING:
    case OP_NO_NEW_PRIVILEGES:
    case OP_WORKING_DIRECTORY:
    case OP_EXECUTE:
    case OP_IDS:
    case OP_FILTER:
    case OP_JOIN_CGROUPS:
    case OP_LABEL:
      return scope == APP || scope == ENTER;
    default:
      return scope == APP;
  }
}

/* Of ids that are not the host's root's. */
static bool is_range(const struct field *first, const struct field *count) {
  return first->n > 0 && count->n > 0 && first->n + count->n < UINT32_MAX;
}

/* The order that the interpreter relies on: options first; apps closed, each with exactly one execute as its last
 * operation, preceded by a root; as many apps as announced. */
static const char *check_order(const struct plan *plan) {
  struct cursor cursor = plan_start(plan);
  struct op op;
  enum scope scope = SUPERVISOR;
  uint64_t announced = 0, seen = 0;
  bool rooted = false, executed = false;
  for (uint32_t i = 0; i < plan->count; i++) {
    if (!plan_next(&cursor, &op)) return "an operation cannot be decoded";
    if ((i == 0) != (op.code == OP_OPTIONS)) return "the options are not the first operation";
    if (!fits_scope(op.code, scope)) return "an operation is in the wrong place";
    if (executed && op.code != OP_END) return "an operation follows the execution";
    switch (op.code) {
      case OP_OPTIONS:
        announced = op.f[OPTIONS_APPS].n;
        if (announced > PLAN_MAX_APPS) return "there are too many apps";
        break;
      case OP_DEVICES:
        if (op.f[DEVICES_PROGRAM].n == 0 || op.f[DEVICES_PROGRAM].n % 2 != 0) return "an instruction is cut";
        break;
      case OP_USER_NAMESPACE:
        if (!is_range(&op.f[USER_NAMESPACE_FIRST], &op.f[USER_NAMESPACE_COUNT])) return "a range of ids is none";
        break;
      case OP_POD:
        scope = POD;
        break;
      case OP_ENTER:
        scope = ENTER;
        break;
      case OP_APP:
        if (!is_file_name(&op.f[APP_NAME])) return "an app's name is no file name";
        if (++seen > announced) return "there are more apps than announced";
        scope = APP;
        rooted = executed = false;
        break;
      case OP_OVERLAY:
      case OP_BIND_ROOT:
        if (rooted) return "an app has two roots";
        rooted = true;
        break;
      case OP_EXECUTE:
        if (op.f[EXECUTE_ARGV].n == 0) return "an argument vector is empty";
        executed = true;
        break;
      case OP_FILTER:
        /* struct sock_filter is 8 bytes; BPF_MAXINSNS of them are possible. */
        if (op.f[FILTER_PROGRAM].n == 0 || op.f[FILTER_PROGRAM].n % 8 != 0 || op.f[FILTER_PROGRAM].n > 8 * 4096)
          return "a filter is no program";
        if (scope == APP && !rooted) return "an app's first operation makes no root";
        break;
      case OP_STOP_SIGNAL:
        if (op.f[STOP_SIGNAL_SIGNAL].n < 1 || op.f[STOP_SIGNAL_SIGNAL].n > 64) return "a signal is none";
        if (!rooted) return "an app's first operation makes no root";
        break;
      case OP_PRE_START:
      case OP_POST_STOP:
        if (op.f[PRE_START_ARGV].n == 0) return "an argument vector is empty";
        break;
      case OP_END:
        if (!executed) return "an app executes nothing";
        scope = POD;
        executed = false;
        break;
      default:
        if (scope == APP && !rooted) return "an app's first operation makes no root";
    }
  }
  if (cursor.at != plan->size) return "bytes follow the last operation";
  if (scope != POD && !(scope == ENTER && executed)) return "the last operation is missing";
  if (seen != announced) return "there are fewer apps than announced";
  return NULL;
}

const char *plan_open(struct plan *plan, const void *data, size_t size) {
  if (size < HEADER_SIZE || size > PLAN_MAX_BYTES) return "its size is wrong";
  const uint8_t *bytes = data;
  if (memcmp(bytes, PLAN_MAGIC, 8) != 0) return "it is of another version";
  if (get32(bytes + 8) != size) return "its length is wrong";
  *plan = (struct plan){bytes, size, get32(bytes + 12)};
  return check_order(plan);
}
