/* SPDX-License-Identifier: Apache-2.0
 * What the measured containers run: as `true` it ends at once, as `pause` it waits for a signal.
 */
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
	if (argc > 0 && strstr(argv[0], "pause") != NULL)
		pause();
	return 0;
}
