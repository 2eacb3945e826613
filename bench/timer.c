/* SPDX-License-Identifier: Apache-2.0
 * Runs one command after an idle pause and prints what it took: nanoseconds from fork to the end of wait,
 * the peak resident set in kilobytes, the exit status. A small C program, because a runtime's own spawn
 * costs as much as some of the things that are measured.
 *   timer IDLE_MILLISECONDS COMMAND [ARGUMENT]...
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct timespec begin, end;
	struct rusage usage;
	int status;

	if (argc < 3)
		return 2;
	usleep((useconds_t)atoi(argv[1]) * 1000);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid_t child = vfork();
	if (child < 0)
		return 2;
	if (child == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (wait4(child, &status, 0, &usage) < 0)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%lld %ld %d\n",
	       (long long)(end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec),
	       usage.ru_maxrss,
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
