/* A system call takes up to six words; the tables hold functions that look at fewer. */
#pragma once
#include "types.h"

typedef long (*syscall_fn)(ulong, ulong, ulong, ulong, ulong, ulong);
