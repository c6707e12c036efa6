/* A system call takes up to six words; the tables hold functions that look at fewer. */
#pragma once
#include "types.h"

typedef long (*syscall_fn)(ulong, ulong, ulong, ulong, ulong, ulong);

struct syscall {
	syscall_fn fn;
	syscall_fn fs; /* instead: names, inodes, contents of files, which runs under fs_lock. Neither: there is none */
};
