/* SPDX-License-Identifier: Apache-2.0
 * A process for work on hostile data: rkt itself once more, with no files but its libraries, no network, no other
 * process in sight, and only the capabilities that it is given. */
#ifndef RKT_WORK_H
#define RKT_WORK_H

#include "report.h"

/* What the calling process is to become, from the words of the command line. */
struct worker {
  uint64_t capabilities; /* bits by number */
  uint32_t id;           /* user and group */
  unsigned descriptors;  /* how many of the inherited ones it keeps */
  unsigned places;
  char **words; /* the places (paths that it may read, at the same paths), then the program's argv */
};

/* The descriptors: 0 to 2, the program, and from 4 the `descriptors`. False: the words are wrong. */
bool worker_parse(struct worker *w, int argc, char **argv);
/* Starts it, waits, and ends as it ended; it ends when this process does. */
int work(const struct worker *w);

#endif
