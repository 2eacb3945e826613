/* SPDX-License-Identifier: Apache-2.0
 * The pod's volumes. The supervisor opens each of them once, before any process of the pod exists, and copies the
 * mount that it opened, once for each place; an app's process then attaches its copy, by descriptor. */
#ifndef RKT_VOLUME_H
#define RKT_VOLUME_H

#include <stddef.h>

#include "plan.h"
#include "report.h"

struct volumes {
  int source;     /* the volume opened last, -1: none; its name and path */
  const char *name, *path;
  int users;      /* the user namespace whose ids their files get, -1: none */
  const char *command; /* the word in front of a warning */
  int *copies;    /* mounts that are nowhere yet, in the plan's order; -1: attached */
  size_t count;   /* made so far */
  size_t maximum; /* how many there is room for */
};

/* `volume`: opens the source. */
int volume_open(struct volumes *v, const struct op *op, struct report *r);
/* `copyVolume`: one mount of what was opened last. */
int volume_copy(struct volumes *v, const struct op *op, struct report *r);
/* Cuts the copies off from the host: what is mounted below their sources later is not seen. */
int volumes_part(struct volumes *v, struct report *r);
/* The copy in this slot, the caller's to close; -1 when there is none (any more). */
int volume_take(struct volumes *v, uint64_t slot);
void volumes_close(struct volumes *v);

#endif
