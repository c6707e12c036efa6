/*
 * All programs are one executable, /bin/puppybox; each name in /bin is a link to it, and the name it was called by says
 * which of them to be. One image means one copy of the library, and one set of pages for the kernel to hold.
 */
#pragma once
#include "../lib/user.h"

/* name, with - for _ */
#define APPLETS(X)                                                                                                     \
	X(init) X(sh) X(ls) X(cat) X(echo) X(ps) X(free) X(uname) X(uptime) X(dmesg) X(kill) X(poweroff) X(true) X(false)  \
	X(sleep) X(wc) X(mkdir) X(rm) X(getpid_loop) X(fork_bench) X(page_bench) X(ctx_bench) X(pipe_bench) X(cpu_bench)  \
	X(ping) X(ifconfig) X(nc) X(hostname)                                                                              \
	X(mount) X(umount) X(sync) X(fsync) X(df) X(dd) X(cp) X(mv) X(ln) X(rmdir) X(chmod) X(truncate) X(disk_writer)  \
	X(smp_bench) X(lock_bench) X(shootdown_bench) X(taskset) X(nproc) X(meltdown)  \
	X(head) X(tail) X(grep) X(seq) X(yes) X(tee) X(time)

#define DECLARE(name) int name##_main(int argc, char **argv);
APPLETS(DECLARE)

/* common.c */
int bad_usage(const char *text);                     /* says how it is called; returns 2 */
s64 size_of(const char *s);                          /* a number, perhaps with k or M; -1: it is none */
int write_all(int fd, const char *buf, size_t size); /* 0, or the error */
int become(char **argv);                             /* that program; returns, with 1, if it cannot be */
