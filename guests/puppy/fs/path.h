/* A path from a user, for the system calls that take one. */
#pragma once
#include "errno.h"
#include "fs.h"
#include "mm.h"

struct path {
	char s[256];
};

static inline long get_path(struct path *p, const char *user)
{
	long n = strncpy_from_user(p->s, user, sizeof(p->s));
	return n < 0 ? n : n == sizeof(p->s) ? -ENAMETOOLONG : 0;
}

/* The common start of the functions below: the path, and its parent directory with the last name. */
#define GET_PATH(p, user)                                                                                              \
	struct path p;                                                                                                 \
	do {                                                                                                           \
		long _r = get_path(&p, user);                                                                          \
		if (_r)                                                                                                \
			return _r;                                                                                     \
	} while (0)
