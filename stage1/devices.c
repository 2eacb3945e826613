/* SPDX-License-Identifier: Apache-2.0
 * See devices.h. bpf(2): a program of type CGROUP_DEVICE is asked at each mknod(2) and open(2) of a device by a process
 * in the cgroup or below it, and all that are attached on the way up have to agree. */
#include "devices.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

static int sys_bpf(int command, union bpf_attr *attr) { return (int)syscall(SYS_bpf, command, attr, sizeof *attr); }

static int load(const struct field *program) {
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE};
  attr.insns = (uint64_t)(uintptr_t)program->s;
  attr.insn_cnt = (uint32_t)(program->n / 2);
  attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
  return sys_bpf(BPF_PROG_LOAD, &attr);
}

int devices_restrict(int cgroup, const struct op *op, struct report *r) {
  static const char action[] = "restrict devices";
  if (cgroup < 0) return fail_why(r, ENOENT, action, NULL, "the pod has no cgroup: is cgroup2 mounted?");
  CLOSING int program = load(&op->f[DEVICES_PROGRAM]);
  if (program < 0) {
    fail(r, errno, action, NULL);
    if (r->err == EPERM) remedy(r, "run as root with CAP_SYS_ADMIN, or with CAP_BPF and CAP_NET_ADMIN");
    return -1;
  }
  union bpf_attr attr = {.target_fd = (uint32_t)cgroup, .attach_bpf_fd = (uint32_t)program};
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (sys_bpf(BPF_PROG_ATTACH, &attr) < 0) return fail(r, errno, action, NULL);
  return 0;
}
