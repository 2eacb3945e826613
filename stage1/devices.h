/* SPDX-License-Identifier: Apache-2.0
 * Closes a cgroup of the v2 hierarchy to devices, whether or not the hierarchy has controllers. */
#ifndef RKT_DEVICES_H
#define RKT_DEVICES_H

#include "plan.h"
#include "report.h"

/* Attaches the program of a `devices` operation to the cgroup: it stays as long as the directory. */
int devices_restrict(int cgroup, const struct op *op, struct report *r);

#endif
