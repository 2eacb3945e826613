/* SPDX-License-Identifier: Apache-2.0
 * `rkt enter`: one more program beside an app. */
#ifndef RKT_ENTER_H
#define RKT_ENTER_H

#include "plan.h"

/* Returns the program's exit status. */
int enter_app(const struct plan *plan);

#endif
