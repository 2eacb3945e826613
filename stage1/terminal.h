/* SPDX-License-Identifier: Apache-2.0
 * The caller's terminal while a program inside the pod has one of its own. */
#ifndef RKT_TERMINAL_H
#define RKT_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct terminal {
  int master;  /* the pod's terminal, -1: none */
  bool raw;    /* the caller's terminal is in raw mode and must be restored */
  char typed[1024];
  size_t at, end; /* what was typed and not yet passed on */
};

/* Raw mode for the caller's terminal (stdin), its size for the pod's. */
void terminal_attach(struct terminal *t, int master);
void terminal_resize(const struct terminal *t);
/* Idempotent; every way out of the program goes through it. */
void terminal_restore(struct terminal *t);

/* The descriptors to wait for: POLLIN on stdin when `typed` is empty, POLLOUT on master when it is not. */
bool terminal_wants_input(const struct terminal *t);
/* Moves from stdin to master what can be moved. False at the end of stdin. */
bool terminal_type(struct terminal *t);

#endif
