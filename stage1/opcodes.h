/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from src/stage1/plan/opcodes.ts: change that file, then `make -C stage1 opcodes`. */
#ifndef RKT_OPCODES_H
#define RKT_OPCODES_H

#define PLAN_MAGIC "RKTPLAN\001"
#define PLAN_MAX_BYTES 16777216u
#define OP_LIMIT 33
#define OP_FIELDS 6

enum opcode {
  OP_OPTIONS = 1,
  OP_DIRECTORY = 2,
  OP_CGROUP = 3,
  OP_POD = 4,
  OP_HOSTNAME = 5,
  OP_LOOPBACK = 6,
  OP_MOUNT = 7,
  OP_RETIRE = 8,
  OP_APP = 9,
  OP_END = 10,
  OP_OVERLAY = 11,
  OP_BIND_ROOT = 12,
  OP_MAKE_DIRECTORY = 13,
  OP_SYMLINK = 14,
  OP_NODE = 15,
  OP_BIND = 16,
  OP_ATTRIBUTES = 17,
  OP_MASK = 18,
  OP_PROTECT = 19,
  OP_TERMINAL = 20,
  OP_PIVOT = 21,
  OP_OOM_SCORE_ADJ = 22,
  OP_ENVIRONMENT = 23,
  OP_READY = 24,
  OP_BOUNDING = 25,
  OP_NO_NEW_PRIVILEGES = 26,
  OP_WORKING_DIRECTORY = 27,
  OP_PRE_START = 28,
  OP_POST_STOP = 29,
  OP_IDS = 30,
  OP_EXECUTE = 31,
  OP_ENTER = 32,
};

/* Positions of the fields in `struct op`. */
#define OPTIONS_COMMAND 0
#define OPTIONS_UUID 1
#define OPTIONS_FLAGS 2
#define OPTIONS_GRACE_MS 3
#define OPTIONS_LOG_MAX_BYTES 4
#define OPTIONS_APPS 5
#define DIRECTORY_PATH 0
#define DIRECTORY_MODE 1
#define DIRECTORY_UID 2
#define DIRECTORY_GID 3
#define DIRECTORY_FLAGS 4
#define CGROUP_PATH 0
#define HOSTNAME_NAME 0
#define MOUNT_TYPE 0
#define MOUNT_TARGET 1
#define MOUNT_OPTIONS 2
#define MOUNT_ATTRIBUTES 3
#define MOUNT_FLAGS 4
#define RETIRE_PATH 0
#define APP_NAME 0
#define OVERLAY_SOURCE_LOWERS 0
#define OVERLAY_SOURCE_UPPER 1
#define OVERLAY_SOURCE_WORK 2
#define OVERLAY_SOURCE_TARGET 3
#define OVERLAY_ATTRIBUTES 4
#define OVERLAY_FLAGS 5
#define BIND_ROOT_SOURCE_PATH 0
#define BIND_ROOT_ATTRIBUTES 1
#define MAKE_DIRECTORY_PATH 0
#define MAKE_DIRECTORY_MODE 1
#define SYMLINK_CONTENT 0
#define SYMLINK_PATH 1
#define NODE_PATH 0
#define NODE_MODE 1
#define NODE_MAJOR 2
#define NODE_MINOR 3
#define BIND_SOURCE 0
#define BIND_TARGET 1
#define BIND_ATTRIBUTES 2
#define BIND_FLAGS 3
#define ATTRIBUTES_PATH 0
#define ATTRIBUTES_ATTRIBUTES 1
#define MASK_PATH 0
#define PROTECT_PATH 0
#define OOM_SCORE_ADJ_VALUE 0
#define ENVIRONMENT_VARIABLES 0
#define BOUNDING_CAPABILITIES 0
#define WORKING_DIRECTORY_PATH 0
#define PRE_START_PATH 0
#define PRE_START_ARGV 1
#define POST_STOP_PATH 0
#define POST_STOP_ARGV 1
#define IDS_UID 0
#define IDS_GID 1
#define IDS_GROUPS 2
#define EXECUTE_PATH 0
#define EXECUTE_ARGV 1
#define ENTER_POD_PID 0
#define ENTER_APP_PID 1
#define ENTER_CGROUP 2
#define ENTER_FLAGS 3

#define OPTION_IS_NEW_NETWORK 1u
#define OPTION_IS_INTERACTIVE 2u
#define OPTION_IS_TERMINAL 4u
#define OPTION_IS_LOG_PREFIX 8u
#define MOUNT_IS_OPTIONAL 1u
#define OVERLAY_IS_VOLATILE 1u
#define BIND_IS_RECURSIVE 1u
#define BIND_IS_SOURCE_IN_ROOT 2u
#define BIND_IS_IF_TARGET_MISSING 4u
#define BIND_IS_OPTIONAL_SOURCE 8u
#define BIND_IS_REPLACE_DANGLING 16u
#define DIRECTORY_IS_ENFORCE 1u
#define ENTER_IS_TERMINAL 1u

/* u: 32 bits, q: 64 bits, s: string, v: strings, n: numbers. */
static const char *const op_schema[OP_LIMIT] = {
    [OP_OPTIONS] = "ssuuqu",
    [OP_DIRECTORY] = "suuuu",
    [OP_CGROUP] = "s",
    [OP_POD] = "",
    [OP_HOSTNAME] = "s",
    [OP_LOOPBACK] = "",
    [OP_MOUNT] = "ssvuu",
    [OP_RETIRE] = "s",
    [OP_APP] = "s",
    [OP_END] = "",
    [OP_OVERLAY] = "vsssuu",
    [OP_BIND_ROOT] = "su",
    [OP_MAKE_DIRECTORY] = "su",
    [OP_SYMLINK] = "ss",
    [OP_NODE] = "suuu",
    [OP_BIND] = "ssuu",
    [OP_ATTRIBUTES] = "su",
    [OP_MASK] = "s",
    [OP_PROTECT] = "s",
    [OP_TERMINAL] = "",
    [OP_PIVOT] = "",
    [OP_OOM_SCORE_ADJ] = "s",
    [OP_ENVIRONMENT] = "v",
    [OP_READY] = "",
    [OP_BOUNDING] = "q",
    [OP_NO_NEW_PRIVILEGES] = "",
    [OP_WORKING_DIRECTORY] = "s",
    [OP_PRE_START] = "sv",
    [OP_POST_STOP] = "sv",
    [OP_IDS] = "uun",
    [OP_EXECUTE] = "sv",
    [OP_ENTER] = "uusu",
};

#endif
