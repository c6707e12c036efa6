/* A system call takes up to six words; the tables hold functions that look at fewer. */
#pragma once
#include "types.h"

typedef long (*syscall_fn)(ulong, ulong, ulong, ulong, ulong, ulong);

struct syscall {
	syscall_fn fn; /* NULL: there is none */
	bool fs;       /* names, inodes, contents of files: runs under fs_lock */
};
