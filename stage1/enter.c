#include "enter.h"
int enter_app(const struct plan *plan) { (void)plan; return 254; }
