/*
 * The C library of puppy's programs: just what they use. No floating point and no SSE: the processor they run on has the
 * integer instructions alone. Calls return what the kernel returns: a negative error number on failure.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned long ulong;
typedef __SIZE_TYPE__ size_t;
typedef __builtin_va_list va_list;
#define NULL ((void *)0)
#define va_start __builtin_va_start
#define va_end __builtin_va_end
#define va_arg __builtin_va_arg
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum {
	ENOENT = 2, ESRCH = 3, EINTR = 4, E2BIG = 7, ENOEXEC = 8, EBADF = 9, ECHILD = 10, EAGAIN = 11, ENOMEM = 12,
	EIO = 5, EACCES = 13, EBUSY = 16, EEXIST = 17, EXDEV = 18, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, ENOTTY = 25, ENOSPC = 28, EROFS = 30, EPIPE = 32, ENOTEMPTY = 39, ENOSYS = 38,
	ENODEV = 19, EDESTADDRREQ = 89, EMSGSIZE = 90, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENETUNREACH = 101,
	ENOBUFS = 105, ECONNREFUSED = 111, EHOSTUNREACH = 113,
};

/* ---- sys.c: system calls ------------------------------------------------------------------------------------ */
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_EXCL 0200
#define O_SYNC 04010000
#define O_NOCTTY 0400
#define O_DIRECTORY 0200000
#define O_CLOEXEC 02000000

#define S_IFMT 0170000
#define S_IFLNK 0120000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGKILL 9
#define SIGTERM 15
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIG_DFL 0ul
#define SIG_IGN 1ul

#define WNOHANG 1
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 0x20
#define CLOCK_MONOTONIC 1
#define TIOCSCTTY 0x540e
#define TIOCSPGRP 0x5410
#define TCGETS 0x5401

#define REBOOT_MAGIC1 0xfee1dead
#define REBOOT_MAGIC2 0x28121969
#define REBOOT_POWER_OFF 0x4321fedc

struct timespec {
	long sec, nsec;
};

/* What our programs want to know of a file, whatever the architecture's struct stat looks like. */
struct status {
	u32 mode, links, mtime;
	u64 size;
};

/* How full a file system is. */
struct usage {
	u64 block_size, blocks, blocks_free, inodes, inodes_free;
};

struct dirent64 {
	u64 ino, off;
	u16 reclen;
	u8 type;
	char name[];
};

struct utsname {
	char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

struct sysinfo {
	long uptime;
	ulong loads[3]; /* 16 fractional bits */
	ulong totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	ulong totalhigh, freehigh;
	u32 mem_unit;
	char reserved[64];
};

void exit(int code) __attribute__((noreturn)); /* flushes stdout */
void _exit(int code) __attribute__((noreturn));
int fork(void);
int execve(const char *path, char *const argv[], char *const envp[]);
int wait4(int pid, int *status, int options);
int getpid(void);
int kill(int pid, int sig);
int signal(int sig, ulong action); /* SIG_DFL, SIG_IGN or a void (int); a call that it interrupts gives -EINTR */
int setsid(void);
int setpgid(int pid, int pgrp);
int open(const char *path, int flags, int mode);
int close(int fd);
long read(int fd, void *buf, size_t n);
long write(int fd, const void *buf, size_t n);
int ioctl(int fd, ulong request, void *arg);
int pipe(int fd[2]);
int dup2(int from, int to);
int chdir(const char *path);
int getcwd(char *buf, size_t n);
int mkdir(const char *path, int mode);
int rmdir(const char *path);
int rename(const char *from, const char *to);
int link(const char *from, const char *to);
int symlink(const char *target, const char *path);
int chmod(const char *path, int mode);
int truncate(const char *path, u64 size);
s64 lseek(int fd, s64 offset, int whence);
int fsync(int fd);
int sync(void);
#define MS_RDONLY 1
#define MS_REMOUNT 32
int mount(const char *device, const char *where, const char *type, ulong flags);
int umount(const char *path);
int statfs(const char *path, struct usage *out);
int unlink(const char *path);
long readlink(const char *path, char *buf, size_t n);
int lstat(const char *path, struct status *out);
int stat(const char *path, struct status *out);
long getdents64(int fd, void *buf, size_t n);
ulong brk(ulong end);
void *mmap(size_t length); /* anonymous memory; NULL: none */
int munmap(void *start, size_t length);
int uname(struct utsname *out);
int sysinfo(struct sysinfo *out);
long syslog(int what, char *buf, int n);
int clock_gettime(int clock, struct timespec *out);
int nanosleep(const struct timespec *time);
int reboot(u32 command, ulong argument);

/* ---- string.c ----------------------------------------------------------------------------------------------- */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strcpy(char *to, const char *from);
/* All of `s` as a decimal number, or `otherwise` if it is not one. */
long number(const char *s, long otherwise);
const char *error_text(int error);

/* ---- print.c ------------------------------------------------------------------------------------------------ */
/* %d %u %x %s %c %% with flags - and 0, a width or *, and l, ll or z. printf collects until flush, exit or a full buffer. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int dprintf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
int snprintf(char *buf, size_t n, const char *format, ...) __attribute__((format(printf, 3, 4)));
int puts_bytes(const char *bytes, size_t n);
int flush(void); /* 0, or the error of the write that failed */
/* "name: what: why" on stderr, where why is the error's text; returns 1. */
int complain(const char *what, int error);
extern const char *program;

/* ---- malloc.c ----------------------------------------------------------------------------------------------- */
void *malloc(size_t n); /* ends the program when there is no memory */
void free(void *p);
char *strdup(const char *s);

extern char **environ;
